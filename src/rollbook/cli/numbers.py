"""`rollbook numbers check`: classifies the phone numbers in a file, without a database."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click
import msgspec

from rollbook.cli.common import (
    CommandGroup,
    csv_flags,
    errors_as_sentences,
    json_flag,
    must_differ,
    print_json,
    print_table,
    say,
    usage_errors,
)
from rollbook.cli.options import option_flags
from rollbook.errors import BadFile
from rollbook.files import FileOptions, ReadOptions, RowBatch, Table, formulas, open_table, phone_columns
from rollbook.files.options import READING, reading
from rollbook.files.phone_columns import code_column
from rollbook.imports.spec import REGION
from rollbook.numbers import CHECKED_AT_ONCE_MAX, check
from rollbook.phones import REASONS, REGIONS, SENTENCES, TYPES
from rollbook.texts import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from rollbook.phones.column import PhoneColumn

REGIONS_SHOWN = 15
"""How many regions the table shows; the rest is one row. JSON has all of them."""

_NUMBER = re.compile(r"[-+0-9 ().\xa0]*")

HEAD = ("line", "number", "valid", "possible", "reason", "e164", "region", "type")
DETAILS = ("international", "national", "carrier", "time_zones")


class NumbersReport(msgspec.Struct):
    """How many numbers of a file are valid, possible, and of each type and region.

    Args:
        column: the column of the numbers.
        rows: the rows of the file, except those that cannot be read.
        unreadable: rows that cannot be read.
        valid: numbers in a range that their country assigns.
        possible: valid numbers, and others of a possible length.
        reasons: why the others are not valid.
        types, regions: the types and regions of the valid ones.
    """

    column: str
    rows: int = 0
    unreadable: int = 0
    valid: int = 0
    possible: int = 0
    reasons: dict[str, int] = {}
    types: dict[str, int] = {}
    regions: dict[str, int] = {}


@click.group(cls=CommandGroup)
def numbers() -> None:
    """Phone numbers by themselves: no command here needs a database."""


@numbers.command("check")
@click.argument("path", metavar="FILE", type=click.Path())
@option_flags((REGION, *READING))
@click.option("--column", help="Column that holds the numbers, instead of detecting it.")
@click.option("--output", type=click.Path(dir_okay=False), help="Write a CSV with a row for each number.")
@click.option(
    "--brief",
    is_flag=True,
    help="Leave out formats, carrier and time zones, which take most of the time.",
)
@csv_flags
@json_flag
def numbers_check(
    path: str,
    region: str | None,
    column: str | None,
    output: str | None,
    brief: bool,
    raw: bool,
    bom: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify the phone numbers in FILE (- for standard input): valid or why not, type and country. It
    reads the same kinds of files as `import`."""
    with errors_as_sentences():
        if output is not None:
            must_differ(output, path)
    with usage_errors():
        wanted = reading(FileOptions(**options))
    with errors_as_sentences(), _opened(path, wanted) as table:
        found = _checked(table, _chosen(table, column, region), region, output, brief=brief, raw=raw, bom=bom)
    if as_json:
        print_json(found)
        return
    _print(found)
    if output is not None:
        say(err=True)
        say(f"Wrote {counted(found.rows, 'row')} to {output}.", err=True)


@contextmanager
def _opened(path: str, options: ReadOptions) -> Iterator[Table]:
    if path != "-":
        with open_table(path, options) as table:
            yield table
        return
    with tempfile.NamedTemporaryFile(prefix="rollbook-numbers-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.flush()
        with open_table(file.name, options) as table:
            yield table


def _chosen(table: Table, column: str | None, region: str | None) -> str:
    """The column with the numbers."""
    names = ", ".join(table.columns)
    if column is None:
        from rollbook.imports import stage

        found = phone_columns(table.columns, table.sample, lambda texts: stage.valid(texts, region)).phone
        if found is None:
            raise BadFile(f"No column looks like phone numbers; name one with --column: {names}.")
        return found
    for name in table.columns:
        if name.casefold() == column.strip().casefold():
            return name
    raise BadFile(f"There is no column {column!r}; there are {names}.")


def _checked(
    table: Table, column: str, region: str | None, output: str | None, *, brief: bool, raw: bool, bom: bool
) -> NumbersReport:
    from rollbook.phones.calling_codes import joined
    from rollbook.phones.column import classify

    place = table.columns.index(column)
    codes = code_column(table.columns, table.sample, set(table.columns) - {column})
    found = NumbersReport(column)
    with _writing(output, detailed=not brief, raw=raw, bom=bom) as rows:
        for batch in table.batches():
            texts = batch.cells.column(place)
            if codes is not None:
                texts = joined(texts, batch.cells.column(codes))
            numbers = classify(texts, region)
            _count(found, numbers)
            found.unreadable += len(batch.bad)
            if rows is not None:
                rows.write(batch, texts, numbers, region)
    for name in ("reasons", "types", "regions"):
        counts: dict[str, int] = getattr(found, name)
        setattr(found, name, dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))
    return found


def _count(found: NumbersReport, numbers: PhoneColumn) -> None:
    import numpy as np

    valid = numbers.valid
    found.rows += len(numbers)
    found.valid += int(valid.sum())
    found.possible += int((numbers.possible | valid).sum())
    for counts, words, which in (
        (found.reasons, REASONS, numbers.reason[~valid]),
        (found.types, TYPES, numbers.type[valid]),
        (found.regions, REGIONS, numbers.region[valid]),
    ):
        for index, count in enumerate(np.bincount(which).tolist()):
            if count:
                counts[words[index]] = counts.get(words[index], 0) + count


class _Rows:
    """Writes a row for each number.

    Args:
        file: an empty CSV file.
        detailed: whether the rows have formats, carrier and time zones.
        raw: whether texts of the file stay unmarked where a spreadsheet would run them as formulas.
    """

    def __init__(self, file: TextIO, *, detailed: bool, raw: bool) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._detailed = detailed
        self._shown = str if raw else _safe
        self._writer.writerow((*HEAD, *DETAILS) if detailed else HEAD)

    def write(self, batch: RowBatch, texts: pa.Array, numbers: PhoneColumn, region: str | None) -> None:
        for first in range(0, len(texts), CHECKED_AT_ONCE_MAX):
            part = slice(first, first + CHECKED_AT_ONCE_MAX)
            words = [text or "" for text in texts[part].to_pylist()]
            base = zip(
                batch.lines[part].tolist(),
                map(self._shown, words),
                _said(numbers.valid[part].tolist()),
                _said((numbers.possible | numbers.valid)[part].tolist()),
                (REASONS[reason] for reason in numbers.reason[part]),
                (f"+{phone}" if phone else "" for phone in numbers.phone[part].tolist()),
                (REGIONS[region] for region in numbers.region[part]),
                (TYPES[type] for type in numbers.type[part]),
                strict=True,
            )
            if not self._detailed:
                self._writer.writerows(base)
                continue
            for row, number in zip(base, check(words, region), strict=True):
                zones = " ".join(number.time_zones)
                details = (number.international, number.national, number.carrier, zones)
                self._writer.writerow((*row, *details))


@contextmanager
def _writing(output: str | None, *, detailed: bool, raw: bool, bom: bool) -> Iterator[_Rows | None]:
    if output is None:
        yield None
        return
    try:
        with open(output, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
            yield _Rows(file, detailed=detailed, raw=raw)
    except OSError as error:
        raise BadFile(f"{output} cannot be written: {(error.strerror or str(error)).lower()}.") from error


def _safe(text: str) -> str:
    """The text, marked if a spreadsheet could run it: without letters it is a number or a sum at most."""
    return text if _NUMBER.fullmatch(text) else formulas.marked(text)


def _said(values: Sequence[bool]) -> Iterator[str]:
    return ("yes" if value else "no" for value in values)


def _print(found: NumbersReport) -> None:
    say(f"Column {found.column!r}: {counted(found.rows, 'number')}, of which are")
    rows = [("valid", found.valid)]
    rows += [(f"not: {SENTENCES[reason]}", count) for reason, count in found.reasons.items()]
    _print_counts("", rows, found.rows)
    if found.unreadable:
        say(f"{counted(found.unreadable, 'more row')} cannot be read.")
    if found.valid:
        say()
        _print_counts("TYPE", [(name.replace("_", " "), n) for name, n in found.types.items()], found.valid)
        say()
        regions = [*found.regions.items()]
        if len(regions) > REGIONS_SHOWN + 1:
            rest = sum(count for _, count in regions[REGIONS_SHOWN:])
            regions[REGIONS_SHOWN:] = [(f"{len(regions) - REGIONS_SHOWN} others", rest)]
        _print_counts("REGION", regions, found.valid)


def _print_counts(head: str, rows: Sequence[tuple[str, int]], of: int) -> None:
    width = len(f"{of:,}")
    print_table(
        [head, "NUMBERS".rjust(width), "SHARE"],
        [[name, f"{n:,}".rjust(max(width, len("NUMBERS"))), f"{n / max(of, 1):6.1%}"] for name, n in rows],
    )
