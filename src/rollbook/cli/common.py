"""What the commands share: settings as flags, a database to work in, errors as sentences, JSON and tables."""

from __future__ import annotations

import codecs
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, BinaryIO, cast

import click
import msgspec

from rollbook import accounts, channels, config, renumbering
from rollbook.accounts import Account
from rollbook.config import Settings
from rollbook.db import Database, EngineLimits, Observer, open_database
from rollbook.errors import CannotWrite, Invalid, RollbookError
from rollbook.files.formulas import BOM
from rollbook.options import as_flags
from rollbook.texts import visible, visible_json


class Command(click.Command):
    """A command that refuses empty values, and repeated ones where only one counts: `--reachable "$CHANNELS"`
    with an empty variable must not widen the selection."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        values_of, _, order = self.make_parser(ctx).parse_args(args=given)
        for param in dict.fromkeys(order):
            if not isinstance(param, click.Option):
                continue
            name = max(param.opts, key=len)
            values = values_of[param.name or ""]
            plain = param.is_flag and not param.secondary_opts
            if order.count(param) > 1 and not (param.multiple or param.count or plain):
                raise click.UsageError(f"{name} may be given once.", ctx)
            if "" in (values if isinstance(values, (list, tuple)) else (values,)) and param.default != "":
                raise click.UsageError(f"{name} is empty: leave it out, or give it a value.", ctx)
        return rest


class CommandGroup(click.Group):
    """A group of such commands."""

    command_class = Command


class _Channels(click.ParamType[tuple[str, ...]]):
    name = "channels"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        try:
            return channels.parse(value, called=param.name or "" if param else "")
        except ValueError as error:
            self.fail(str(error), param, ctx)


def channels_flag(
    name: str, help: str, *, required: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for comma-separated channels; the command gets a tuple of them, or `None`.

    Args:
        name: the name of the flag: `--channels`.
        help: its help, in which `{channels}` is replaced by the names of all channels.
    """
    text = help.format(channels=", ".join(channels.CHANNELS))
    return click.option(name, type=_Channels(), required=required, metavar="CHANNELS", help=text)


KEPT_BY_THE_SERVICE = 0o077
"""The umask of processes that keep files of their own, with people's phones. A file that a user asks a
command for follows the umask of that user."""

_TYPES = {str: click.STRING, int: click.INT, float: click.FLOAT}


def flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the settings `names` (or all of them) as flags; the command gets `Settings`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        chosen = [
            (setting, kind) for setting, kind in config.all_settings() if not names or setting.name in names
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            flags = {setting.name: given.pop(setting.name) for setting, _ in chosen}
            with errors_as_sentences():
                command(config.load(flags, os.environ), **given)

        for setting, kind in reversed(chosen):
            run = click.option(
                config.flag(setting.name),
                setting.name,
                type=_TYPES[kind],
                default=None,
                show_default=False,
                metavar=f"[{'|'.join(config.CHOICES[setting.name])}]"
                if setting.name in config.CHOICES
                else None,
                help=f"{setting.metadata['help']}  [{config.variable(setting)}; "
                f"default: {'none' if setting.default == '' else setting.default}]",
            )(run)
        return run

    return decorate


json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def account_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that choose the account: `account_name` and `sandbox`."""
    command = click.option(
        "--sandbox", is_flag=True, help="Use the account's sandbox, the data that test keys see."
    )(command)
    return click.option(
        "--account", "account_name", metavar="NAME", help="The account; required if there are several."
    )(command)


def account_of(database: Database, name: str | None, *, sandbox: bool) -> int:
    """The id of the chosen account, or of its sandbox.

    Raises:
        NotFound: there is no such account.
        UsageError: no account is named, and there is not exactly one.
    """
    candidates = accounts_of(database, name)
    if len(candidates) != 1:
        names = ", ".join(account.name for account in candidates)
        raise click.UsageError(
            f"Say which account: --account NAME; there are {names}."
            if candidates
            else "There is no account yet: `rollbook account create NAME`."
        )
    [account] = candidates
    return account.sandbox_id if sandbox else account.account_id


def accounts_of(database: Database, name: str | None) -> list[Account]:
    """The account of that name, or all accounts where no name is given.

    Raises:
        NotFound: there is no such account.
    """
    return database.read(accounts.all) if name is None else [database.read(accounts.named, name)]


def confirmed(question: str) -> bool:
    """Ask a question on standard error, apart from the results, and read yes or no.

    Raises:
        Abort: there is no answer.
    """
    return click.confirm(question, err=True)


def csv_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags for the form of its CSV: `raw` and `bom`."""
    command = click.option(BOM.flag, is_flag=True, help=BOM.about)(command)
    return click.option(
        "--raw",
        is_flag=True,
        help="Do not put an apostrophe before texts that a spreadsheet would run as a formula; for programs.",
    )(command)


def must_differ(output: str, source: str) -> None:
    """Check that a file to write is not the one that is read.

    Raises:
        CannotWrite: they are the same file.
    """
    try:
        same = source != "-" and os.path.samefile(output, source)
    except OSError:
        return  # one of them does not exist
    if same:
        raise CannotWrite(output, "it is the file that is read")


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """End the command with exit code 1 and the message of an error that users may see."""
    try:
        yield
    except RollbookError as error:
        raise click.ClickException(as_flags(str(error))) from error


@contextmanager
def usage_errors() -> Iterator[None]:
    """End the command with exit code 2 after invalid input, as after wrong flags."""
    try:
        yield
    except Invalid as error:
        raise click.UsageError(as_flags(str(error))) from error


@contextmanager
def database_of(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """The database of `settings`, its schema brought up to date; closed afterwards.

    Args:
        create: whether an empty or missing database is set up.

    Raises:
        NoDatabase, NotSetUp: the database does not exist, or is empty. Nothing was created.
    """
    database = opened(settings, create=create)
    try:
        if create:
            database.migrate()
        else:
            database.update()
        renumbering.bring_up_to_date(database)
        yield database
    finally:
        database.close()


def opened(settings: Settings, observer: Observer | None = None, *, create: bool = False) -> Database:
    """Open the database of `settings`; the caller closes it.

    Args:
        create: whether the file of an embedded database is created if it does not exist.
    """
    limits = EngineLimits(
        write_queue_max=settings.write_queue_max,
        write_batch_max=settings.write_batch_max,
        read_queue_max=settings.read_queue_max,
        writer_threads=settings.writer_threads,
        reader_threads=settings.reader_threads,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        busy_timeout_seconds=settings.busy_timeout_seconds,
    )
    return open_database(settings.database_url, limits, observer, create=create)


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line, on standard error if `err`. Names and cells from other people in it cannot add lines or
    control the terminal."""
    click.echo(visible(text), err=err)


def standard_output() -> BinaryIO:
    """Standard output for a file. On a terminal, characters that would control it are made visible."""
    return cast("BinaryIO", _Terminal()) if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal(io.RawIOBase):
    """Takes a text file in UTF-8 and shows it."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        text = self._decode(bytes(data)).replace("\r\n", "\n")
        sys.stdout.write(visible(text, lines=True))
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print a value, a Struct or a list of them as one line of JSON."""
    click.echo(visible_json(msgspec.json.encode(value)))


def print_rows(found: Any, head: list[str], rows: list[list[str]], *, as_json: bool) -> None:
    """Print results as JSON, or as a table.

    Args:
        found: the value for the JSON.
        head, rows: the table.
    """
    if as_json:
        print_json(found)
    else:
        print_table(head, rows)


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print rows under a header, each column as wide as its widest cell."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def date(moment: datetime) -> str:
    """A moment in a readable form, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def quoted(name: str) -> str:
    """A name quoted so that a shell reads it as one word."""
    return shlex.quote(name)
