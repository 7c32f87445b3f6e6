"""Exports: an audience, the whole book or the stop list as a file, in constant memory, from one snapshot of
the database (docs/decisions/0022). The data of one person is in `exports.person`."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO, Literal

import msgspec

from rollbook import audience, channels
from rollbook.audience import Audience
from rollbook.channels import mask_of
from rollbook.db import Cell, Database, Piece, Transaction
from rollbook.errors import Invalid, Problem
from rollbook.exports import columns
from rollbook.exports.columns import ExportColumn
from rollbook.options import mention

MEDIA = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""The formats, each with its media type."""

FORMATS = tuple(MEDIA)

COMPRESSIONS = {"gzip": (".gz", "application/gzip"), "zstd": (".zst", "application/zstd")}
"""How a file of lines can be compressed: the suffix of its name, and its media type."""

SPREADSHEETS = ("csv", "xlsx")
"""Formats that people open in a spreadsheet."""


class Export(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to export, and in which form.

    Args:
        what: contacts, or rows of the stop list.
        audience: which contacts; without a list, the whole book.
        channels: only rows of the stop list of any of these channels.
        format: one of `FORMATS`.
        compress: one of `COMPRESSIONS`; XLSX and Parquet are compressed already.
        columns: their names, in this order; empty for the default ones, see `columns`.
        with_lists: whether the names of each contact's lists are included.
        safe_for_spreadsheets: whether a text that a spreadsheet would take for a formula gets an apostrophe
            in front; `None`: in the formats that people open in a spreadsheet.
        bom: whether a CSV begins with a byte order mark, by which Excel recognizes UTF-8.

    Raises:
        Invalid: naming everything that is not possible.
    """

    what: Literal["contacts", "stop list"] = "contacts"
    audience: Audience = Audience()
    channels: tuple[str, ...] = ()
    format: str = "csv"
    compress: str | None = None
    columns: tuple[str, ...] = ()
    with_lists: bool = False
    safe_for_spreadsheets: bool | None = None
    bom: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.format not in FORMATS:
            problems.append(Problem("format", f"The format must be one of {', '.join(FORMATS)}."))
        if self.compress is not None and self.compress not in COMPRESSIONS:
            problems.append(Problem("compress", f"The compress must be {' or '.join(COMPRESSIONS)}."))
        elif self.compress and self.format in ("xlsx", "parquet"):
            problems.append(Problem("compress", f"A file in {self.format} is compressed already."))
        if self.safe_for_spreadsheets and self.format not in SPREADSHEETS:
            what = f"{mention('safe_for_spreadsheets', 'true')} goes with {' and '.join(SPREADSHEETS)} only."
            problems.append(Problem("safe_for_spreadsheets", what))
        if self.bom and self.format != "csv":
            problems.append(Problem("bom", f"{mention('bom', 'true')} goes with csv only."))
        if self.channels:
            try:
                channels.parse(self.channels, called="type")
            except ValueError as error:
                problems.append(Problem("type", str(error)))
        if self.with_lists and self.what == "stop list":
            problems.append(
                Problem("with_lists", f"{mention('with_lists', 'true')} goes with contacts only.")
            )
        if problems:
            raise Invalid(problems)

    @property
    def is_safe(self) -> bool:
        """Whether texts that a spreadsheet would take for a formula are marked."""
        said = self.safe_for_spreadsheets
        return self.format in SPREADSHEETS if said is None else said

    @property
    def suffix(self) -> str:
        """The suffix of the name of the file: `.csv.gz`."""
        return f".{self.format}{COMPRESSIONS[self.compress][0] if self.compress else ''}"

    @property
    def media_type(self) -> str:
        """The media type of the file."""
        return COMPRESSIONS[self.compress][1] if self.compress else MEDIA[self.format]


def check(tx: Transaction, account_id: int, export: Export) -> int | None:
    """Check that everything that an export names exists.

    Returns:
        How many rows it will have, where that is known.

    Raises:
        Invalid: naming every list, channel and column that does not exist.
    """
    problems: list[Problem] = []
    for look in (columns.chosen, _look_at_audience):
        try:
            look(tx, account_id, export)
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid(problems)
    if export.what == "contacts":
        return audience.kept(tx, account_id, export.audience)
    return None


def write(
    database: Database,
    account_id: int,
    export: Export,
    out: BinaryIO,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write an export, all of it from one snapshot.

    Args:
        out: receives the file from its beginning to its end; it need not be seekable.
        progress: called again and again with the number of rows so far.

    Returns:
        How many rows were written.

    Raises:
        Invalid: as in `check`.
        Unavailable: the connection to the database was lost; the file is incomplete.
    """
    from rollbook.exports import writers

    rows = 0
    with database.long_read() as tx:
        chosen = columns.chosen(tx, account_id, export)
        pieces = _pieces(tx, account_id, export, chosen)
        head = [writers.FileColumn(each.shown, each.kind) for each in chosen]
        with writers.compressed(out, export.compress) as file, ExitStack() as stack:
            if export.bom:
                file.write(codecs.BOM_UTF8)
            writer = stack.enter_context(writers.opened(export.format, head, file))
            for piece in pieces:
                writer.add(piece.data)
                rows += piece.rows
                if progress is not None:
                    progress(rows)
    return rows


def _pieces(tx: Transaction, account_id: int, export: Export, chosen: list[ExportColumn]) -> Iterator[Piece]:
    cells = [Cell(each.sql, each.kind in ("text", "texts")) for each in chosen]
    params: dict[str, object] = {"account_id": account_id}
    for each in chosen:
        params |= each.params
    if export.what == "contacts":
        selected = audience.select(tx, account_id, export.audience)
        return tx.csv(cells, selected.rows, selected.where, **{**params, **selected.params})
    # In the order of phones, as stored: a phone is above 0 and unique.
    rows = f"""
        SELECT stop_list.phone AS id, stop_list.phone, stop_list.id AS row_id, stop_list.mask,
               stop_list.created_at
        FROM stop_list WHERE stop_list.account_id = :account_id AND stop_list.phone > :after
        {tx.in_pieces("stop_list.phone")}
    """
    where = f"source.mask & {mask_of(export.channels)} <> 0" if export.channels else "TRUE"
    tx.read_whole_tables(joined=True)
    return tx.csv(cells, rows, where, **params)


def _look_at_audience(tx: Transaction, account_id: int, export: Export) -> None:
    if export.what == "contacts":
        audience.check(tx, account_id, export.audience)
