"""`rollbook account` and `rollbook key`: accounts, and the API keys that give access to them."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from rollbook import accounts, sandbox
from rollbook.cli.common import (
    CommandGroup,
    confirmed,
    database_of,
    date,
    flags,
    json_flag,
    print_json,
    print_rows,
    quoted,
    say,
)
from rollbook.config import Settings
from rollbook.texts import counted


@click.group(cls=CommandGroup)
def account() -> None:
    """Accounts: whose data it is."""


@account.command("create")
@click.argument("name")
@flags("database_url")
@json_flag
def account_create(settings: Settings, name: str, as_json: bool) -> None:
    """Create the account NAME and its sandbox.

    If there is no database yet, it creates one in an existing folder.
    """
    with database_of(settings, create=True) as database:
        made = database.write(accounts.create, name=name)
    if as_json:
        print_json(made)
    else:
        say(f"Created account {made.account_id}, {made.name!r}, with sandbox {made.sandbox_id}.")
        say(f"Make a key for it: rollbook key create {quoted(made.name)}")


@account.command("list")
@flags("database_url")
@json_flag
def account_list(settings: Settings, as_json: bool) -> None:
    """Show every account."""
    with database_of(settings) as database:
        found = database.read(accounts.all)
    rows = [[str(row.account_id), row.name, str(row.sandbox_id), date(row.created_at)] for row in found]
    print_rows(found, ["ID", "NAME", "SANDBOX", "CREATED (UTC)"], rows, as_json=as_json)


@account.command("wipe-sandbox")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@flags("database_url")
@json_flag
def account_wipe_sandbox(settings: Settings, name: str, yes: bool, as_json: bool) -> None:
    """Delete everything that test keys created in the account NAME. Live data and all keys stay."""
    if not yes and not confirmed(f"Delete everything in the sandbox of {name!r}?"):
        raise click.Abort
    with database_of(settings) as database:
        lists = database.write(sandbox.wipe, name=name)
    if as_json:
        print_json({"lists_deleted": lists})
    else:
        say(f"Deleted {counted(lists, 'contact list')} from the sandbox of {name!r}.")


@click.group(cls=CommandGroup)
def key() -> None:
    """API keys: who may do what in an account."""


@key.command("create")
@click.argument("account_name", metavar="ACCOUNT")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(accounts.RIGHTS),
    help="What the key may do; repeat for more than one.  [default: read and write]",
)
@click.option("--test", is_flag=True, help="Create a test_ key, which sees only the account's sandbox.")
@click.option("--label", default="", help="A note on what the key is for.")
@flags("database_url")
@json_flag
def key_create(
    settings: Settings, account_name: str, rights: tuple[str, ...], test: bool, label: str, as_json: bool
) -> None:
    """Create an API key for ACCOUNT. It is shown only once; only a hash of it is stored."""
    with database_of(settings) as database:
        made = database.write(
            accounts.create_key,
            account=account_name,
            rights=rights or ("read", "write"),
            test=test,
            label=label,
        )
    if as_json:
        print_json({"key": made.key, **msgspec.to_builtins(_shown(made.shown))})
    else:
        say(made.key)
        say(
            f"Key {made.shown.id} of {made.shown.account!r} ({made.shown.rights}). "
            "It is not shown again: keep it now.",
            err=True,
        )


@key.command("list")
@click.argument("account_name", metavar="[ACCOUNT]", required=False)
@flags("database_url")
@json_flag
def key_list(settings: Settings, account_name: str | None, as_json: bool) -> None:
    """Show the keys of ACCOUNT, or of all accounts."""
    with database_of(settings) as database:
        found = database.read(accounts.keys, account=account_name)
    rows = [
        [
            str(row.id),
            row.account,
            f"{row.hint}...",
            row.rights,
            row.label,
            date(row.created_at),
            date(row.revoked_at) if row.revoked_at else "",
        ]
        for row in found
    ]
    head = ["ID", "ACCOUNT", "KEY", "RIGHTS", "LABEL", "CREATED (UTC)", "REVOKED"]
    print_rows([_shown(row) for row in found], head, rows, as_json=as_json)


@key.command("revoke")
@click.argument("key_id", metavar="ID", type=click.INT)
@flags("database_url")
@json_flag
def key_revoke(settings: Settings, key_id: int, as_json: bool) -> None:
    """Revoke key ID (see `key list`) and every token made from it.

    A running service notices after at most its auth_cache_seconds, 20 seconds by default.
    """
    with database_of(settings) as database:
        revoked = database.write(accounts.revoke_key, key_id=key_id)
    if as_json:
        print_json(_shown(revoked))
    else:
        say(f"Revoked key {revoked.id} ({revoked.hint}...) of {revoked.account!r}.")


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
        id=row.id,
        account=row.account,
        sandbox=row.sandbox,
        hint=row.hint,
        label=row.label,
        rights=row.rights.split(","),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
