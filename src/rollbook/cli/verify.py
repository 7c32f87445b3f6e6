"""`rollbook migrate` and `rollbook verify`: update and check a database."""

from __future__ import annotations

import sys
from dataclasses import replace

import click
import msgspec

from rollbook import verify as recounting
from rollbook.cli.common import (
    Command,
    accounts_of,
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
from rollbook.texts import counted
from rollbook.verify import Drift

VERIFY_SECONDS_MAX = 3600.0
"""How long one statement of a recount may take on PostgreSQL."""


@click.command(cls=Command)
@flags("database_url")
@json_flag
def migrate(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date; `serve` does it too.

    If there is no database yet, it creates one in an existing folder.
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
@click.option("--fix", is_flag=True, help="Correct the counts; other writes wait meanwhile.")
@flags("database_url")
@json_flag
def verify(settings: Settings, account_name: str | None, fix: bool, as_json: bool) -> None:
    """Recount everything from the stored rows and report wrong counts. There should be none.

    It first reads a SQLite file whole and reports damaged parts.

    Exits with 1 if it finds any, fixed or not. Safe beside a running service, whose metrics then show it.
    """
    patient = replace(settings, statement_timeout_seconds=VERIFY_SECONDS_MAX)
    found: list[_ShownDrift] = []
    with database_of(patient) as database:
        database.look_for_damage()
        chosen = accounts_of(database, account_name)
        for each in chosen:
            for account_id, sandbox in ((each.account_id, False), (each.sandbox_id, True)):
                drift = _verified(database, account_id, fix=fix)
                found += [
                    _ShownDrift(account=each.name, sandbox=sandbox, **msgspec.structs.asdict(row))
                    for row in drift
                ]
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
        say("Fixed." if fix else "Run it with --fix to correct them, and report it: this is a defect.")
    else:
        say(f"All counts in {counted(len(chosen), 'account')} are correct.")
    if found:
        sys.exit(1)


def _verified(database: Database, account_id: int, *, fix: bool) -> list[Drift]:
    """The wrong counts in an account, corrected if `fix`."""
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
