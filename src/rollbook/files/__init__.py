"""Tables of contacts in files that people have: CSV, spreadsheets, Parquet, JSON lines, vCard.

`open_table` finds out what a file is and gives its rows as a stream of Arrow batches, in bounded memory. It
knows nothing of accounts and lists. This module is light: the readers, and with them pyarrow, are imported
when the first file is opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from rollbook.files.phone_columns import guess_phone_column, phone_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "SENTENCES",
    "BadRow",
    "FileOptions",
    "ReadOptions",
    "RowBatch",
    "Table",
    "guess_phone_column",
    "open_table",
    "phone_columns",
]

FORMATS = ("csv", "xlsx", "parquet", "jsonl", "vcard")

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "too_many_cells": "The row has more cells than the file has columns.",
        "text_after_quote": "Text follows a closing quotation mark, so it is not clear where the cell ends.",
        "not_json": "The line is not JSON.",
        "not_an_object": "The line is JSON, but not an object with a name for each value.",
        "no_end": "The card has no END:VCARD.",
        "outside_of_card": "The line is outside of any card.",
        "not_a_property": "The line is not a vCard property: it has no colon.",
    }
)
"""Why a row could not be read: machine word -> sentence for people."""

TEXT_BYTES_MAX = 10 * 1024
"""Characters kept of the text of a bad row."""

SAMPLE_ROWS = 100
"""Rows from the top of a file that are there for guessing."""


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What callers can say of a file; what is `None` is detected. Each is an option of `options.READING` with
    the same name, which says what it means and checks it."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    sheet: str | None = None
    skip_rows: int = 0
    skip_hidden: bool = False


class ReadOptions(FileOptions, frozen=True, kw_only=True):
    """How to read a file.

    Args:
        line_bytes_max: of one row in UTF-8; one that is longer makes the file unreadable.
        expanded_bytes_max: of the file when decompressed.
        expansion_max: how many times its size a compressed file may be when decompressed, beyond the first
            64 MiB. CSV of phones has a factor of 3 to 10; a bomb has 1000 (gzip's most) and more.
        batch_rows: rows in a batch, about; batches of long rows have fewer (`csv_table.BLOCK_BYTES_MAX`).
        alive: told again and again that the reading goes on; what it raises ends it.
    """

    line_bytes_max: int = 1 << 20
    expanded_bytes_max: int = 64 << 30
    expansion_max: int = 200
    batch_rows: int = 250_000
    alive: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; the rows around it can.

    Args:
        line: where it begins, as in `RowBatch.lines`.
        text: the row as it stands in the file, cut at `TEXT_BYTES_MAX`.
        reason: a key of `SENTENCES`.
        cells: as far as they can be separated, in the order of the columns.
    """

    line: int
    text: str
    reason: str
    cells: Sequence[str | None] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows of a file, in its order.

    Args:
        cells: the table's columns, all strings. Null is a cell that the row does not have: a short row, an
            absent key, an empty cell of a spreadsheet. An empty cell of a CSV is an empty string.
        lines: for each row the line of the file on which it begins, from 1, as an editor shows it; the
            sheet's row of a spreadsheet; the row's number in Parquet.
        bad: the rows among these that cannot be read.
        bytes_done: how much of `Table.size_bytes` is read.
        blank: rows that were passed over, since nothing but white space is in any of their cells.
    """

    cells: pa.RecordBatch
    lines: NDArray[np.int64]
    bad: list[BadRow]
    bytes_done: int
    blank: int = 0


class Table(ABC):
    """A file that is open for reading; a context manager that closes it.

    Attributes:
        format: one of `FORMATS`.
        delimiter: of a CSV.
        compression: `gzip`, `zstd` or `None`.
        header: whether the columns' names are from the file.
        header_line: on which they stand, where it is one; `None` also for formats without such a line.
        sheet: the name of the spreadsheet's sheet that is read.
        columns: their names, trimmed, no two alike; `column 1`, `column 2`... where the file has none.
        left_out: numbers that are not phones, by what they are for, of what was read so far. Of vCards.
        hidden_rows: rows that a filter or a person hid. Of spreadsheets.
        size_bytes: of the file on the disk.
        sample: the first rows, at most `SAMPLE_ROWS`, a cell for each column.
    """

    format: str
    delimiter: str | None = None
    compression: str | None = None
    header: bool = True
    header_line: int | None = None
    sheet: str | None = None
    left_out: Mapping[str, int] = MappingProxyType({})
    hidden_rows: int = 0
    columns: list[str]
    size_bytes: int
    sample: list[list[str | None]]

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def encoding(self) -> str | None:
        """By Python's name; `None` where the format has its own. Of a file that is all ASCII so far it is
        `utf-8`, and may change when the first other character tells."""
        return None

    def batches(self) -> Iterator[RowBatch]:
        """The rows, without blank ones, which are counted. May be called once.

        Raises:
            BadFile: the file cannot be read any further.
        """
        from rollbook.files.cells import without_blank

        return map(without_blank, self._batches())

    @abstractmethod
    def _batches(self) -> Iterator[RowBatch]:
        """The rows as they stand in the file. See `batches`."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_table(path: str | Path, options: ReadOptions | None = None) -> Table:
    """Open a file of contacts, whatever it is.

    The format is found by the content; the name decides only where the content leaves it open.

    Args:
        path: a file on the disk, plain or compressed by gzip or zstd.
        options: what is known of it.

    Raises:
        BadFile: it cannot be read, or not with these options; the sentence says what to do.
    """
    from rollbook.files.detect import open_detected

    return open_detected(Path(path), options or ReadOptions())


def cut(text: str) -> str:
    """The text of a bad row, cut at `TEXT_BYTES_MAX`."""
    if len(text) <= TEXT_BYTES_MAX // 4:
        return text
    return text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")


def padded(rows: Sequence[Sequence[str | None]], width: int) -> list[list[str | None]]:
    """Rows of a sample, each with a cell for every column."""
    return [[*row[:width], *[None] * (width - len(row))] for row in rows[:SAMPLE_ROWS]]
