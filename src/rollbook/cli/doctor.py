"""`rollbook doctor`: checks everything that a service needs."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

import rollbook
from rollbook import accounts, config, verify
from rollbook.cli.common import Command, flags, json_flag, opened, print_rows
from rollbook.config import Settings
from rollbook.db import Database, migrations
from rollbook.db.checks import Check, State, size
from rollbook.errors import RollbookError
from rollbook.imports.spool import Spool
from rollbook.options import as_flags
from rollbook.texts import counted

RECOUNT_DAYS_MAX = 7
"""How old the last whole recount may be before there is a warning: a service recounts each day."""

AHEAD_SECONDS_MAX = 60
"""How far stored moments may be ahead of the clock: beyond that, the clock was set back."""

DESCRIPTORS_PER_CONNECTION = 2


@click.command(cls=Command)
@flags()
@json_flag
def doctor(settings: Settings, as_json: bool) -> None:
    """Check what a service needs: version, database, schema, settings, nodes, spool, disk and clock.

    It changes nothing, needs no running service, and is safe beside one. Give it the settings of the
    service. Exits with 1 if it finds a fault; warnings alone exit with 0.
    """
    found = [*_of_program(settings), *_of_database(settings), *_of_spool(settings)]
    print_rows(
        [check._asdict() for check in found],
        ["CHECK", "STATE", "FOUND", "ADVICE"],
        [
            [check.name, check.state.upper() if check.state != "ok" else "ok", check.found, check.advice]
            for check in found
        ],
        as_json=as_json,
    )
    if any(check.state == "fault" for check in found):
        sys.exit(1)


def _of_program(settings: Settings) -> Iterator[Check]:
    yield Check("rollbook", "ok", f"{rollbook.__version__} on Python {platform.python_version()}")
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = DESCRIPTORS_PER_CONNECTION * settings.connections_max
    few = most != resource.RLIM_INFINITY and most < needed
    yield Check(
        "open files",
        "warning" if few else "ok",
        f"{most} allowed",
        f"{needed} for --connections-max {settings.connections_max}: raise ulimit -n" if few else "",
    )


def _of_database(settings: Settings) -> Iterator[Check]:
    try:
        database = opened(settings)
    except RollbookError as error:
        yield Check("database", "fault", as_flags(str(error)), "see --database-url")
        return
    try:
        yield from _of_schema(database)
        yield from database.checks(settings.workers)
    except RollbookError as error:
        yield Check("database", "fault", as_flags(str(error)))
    finally:
        database.close()


def _of_schema(database: Database) -> Iterator[Check]:
    version, latest = database.schema_version(), migrations.all_steps()[-1].version
    yield Check("database", "ok", database.name)
    state: State = "ok"
    advice = ""
    if version == 0:
        state, advice = "fault", "it is empty: if it is the right one, run `rollbook migrate` first"
    elif version < latest:
        state, advice = "warning", "the next start, or rollbook migrate, brings it up to date"
    elif version > latest:
        state, advice = "fault", "a newer rollbook migrated it: install that version"
    yield Check("schema", state, f"version {version} of {latest}", advice)
    if state != "ok":
        return
    number = len(database.read(accounts.all))
    advice = "" if number else "rollbook account create NAME, then rollbook key create NAME"
    yield Check("accounts", "ok" if number else "warning", counted(number, "account"), advice)
    yield from _of_recounts(database)


def _of_recounts(database: Database) -> Iterator[Check]:
    last = database.read(verify.last)
    now = datetime.now(UTC)
    if last.verified_at is None:
        yield Check("counts", "ok", "not recounted yet")
        yield Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")
        return
    when = f"recounted {last.verified_at:%Y-%m-%d %H:%M}"
    if last.drift:
        yield Check("counts", "fault", f"{counted(last.drift, 'count')} wrong, {when}", "run rollbook verify")
    elif now - last.verified_at > timedelta(days=RECOUNT_DAYS_MAX):
        yield Check("counts", "warning", f"correct, {when}", "run rollbook verify: no service has for a week")
    else:
        yield Check("counts", "ok", f"correct, {when}")
    if last.verified_at - now > timedelta(seconds=AHEAD_SECONDS_MAX):
        yield Check(
            "clock", "fault", f"{now:%Y-%m-%d %H:%M}, before the last recount", "set the clock, by NTP"
        )
    else:
        yield Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _of_spool(settings: Settings) -> Iterator[Check]:
    path = config.spool_of(settings)
    there = path if path.exists() else path.parent
    if not there.is_dir():
        yield Check("spool", "fault", f"no folder {there}", "see --spool-dir")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Check("spool", "fault", f"{there} cannot be written", "give the service's user the folder")
        return
    yield Check("spool", "ok", str(path) if path.exists() else f"{path}, made by the first import")
    free = Spool(Path(there)).free_bytes()
    is_full = free < settings.spool_free_bytes_min
    yield Check(
        "disk of the spool",
        "fault" if is_full else "ok",
        f"{size(free)} free",
        f"uploads get 507 below {size(settings.spool_free_bytes_min)} (--spool-free-bytes-min)"
        if is_full
        else "",
    )
