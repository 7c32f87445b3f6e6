"""`rollbook migrate` and `rollbook verify`: looking after a database."""

from __future__ import annotations

import sys
from dataclasses import replace

import click
import msgspec

from rollbook import accounts
from rollbook import verify as recounting
from rollbook.cli.common import (
    Command,
    database_of,
    flags,
    json_flag,
    opened,
    print_json,
    print_table,
    say,
)
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.verify import Drift

VERIFY_SECONDS_MAX = 3600.0
"""What one statement of a recount may take on PostgreSQL."""


@click.command(cls=Command)
@flags("database_url")
@json_flag
def migrate(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date; `serve` does it too.

    Where there is no database yet it makes one, in a folder that is there.
    """
    database = opened(settings, create=True)
    try:
        applied = database.migrate()
        version = database.schema_version()
    finally:
        database.close()
    if as_json:
        print_json({"applied": applied, "version": version})
        return
    for name in applied:
        say(f"Applied {name}.")
    say(f"The schema is at version {version}.")


@click.command(cls=Command)
@click.option("--account", "account_name", help="Only this account and its sandbox; else all.")
@click.option("--fix", is_flag=True, help="Make the counts what the facts say; others wait meanwhile.")
@flags("database_url")
@json_flag
def verify(settings: Settings, account_name: str | None, fix: bool, as_json: bool) -> None:
    """Recount everything from the facts and say which counts are wrong. There must be none.

    It reads a SQLite file whole before, and says if parts of it are damaged.

    Exits with 1 when it finds any, mended or not. Safe beside a running service, whose metrics then show it.
    """
    patient = replace(settings, statement_timeout_seconds=VERIFY_SECONDS_MAX)
    found: list[_ShownDrift] = []
    with database_of(patient) as database:
        database.look_for_damage()
        chosen = (
            [database.read(accounts.named, account_name)]
            if account_name is not None
            else database.read(accounts.all)
        )
        for each in chosen:
            for account_id, sandbox in ((each.account_id, False), (each.sandbox_id, True)):
                drift = _verified(database, account_id, fix=fix)
                found += [_ShownDrift(each.name, sandbox, *msgspec.structs.astuple(row)) for row in drift]
    if as_json:
        print_json({"accounts": len(chosen), "drift": found, "fixed": fix and bool(found)})
    elif found:
        head = ["ACCOUNT", "LIST", "NAME", "COUNT", "KEPT", "ACTUAL"]
        rows = [
            [
                row.account + (" (sandbox)" if row.sandbox else ""),
                str(row.list_id or ""),
                row.about,
                row.count,
                str(row.kept),
                str(row.actual),
            ]
            for row in found
        ]
        print_table(head, rows)
        say("Mended." if fix else "Run it with --fix to mend this, and report it: it is a defect.")
    else:
        say(f"Every count of {len(chosen)} account(s) is what the facts say.")
    if found:
        sys.exit(1)


def _verified(database: Database, account_id: int, *, fix: bool) -> list[Drift]:
    """What has drifted in an account, mended if `fix`."""
    drift = database.read(recounting.recount, account_id)
    if drift and fix:
        drift = database.write(recounting.fix, account_id)
        database.write(recounting.record, account_id, database.read(recounting.recount, account_id))
    else:
        database.write(recounting.record, account_id, drift)
    return drift


class _ShownDrift(msgspec.Struct):
    account: str
    sandbox: bool
    list_id: int
    about: str
    count: str
    kept: int
    actual: int
