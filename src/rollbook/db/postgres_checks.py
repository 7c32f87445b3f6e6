"""Checks of a PostgreSQL server and of the nodes of Citus, for `rollbook doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from rollbook.db import citus
from rollbook.db.checks import Check, State, size

VERSION_MIN = 150_000
"""PostgreSQL 15, in the form of `server_version_num`."""

CLOCK_SECONDS_MAX = 5.0
"""A larger difference between the clocks of two machines is reported; a token may be a minute early."""

WORKER_PROCESSES_MIN = 16
"""The smallest `max_worker_processes` of a node of Citus: its maintenance takes one for each database, others
move shards."""

DURABLE: Mapping[str, str] = {
    "fsync": "a power cut can damage the whole database",
    "full_page_writes": "a power cut can damage pages of the database",
    "synchronous_commit": "a crash loses stops that were confirmed to callers",
}
"""Settings that must be on, and the consequence if one is off."""

Connection = psycopg.Connection[tuple[Any, ...]]


def of_server(connection: Connection, *, connections_needed: int) -> Iterator[Check]:
    """Checks of any server.

    Args:
        connections_needed: the number of connections that one service opens.
    """
    settings: dict[str, str] = dict(
        connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
            [["server_version", "server_version_num", "server_encoding", "max_connections", *DURABLE]],
        ).fetchall()
    )
    is_new = int(settings["server_version_num"]) >= VERSION_MIN
    yield Check(
        "server version",
        "ok" if is_new else "fault",
        f"PostgreSQL {settings['server_version']}",
        "" if is_new else f"PostgreSQL {VERSION_MIN // 10_000} or newer is needed",
    )
    encoding = settings["server_encoding"]
    yield Check(
        "encoding",
        "ok" if encoding == "UTF8" else "fault",
        encoding,
        "" if encoding == "UTF8" else "create the database with ENCODING 'UTF8'",
    )
    for name, consequence in DURABLE.items():
        is_off = settings[name] == "off"
        yield Check(
            name, "fault" if is_off else "ok", settings[name], f"turn it on: {consequence}" if is_off else ""
        )
    yield _connections(connection, int(settings["max_connections"]), connections_needed)
    yield _clock(connection)
    found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    yield Check("database size", "ok", size(int(found[0]) if found else 0))


def _connections(connection: Connection, most: int, needed: int) -> Check:
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    ).fetchone()
    used = int(found[0]) if found else 0
    state: State = "ok" if most - used >= needed else "warning"
    advice = f"a service of these settings opens {needed}: raise max_connections" if state != "ok" else ""
    return Check("connections", state, f"{used} of {most} in use", advice)


def _clock(connection: Connection) -> Check:
    before = time.time()
    found = connection.execute("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)").fetchone()
    after = time.time()
    theirs = float(found[0]) if found else 0.0
    apart = max(before - theirs, theirs - after, 0.0)
    state: State = "ok" if apart <= CLOCK_SECONDS_MAX else "warning"
    advice = "set both clocks by NTP: dates, tokens and schedules differ" if state != "ok" else ""
    return Check("clock of the server", state, f"{apart:.1f} s from this machine's", advice)


def of_cluster(connection: Connection, tables: Sequence[str], settings: Mapping[str, str]) -> Iterator[Check]:
    """Checks of a database with Citus.

    Args:
        tables: all tables of rollbook.
        settings: the settings that the database must have on every node.
    """
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'citus'").fetchone()
    where = "a worker node" if citus.is_worker(connection) else "the coordinator"
    yield Check("citus", "ok", f"version {found[0] if found else 'unknown'}; connected to {where}")
    if not citus.has_nodes(connection):
        yield Check("nodes", "warning", "none", "add nodes with citus_add_node, then run rollbook migrate")
        return
    placed: dict[str, str] = dict(
        connection.execute(
            """
            SELECT name, coalesce(partmethod::text, '') FROM unnest(%s::text[]) AS named (name)
            LEFT JOIN pg_dist_partition ON logicalrelid = to_regclass(name)
            WHERE to_regclass(name) IS NOT NULL
            """,
            [list(tables)],
        ).fetchall()
    )
    missing = sorted(name for name, method in placed.items() if not method)
    yield Check(
        "distribution",
        "fault" if missing else "ok",
        f"{len(placed) - len(missing)} of {len(placed)} tables placed",
        f"run rollbook migrate on the coordinator: {', '.join(missing)}" if missing else "",
    )
    kept = connection.execute(
        """
        SELECT coalesce(array_agg(setting), '{}') FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND setrole = 0
        """
    ).fetchone()
    known = dict(each.split("=", 1) for each in (kept[0] if kept else ()))
    differing = sorted(name for name, value in settings.items() if known.get(name) != value)
    yield Check(
        "settings of the database",
        "warning" if differing else "ok",
        "other than needed" if differing else "as needed",
        f"run rollbook migrate on the coordinator: {', '.join(differing)}; pages are slow meanwhile"
        if differing
        else "",
    )
    [(processes,)] = connection.execute("SELECT current_setting('max_worker_processes')").fetchall()
    few = int(processes) < WORKER_PROCESSES_MIN
    yield Check(
        "max_worker_processes",
        "warning" if few else "ok",
        processes,
        f"{WORKER_PROCESSES_MIN} or more on each node" if few else "",
    )
    for node, answers in citus.nodes(connection).items():
        yield Check(
            f"node {node}",
            "ok" if answers else "fault",
            "answers" if answers else "does not answer",
            "" if answers else "its accounts get 503 until it is back",
        )
