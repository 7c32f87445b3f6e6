"""`rollbook export` and `rollbook audience`: write contacts and stops to files, and count audiences."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from rollbook import audience as audiences
from rollbook import exports, lists, paths, phones
from rollbook.audience import Audience
from rollbook.cli.common import (
    Command,
    account_flags,
    account_of,
    channels_flag,
    database_of,
    flags,
    json_flag,
    print_json,
    say,
    standard_output,
)
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import CannotWrite, Invalid, Problem
from rollbook.exports import COMPRESSIONS, FORMATS, Export
from rollbook.exports import person as people
from rollbook.exports.columns import named
from rollbook.files.formulas import BOM
from rollbook.texts import counted

COUNT_SECONDS_MAX = 3600.0
"""How long one statement of a count may take on PostgreSQL."""

STDOUT = "-"

FORMAT_OF = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl"}
COMPRESSION_OF = {".gz": "gzip", ".zst": "zstd"}
"""The compression for each suffix of a file's name."""


class ExportSummary(msgspec.Struct):
    """The result of an export."""

    rows: int
    file: str
    bytes: int
    seconds: float


def audience_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that choose contacts: the parts of an `Audience`."""
    for option in (
        channels_flag(
            "--stopped",
            "Only contacts that are stopped on any of these channels, comma-separated: {channels}.",
        ),
        channels_flag(
            "--reachable",
            "Only contacts that are not stopped on any of these channels, comma-separated: {channels}.",
        ),
        click.option(
            "--minus",
            multiple=True,
            metavar="LIST",
            help="Leave out contacts of this list. May be given more than once.",
        ),
        click.option(
            "--and",
            "all_of",
            multiple=True,
            metavar="LIST",
            help="Only contacts that are in this list too. May be given more than once.",
        ),
        click.option(
            "--list",
            "any_of",
            multiple=True,
            metavar="LIST",
            help=f"Contacts of this list; may be given more than once, for contacts of any of "
            f"them. {lists.MEANING}",
        ),
    ):
        command = option(command)
    return command


@click.command("audience", cls=Command)
@audience_flags
@account_flags
@flags("database_url")
@json_flag
def audience(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    as_json: bool,
    any_of: Sequence[str],
    all_of: Sequence[str],
    minus: Sequence[str],
    reachable: tuple[str, ...] | None,
    stopped: tuple[str, ...] | None,
) -> None:
    """Count an audience exactly: contacts of lists, combined, intersected and subtracted, and reachable on
    channels.

    Without --list and --and it counts the whole book.
    """
    with database_of(_patient(settings)) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        chosen = _audience(database, account_id, any_of, all_of, minus, reachable, stopped)
        count = database.read(audiences.count, account_id, chosen)
    if as_json:
        print_json({"count": count})
    else:
        say(str(count))


@click.command("export", cls=Command)
@click.option("--all", "whole_book", is_flag=True, help="Export the whole book.")
@click.option(
    "--stop-list", is_flag=True, help="Export the stop list; with --stopped, only of these channels."
)
@click.option("--person", metavar="PHONE", help="Export everything that is stored under this phone, as JSON.")
@audience_flags
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Format of FILE; by default taken from its name, else csv.",
)
@click.option(
    "--compress",
    type=click.Choice([*COMPRESSIONS]),
    help="Compression of FILE; by default taken from its name.",
)
@click.option(
    "--columns",
    multiple=True,
    metavar="NAMES",
    help="Which columns, in this order, comma-separated; put a name that has a comma in quotation marks.",
)
@click.option("--with-lists", is_flag=True, help="Include the names of each contact's lists.")
@click.option(
    "--safe-for-spreadsheets/--raw",
    default=None,
    help="Put an apostrophe before texts that a spreadsheet would run as a formula, the "
    "default in csv and xlsx; or leave all texts as they are, for programs.",
)
@click.option(BOM.flag, is_flag=True, help=BOM.about)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=STDOUT,
    show_default=True,
    help="File to write; - for standard output.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@account_flags
@flags("database_url")
@json_flag
def export(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    whole_book: bool,
    stop_list: bool,
    person: str | None,
    any_of: Sequence[str],
    all_of: Sequence[str],
    minus: Sequence[str],
    reachable: tuple[str, ...] | None,
    stopped: tuple[str, ...] | None,
    format_: str | None,
    compress: str | None,
    columns: Sequence[str],
    with_lists: bool,
    safe_for_spreadsheets: bool | None,
    bom: bool,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export contacts of lists, the whole book, the stop list, or one person's data.

    The export shows the book at one moment, however long it takes. FILE appears only once it is complete.
    """
    some_lists = bool(any_of or all_of)
    if [some_lists, whole_book, stop_list, person is not None].count(True) != 1:
        raise click.UsageError("Say what to export: --list (or --and), --all, --stop-list or --person PHONE.")
    if stop_list and (minus or reachable):
        raise click.UsageError("--minus and --reachable do not go with --stop-list.")
    if as_json and output == STDOUT:
        raise click.UsageError("--json tells of the FILE that was written: it needs -o FILE.")
    started = time.monotonic()
    with database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        if person is not None:
            if any((minus, reachable, stopped, format_, compress, columns, with_lists, bom)):
                raise click.UsageError("--person goes with -o, --force and --json only: it is all, as JSON.")
            data = _person(database, account_id, person)
            with _written(output, force=force) as file:
                file.write(data)
            rows = 1
        else:
            named_format, named_compression = _named_by(output)
            wanted = Export(
                what="stop list" if stop_list else "contacts",
                audience=Audience()
                if stop_list
                else _audience(database, account_id, any_of, all_of, minus, reachable, stopped),
                channels=stopped or () if stop_list else (),
                format=format_ or named_format or "csv",
                compress=compress or named_compression,
                columns=named(columns),
                with_lists=with_lists,
                safe_for_spreadsheets=safe_for_spreadsheets,
                bom=bom,
            )
            total = database.read(exports.check, account_id, wanted)
            binary = wanted.compress or wanted.format in ("xlsx", "parquet")
            if output == STDOUT and binary and sys.stdout.isatty():
                raise click.UsageError("Refusing to write binary data to a terminal; use -o FILE.")
            hidden = quiet or as_json or (output == STDOUT and sys.stdout.isatty())  # rows are visible then
            with _written(output, force=force) as file, _progress(total, quiet=hidden) as progress:
                rows = exports.write(database, account_id, wanted, file, progress)
    if output != STDOUT and Path(output).is_file():
        size = Path(output).stat().st_size
        summary = ExportSummary(rows, output, size, round(time.monotonic() - started, 3))
        if as_json:
            print_json(summary)
        elif not quiet:
            say(f"{counted(rows, 'row')}, {counted(size, 'byte')}: {output}")


def _audience(
    database: Database,
    account_id: int,
    any_of: Sequence[str],
    all_of: Sequence[str],
    minus: Sequence[str],
    reachable: tuple[str, ...] | None,
    stopped: tuple[str, ...] | None,
) -> Audience:
    words = [*any_of, *all_of, *minus]
    ids = dict(zip(words, database.read(lists.resolve, account_id, words), strict=True)) if words else {}
    return Audience(
        lists=tuple(ids[word] for word in any_of),
        all_of=tuple(ids[word] for word in all_of),
        minus=tuple(ids[word] for word in minus),
        reachable=reachable or (),
        stopped=stopped or (),
    )


def _person(database: Database, account_id: int, text: str) -> bytes:
    try:
        phone = phones.parse(text)
    except phones.BadPhone as error:
        raise Invalid([Problem("phone", f"The phone {error}.")]) from error
    found = database.read(people.of_phone, account_id, phone)
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _named_by(output: str) -> tuple[str | None, str | None]:
    """The format and the compression in the name of a file: `list.csv.gz`."""
    suffixes = [suffix.lower() for suffix in Path(output).suffixes[-2:]]
    compression = COMPRESSION_OF.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    return (FORMAT_OF.get(suffixes[-1]) if suffixes else None), compression


@contextmanager
def _written(output: str, *, force: bool) -> Iterator[BinaryIO]:
    """The output: standard output, or a file that gets its name only when it is complete.

    Raises:
        CannotWrite: the file exists, another export writes it, or the disk cannot store it.
    """
    if output == STDOUT:
        file = standard_output()
        yield file
        file.flush()
        return
    path = Path(output)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the command like Ctrl-C, and cleans up
    try:
        if path.is_dir():
            raise CannotWrite(path, "it is a folder")
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced by a file
            with path.open("wb") as device:
                yield device
            return
        if path.exists() and not force:
            raise CannotWrite(path, "it is there already; --force replaces it")
        part = path.with_name(f"{path.name}.part")
        with part.open("ab") as file:
            if not paths.try_lock(file):
                raise CannotWrite(path, "another export writes it now")
            try:
                file.truncate(0)
                yield file
                paths.store(file)
                part.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from error


@contextmanager
def _progress(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Shows the number of rows on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rollbook.cli.progress import Line

    started = time.monotonic()
    with Line(quiet=False) as line:
        written = 0

        def show_progress(rows: int) -> None:
            nonlocal written
            written = rows
            line.show("exporting", rows, total or 0, "rows", rows / max(time.monotonic() - started, 0.001))

        yield show_progress
        line.end("done", written)


def _patient(settings: Settings) -> Settings:
    return replace(settings, statement_timeout_seconds=COUNT_SECONDS_MAX)
