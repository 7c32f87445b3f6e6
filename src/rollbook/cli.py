"""The command `rollbook`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Any

import click
import msgspec

import rollbook
from rollbook import accounts, config
from rollbook import verify as recounting
from rollbook.config import Settings
from rollbook.db import Database, Limits, Observer, open_database
from rollbook.errors import RollbookError
from rollbook.verify import Drift

VERIFY_SECONDS_MAX = 3600.0
"""What one statement of a recount may take on PostgreSQL."""

_TYPES = {str: click.STRING, int: click.INT, float: click.FLOAT}


def main() -> None:
    """Run the command."""
    rollbook_command(prog_name="rollbook")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rollbook.__version__, prog_name="rollbook")
def rollbook_command() -> None:
    """Contact lists and stop lists for messaging, exactly counted."""


def _flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the settings `names` (all when none are named) as flags; it gets `Settings`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        chosen = [
            (setting, kind) for setting, kind in config.all_settings() if not names or setting.name in names
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            flags = {setting.name: given.pop(setting.name) for setting, _ in chosen}
            with _errors_as_sentences():
                command(config.load(flags, os.environ), **given)

        for setting, kind in reversed(chosen):
            run = click.option(
                config.flag(setting),
                setting.name,
                type=_TYPES[kind],
                default=None,
                show_default=False,
                help=f"{setting.metadata['help']}  [{config.variable(setting)}; default: {setting.default}]",
            )(run)
        return run

    return decorate


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@rollbook_command.command()
@_flags()
def serve(settings: Settings) -> None:
    """Serve the API until SIGTERM.

    On its first start on an empty database it makes the account `default` and prints its key, once.
    """
    from rollbook.api import server

    first: list[accounts.NewKey] = []
    empty: list[bool] = []

    def prepared(settings: Settings, observer: Observer) -> Database:
        database = _open(settings, observer)
        try:
            database.claim()
            database.migrate()
            if database.embedded and (made := database.write(accounts.create_first)):
                first.append(made)
            elif not database.read(accounts.all):
                empty.append(True)
        except BaseException:
            database.close()
            raise
        return database

    def started(url: str) -> None:
        if first:
            click.echo(_welcome(url, first[0].key))
        if empty:
            click.echo("There is no account yet: `rollbook account create NAME`, `rollbook key create NAME`.")
        click.echo(f"rollbook {rollbook.__version__} serves {url}/api/ (documentation: {url}/docs)")
        sys.stdout.flush()

    server.serve(server.Parts(settings, prepared), started)


@rollbook_command.command()
@_flags("database_url")
@_json
def migrate(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date; `serve` does it too."""
    with _database(settings, migrate=False) as database:
        applied = database.migrate()
        version = database.schema_version()
    if as_json:
        _print_json({"applied": applied, "version": version})
        return
    for name in applied:
        click.echo(f"Applied {name}.")
    click.echo(f"The schema is at version {version}.")


@rollbook_command.command()
@click.option("--account", "account_name", help="Only this account and its sandbox; else all.")
@click.option("--fix", is_flag=True, help="Make the counts what the facts say; others wait meanwhile.")
@_flags("database_url")
@_json
def verify(settings: Settings, account_name: str | None, fix: bool, as_json: bool) -> None:
    """Recount everything from the facts and say which counts are wrong. There must be none.

    Exits with 1 when it finds any, mended or not. Safe beside a running service, whose metrics then show it.
    """
    patient = replace(settings, statement_timeout_seconds=VERIFY_SECONDS_MAX)
    found: list[_ShownDrift] = []
    with _database(patient) as database:
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
        _print_json({"accounts": len(chosen), "drift": found, "fixed": fix and bool(found)})
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
        _print_table(head, rows)
        click.echo("Mended." if fix else "Run it with --fix to mend this, and report it: it is a defect.")
    else:
        click.echo(f"Every count of {len(chosen)} account(s) is what the facts say.")
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


@rollbook_command.group()
def account() -> None:
    """Accounts: whose data it is."""


@account.command("create")
@click.argument("name")
@_flags("database_url")
@_json
def account_create(settings: Settings, name: str, as_json: bool) -> None:
    """Create the account NAME and its sandbox."""
    with _database(settings) as database:
        made = database.write(accounts.create, name=name)
    if as_json:
        _print_json(made)
    else:
        click.echo(f"Created account {made.account_id}, {made.name!r}, with sandbox {made.sandbox_id}.")
        click.echo(f"Make a key for it: rollbook key create {_quoted(made.name)}")


@account.command("list")
@_flags("database_url")
@_json
def account_list(settings: Settings, as_json: bool) -> None:
    """Show every account."""
    with _database(settings) as database:
        found = database.read(accounts.all)
    if as_json:
        _print_json(found)
    else:
        rows = [[str(row.account_id), row.name, str(row.sandbox_id), _date(row.created_at)] for row in found]
        _print_table(["ID", "NAME", "SANDBOX", "CREATED (UTC)"], rows)


@account.command("wipe-sandbox")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_flags("database_url")
@_json
def account_wipe_sandbox(settings: Settings, name: str, yes: bool, as_json: bool) -> None:
    """Delete everything that test keys made in the account NAME; live data and all keys stay."""
    if not yes:
        click.confirm(f"Delete everything in the sandbox of {name!r}?", abort=True, err=True)
    with _database(settings) as database:
        lists = database.write(accounts.wipe_sandbox, name=name)
    if as_json:
        _print_json({"lists_deleted": lists})
    else:
        click.echo(f"Deleted {lists} contact list(s) from the sandbox of {name!r}.")


@rollbook_command.group()
def key() -> None:
    """API keys: who may do what in an account."""


@key.command("create")
@click.argument("account_name", metavar="ACCOUNT")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(accounts.RIGHTS),
    help="What it may do; repeat for more.  [default: read and write]",
)
@click.option("--test", is_flag=True, help="A test_ key: it sees only the account's sandbox.")
@click.option("--label", default="", help="What it is for.")
@_flags("database_url")
@_json
def key_create(
    settings: Settings, account_name: str, rights: tuple[str, ...], test: bool, label: str, as_json: bool
) -> None:
    """Make an API key for ACCOUNT. It is shown this once; only a hash of it is kept."""
    with _database(settings) as database:
        made = database.write(
            accounts.create_key,
            account=account_name,
            rights=rights or ("read", "write"),
            test=test,
            label=label,
        )
    if as_json:
        _print_json({"key": made.key, **msgspec.to_builtins(_shown(made.shown))})
    else:
        click.echo(made.key)
        click.echo(
            f"Key {made.shown.id} of {made.shown.account!r} ({made.shown.rights}). "
            "It is not shown again: keep it now.",
            err=True,
        )


@key.command("list")
@click.argument("account_name", metavar="[ACCOUNT]", required=False)
@_flags("database_url")
@_json
def key_list(settings: Settings, account_name: str | None, as_json: bool) -> None:
    """Show the keys of ACCOUNT, or of all accounts."""
    with _database(settings) as database:
        found = database.read(accounts.keys, account=account_name)
    if as_json:
        _print_json([_shown(row) for row in found])
        return
    rows = [
        [
            str(row.id),
            row.account,
            f"{row.hint}...",
            row.rights,
            row.label,
            _date(row.created_at),
            _date(row.revoked_at) if row.revoked_at else "",
        ]
        for row in found
    ]
    _print_table(["ID", "ACCOUNT", "KEY", "RIGHTS", "LABEL", "CREATED (UTC)", "REVOKED"], rows)


@key.command("revoke")
@click.argument("key_id", metavar="ID", type=click.INT)
@_flags("database_url")
@_json
def key_revoke(settings: Settings, key_id: int, as_json: bool) -> None:
    """Refuse key ID (see `key list`), and every token made from it, within a minute."""
    with _database(settings) as database:
        revoked = database.write(accounts.revoke_key, key_id=key_id)
    if as_json:
        _print_json(_shown(revoked))
    else:
        click.echo(f"Revoked key {revoked.id} ({revoked.hint}...) of {revoked.account!r}.")


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    try:
        yield
    except RollbookError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _database(settings: Settings, *, migrate: bool = True) -> Iterator[Database]:
    database = _open(settings)
    try:
        if migrate:
            database.migrate()
        yield database
    finally:
        database.close()


def _open(settings: Settings, observer: Observer | None = None) -> Database:
    limits = Limits(
        write_queue_max=settings.write_queue_max,
        write_batch_max=settings.write_batch_max,
        read_queue_max=settings.read_queue_max,
        writer_threads=settings.writer_threads,
        reader_threads=settings.reader_threads,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        busy_timeout_seconds=settings.busy_timeout_seconds,
    )
    return open_database(settings.database_url, limits, observer)


class _ShownKey(msgspec.Struct):
    id: int
    account: str
    sandbox: bool
    hint: str
    label: str
    rights: list[str]
    created_at: datetime
    revoked_at: datetime | None


def _shown(row: accounts.Key) -> _ShownKey:
    return _ShownKey(
        row.id,
        row.account,
        row.sandbox,
        row.hint,
        row.label,
        row.rights.split(","),
        row.created_at,
        row.revoked_at,
    )


def _welcome(url: str, api_key: str) -> str:
    return f"""\
This database was empty: it now has the account 'default'. Its key, shown this once:

  {api_key}

Create a contact list:

  curl -i {url}/api/groups \\
    -H 'Authorization: Bearer {api_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"name": "Customers"}}'
"""


def _print_json(value: Any) -> None:
    click.echo(msgspec.json.encode(value))


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _quoted(name: str) -> str:
    return name if name.isalnum() else f"'{name}'"
