"""`rollbook stops`: stops and releases single phones by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
import msgspec

from rollbook import phones, stop_list
from rollbook.channels import CHANNELS, mask_of, names_of
from rollbook.cli.common import (
    CommandGroup,
    account_flags,
    account_of,
    channels_flag,
    database_of,
    flags,
    json_flag,
    print_rows,
)
from rollbook.config import Settings
from rollbook.db import Transaction
from rollbook.stop_list import Step, Wanted

_PHONES = click.argument("texts", metavar="PHONE...", nargs=-1, required=True)


class _Shown(msgspec.Struct):
    """The result for a phone."""

    phone: int
    result: str
    channels: list[str]


@click.group(cls=CommandGroup)
def stops() -> None:
    """The stop list: stop phones and let them go."""


@stops.command("add")
@_PHONES
@channels_flag("--channels", "Channels, comma-separated: {channels}.", required=True)
@account_flags
@flags("database_url")
@json_flag
def stops_add(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    as_json: bool,
    texts: Sequence[str],
    channels: tuple[str, ...],
) -> None:
    """Put each PHONE (with its country code) on the stop list, contact or not. Repeating it is harmless.

    All or none: if a PHONE is invalid, nothing changes and the exit status is 2. For many phones use
    `import --stop`.
    """
    wanted = _wanted(texts, mask_of(channels))
    steps = _done(settings, account_name, sandbox, stop_list.add_each, wanted, texts)
    words = ["created" if not step.before else "updated" if step.before != step.after else "unchanged"
             for step in steps]  # fmt: skip
    _print(wanted, steps, words, as_json=as_json)


@stops.command("release")
@_PHONES
@channels_flag("--channels", "Channels, comma-separated: {channels}. All channels by default.")
@account_flags
@flags("database_url")
@json_flag
def stops_release(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    as_json: bool,
    texts: Sequence[str],
    channels: tuple[str, ...] | None,
) -> None:
    """Take each PHONE off the stop list. All or none: if a PHONE is invalid, nothing changes and the exit
    status is 2."""
    wanted = _wanted(texts, mask_of(CHANNELS if channels is None else channels))
    steps = _done(settings, account_name, sandbox, stop_list.remove_each, wanted, texts)
    words = ["released" if step.before != step.after else "not_stopped" for step in steps]
    _print(wanted, steps, words, as_json=as_json)


def _wanted(texts: Sequence[str], mask: int) -> list[Wanted]:
    wanted = []
    for text in texts:
        try:
            wanted.append(stop_list.wanted_of(text, mask))
        except phones.BadPhone as error:
            raise click.UsageError(f"The phone {text!r} {error}.") from error
    if len(wanted) > stop_list.ITEMS_MAX:
        raise click.UsageError(
            f"These are more than {stop_list.ITEMS_MAX} phones: import a file with --stop."
        )
    return wanted


def _done(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    change: Callable[[Transaction, int, Sequence[Wanted]], list[Step | None]],
    wanted: Sequence[Wanted],
    texts: Sequence[str],
) -> list[Step]:
    def all_or_none(tx: Transaction, account_id: int) -> list[Step]:
        done = []
        for text, each, step in zip(texts, wanted, change(tx, account_id, wanted), strict=True):
            if step is None:
                raise click.UsageError(f"The phone {text!r} {each.doubt}.")
            done.append(step)
        return done

    with database_of(settings) as database:
        return database.write(all_or_none, account_of(database, account_name, sandbox=sandbox))


def _print(wanted: Sequence[Wanted], steps: Sequence[Step], words: Sequence[str], *, as_json: bool) -> None:
    shown = [
        _Shown(each.phone, word, names_of(step.after))
        for each, step, word in zip(wanted, steps, words, strict=True)
    ]
    rows = [
        [str(each.phone), each.result.replace("_", " "), ", ".join(each.channels) or "none"] for each in shown
    ]
    print_rows(shown, ["PHONE", "RESULT", "STOPPED ON"], rows, as_json=as_json)
