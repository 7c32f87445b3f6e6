"""Citus, PostgreSQL on several machines: distributing the tables, and the state of the nodes
(docs/decisions/0026).

A session may be connected to any node. Only the coordinator changes the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from rollbook.errors import ClusterNotReady

Connection = psycopg.Connection[tuple[Any, ...]]

FIRST = "account"
"""The table with which the others are colocated: all rows of an account are on one node."""

ON_EVERY_NODE = ("api_key",)
"""Tables of which every node has a full copy. A key is looked up before its account is known."""

NODE_CONNECT_TIMEOUT_SECONDS = 5
"""How long one node waits for another that does not answer at all; the default of Citus is 30."""

NODES_TIMEOUT_SECONDS = 8
"""How long the check of which nodes answer may take."""

_OF_A_NODE = (
    "server closed the connection unexpectedly",
    "failure on connection marked as essential",
    "connection not open",
)
"""Messages of internal errors (XX000) that concern the connection between two nodes."""

_BY_A_NODE = "while executing command on"
"""The beginning of the context of an error that a node received from another node."""


def is_installed(connection: Connection) -> bool:
    """Whether the database has the extension."""
    found = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone()
    return found is not None


def prepare(connection: Connection) -> None:
    """Set up a session: planner settings of a transaction reach all nodes, and waiting for a node has the
    same limit as waiting for a server."""
    connection.execute("SET citus.propagate_set_commands = 'local'")
    connection.execute(
        "SELECT set_config(name, %s, FALSE) FROM pg_settings WHERE name = 'citus.node_connection_timeout'",
        [str(NODE_CONNECT_TIMEOUT_SECONDS * 1000)],
    )


def is_worker(connection: Connection) -> bool:
    """Whether the session is connected to a node other than the coordinator."""
    found = connection.execute("SELECT groupid FROM pg_dist_local_group").fetchone()
    return found is not None and found[0] != 0


def has_nodes(connection: Connection) -> bool:
    """Whether the coordinator knows any node. Without nodes the database is plain PostgreSQL."""
    return connection.execute("SELECT 1 FROM pg_dist_node LIMIT 1").fetchone() is not None


def distribute(connection: Connection, tables: Sequence[str], settings: Mapping[str, str]) -> int:
    """Distribute the tables that are not distributed yet, with their rows, and give every node the planner
    settings of the coordinator's sessions. Call it on the coordinator, in a transaction.

    Args:
        tables: all tables of rollbook.
        settings: the settings of the database on every node.

    Returns:
        The number of tables that were distributed.

    Raises:
        ClusterNotReady: a node has to be added to the cluster first. Nothing was changed.
    """
    missing = connection.execute(
        """
        SELECT name, EXISTS (
            SELECT 1 FROM pg_attribute
            WHERE attrelid = to_regclass(name) AND attname = 'account_id' AND NOT attisdropped)
        FROM unnest(%s::text[]) AS named (name)
        WHERE to_regclass(name) IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass(name))
        ORDER BY name <> %s, name
        """,
        [list(tables), FIRST],
    ).fetchall()
    if missing:
        _require_nodes(connection)
    _set(connection, settings)
    for name, by_account in missing:
        if name in ON_EVERY_NODE:
            connection.execute("SELECT create_reference_table(%s)", [name])
        elif by_account:
            connection.execute(
                "SELECT create_distributed_table(%s, 'account_id', colocate_with => %s)",
                [name, "none" if name == FIRST else FIRST],
            )
        else:
            connection.execute("SELECT citus_add_local_table_to_metadata(%s)", [name])
    return len(missing)


def drop_copies(connection: Connection, tables: Sequence[str]) -> None:
    """Free the space of rows that the coordinator had before their tables were distributed. No query reads
    them any more. Call it on the coordinator, after the distribution is committed."""
    copied = connection.execute(
        """
        SELECT name FROM unnest(%s::text[]) AS named (name)
        JOIN pg_dist_partition ON logicalrelid = to_regclass(name)
        WHERE (partmethod = 'h' OR repmodel = 't') AND pg_relation_size(logicalrelid) > 0
        ORDER BY name
        """,
        [list(tables)],
    ).fetchall()
    for (name,) in copied:
        connection.execute("SELECT truncate_local_data_after_distributing_table(%s)", [name])


def nodes(connection: Connection) -> dict[str, bool]:
    """Each worker node, as host:port, and whether it answers."""
    connection.execute(f"SET statement_timeout = {NODES_TIMEOUT_SECONDS * 1000}".encode())
    found = connection.execute(
        "SELECT nodename, nodeport, success FROM run_command_on_workers('SELECT 1') ORDER BY 1, 2"
    )
    return {f"{host}:{port}": bool(answers) for host, port, answers in found}


def is_of_a_node(error: BaseException | None) -> bool:
    """Whether an error says that another node does not answer, while the session with our own node goes on.

    If our own connection breaks, the error has no SQLSTATE, since the server could not send one.
    """
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    by_a_node = _BY_A_NODE in (error.diag.context or "")
    if isinstance(error, pg.InternalError_):
        return by_a_node or any(text in str(error) for text in _OF_A_NODE)
    if error.sqlstate[:2] == "08" and not isinstance(error, pg.ProtocolViolation):
        return True
    return by_a_node and error.sqlstate[:2] == "57" and not isinstance(error, pg.QueryCanceled)


def _require_nodes(connection: Connection) -> None:
    found = connection.execute(
        """
        SELECT count(*) FILTER (WHERE groupid = 0),
               count(*) FILTER (WHERE shouldhaveshards AND isactive AND noderole = 'primary')
        FROM pg_dist_node
        """
    ).fetchone()
    assert found is not None
    if not found[0]:
        raise ClusterNotReady(
            "Citus does not know the address of its coordinator. Run there, in this database: "
            "SELECT citus_set_coordinator_host('host', 5432);"
        )
    if not found[1]:
        raise ClusterNotReady(
            "Citus has no active worker node. Run on the coordinator, in this database, for each of them: "
            "SELECT citus_add_node('host', 5432);"
        )


def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None
    kept = {
        setting
        for (setting,) in connection.execute(
            """
            SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database ON setdatabase = pg_database.oid
            WHERE datname = current_database() AND setrole = 0
            """
        )
    }
    for name, value in settings.items():
        if f"{name}={value}" not in kept:
            alter = sql.SQL("ALTER DATABASE {} SET {} = {}")
            named = alter.format(sql.Identifier(row[0]), sql.Identifier(name), sql.Literal(value))
            connection.execute(named.as_bytes(connection))
