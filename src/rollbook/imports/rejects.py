"""The rejected rows of a file: a CSV with the line, the reason, and the original row of each. It is safe to
open in a spreadsheet (`files.formulas`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from rollbook.files import SENTENCES, BadRow, formulas
from rollbook.phones import REASONS
from rollbook.texts import counted

NAME = "rejects.csv"
HEAD = ("rollbook:line", "rollbook:reason", "rollbook:message")
ROW_BYTES_MAX = 2 * 1024
"""How much of a row's text is kept."""

CUT = f"The row is longer than {ROW_BYTES_MAX:,} bytes and cut here."

PIECE_ROWS = 4_096
"""How many rows are written at a time."""

UNREADABLE = "rollbook:row"
"""The column with the text of rows that could not be split into cells, or not with certainty."""

HEAD_BEFORE, UNREADABLE_BEFORE = ("line", "reason", "message"), "row"
"""The old names of these columns, which other files have too."""

REASONS_BEFORE = frozenset((*REASONS[1:], *SENTENCES, "out_of_bounds", "bad_value", "too_many_lists"))
_SECOND = " (2)"


class Repaired(NamedTuple):
    """The columns of a file of rejected rows that was repaired and is imported again.

    Args:
        ours: columns that rollbook added, which have no meaning in an import.
        unreadable: the one of them with the text of unreadable rows.
        shown: the original names of columns that were renamed because rollbook's columns had the same names.
    """

    ours: frozenset[str] = frozenset()
    unreadable: str | None = None
    shown: Mapping[str, str] = {}


def repaired(columns: Sequence[str], sample: Sequence[Sequence[str | None]]) -> Repaired:
    """Find the columns that rollbook added to a file of rejected rows. Those with old names are recognized by
    their cells.

    Args:
        sample: rows from the top of the file.
    """
    ours = frozenset(columns) & {*HEAD, UNREADABLE}
    if ours:
        return Repaired(ours, UNREADABLE if UNREADABLE in ours else None)
    last = columns[-1] if columns else ""
    if tuple(columns[:3]) != HEAD_BEFORE or last.removesuffix(_SECOND) != UNREADABLE_BEFORE or not sample:
        return Repaired()
    for row in sample:
        line, reason, message = ((cell or "").strip() for cell in row[:3])
        if not line.isdecimal() or reason not in REASONS_BEFORE or not message.endswith("."):
            return Repaired()
    ours = frozenset((*HEAD_BEFORE, last))
    clashing = {f"{name}{_SECOND}": name for name in HEAD_BEFORE}
    return Repaired(ours, last, {column: clashing[column] for column in columns if column in clashing})


class Rejects:
    """Writes a new file of the rejected rows of one import into its folder.

    Args:
        columns: the columns of the file.
        repaired: its columns of rejected rows, if it is a repaired file of rejects.
        bytes_max: how much is written at most; further rows are counted, and a last line gives their number.
    """

    def __init__(self, folder: Path, columns: Sequence[str], repaired: Repaired, *, bytes_max: int) -> None:
        self._file = (folder / NAME).open("wb")
        self._bytes_max = bytes_max
        self._more = 0
        self._kept = [place for place, column in enumerate(columns) if column not in repaired.ours]
        self._text = columns.index(repaired.unreadable) if repaired.unreadable is not None else None
        names = [columns[place] for place in self._kept]
        shown = [formulas.guarded(repaired.shown.get(name, name)) for name in names]
        self._write_lines([[*HEAD, *shown, UNREADABLE]])

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *error: object) -> None:
        with self._file:
            if self._more:
                self._write_lines([_more(self._more, self._bytes_max, len(self._kept))])

    def _is_full(self, rows: int) -> bool:
        """Whether further rows are only counted."""
        if self._more or self._file.tell() >= self._bytes_max:
            self._more += rows
        return self._more > 0

    def add(
        self,
        lines: NDArray[np.int64],
        cells: pa.RecordBatch,
        places: NDArray[np.int64],
        reasons: NDArray[np.object_],
        messages: Sequence[str],
    ) -> None:
        """Add rows of a batch.

        Args:
            lines, cells: those of the whole batch.
            places: the places of the rows in the batch.
            reasons, messages: why each row was rejected.
        """
        options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
        for begin in range(0, len(places), PIECE_ROWS):
            piece = slice(begin, begin + PIECE_ROWS)
            if self._is_full(len(places[piece])):
                continue
            rows, is_long = _shortened(cells.take(pa.array(places[piece])).columns)
            cut = zip(messages[piece], is_long, strict=True)
            head = [
                pa.array(lines[places[piece]]),
                pa.array(reasons[piece], pa.string()),
                pa.array([f"{why} {CUT}" if was_cut else why for why, was_cut in cut], pa.string()),
            ]
            text = rows[self._text] if self._text is not None else pa.nulls(len(places[piece]), pa.string())
            shown = [formulas.guarded_column(column) for column in (*(rows[at] for at in self._kept), text)]
            names = [str(number) for number in range(len(head) + len(shown))]
            arrow_csv.write_csv(pa.Table.from_arrays([*head, *shown], names=names), self._file, options)

    def add_unreadable(self, row: BadRow) -> None:
        """Add a row that could not be split, with its cells as far as they are known."""
        if self._is_full(1):
            return
        cells = [row.cells[place] or "" if place < len(row.cells) else "" for place in self._kept]
        text, why = row.text, SENTENCES[row.reason]
        if len(text.encode()) > ROW_BYTES_MAX:
            text, why = text.encode()[:ROW_BYTES_MAX].decode(errors="ignore"), f"{why} {CUT}"
            cells = [""] * len(cells)
        first = [row.line, row.reason, why]
        self._write_lines([[*first, *map(formulas.guarded, cells), formulas.guarded(text)]])

    def _write_lines(self, rows: Sequence[Sequence[Any]]) -> None:
        self._file.write(_as_csv(rows))


def _shortened(columns: list[pa.Array]) -> tuple[list[pa.Array], NDArray[np.bool_]]:
    """Columns in which no row has much more than `ROW_BYTES_MAX` of text, and which rows were shortened."""
    sizes = np.zeros(len(columns[0]) if columns else 0, np.int64)
    for column in columns:
        sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    is_long = sizes > ROW_BYTES_MAX
    if not is_long.any():
        return columns, is_long
    # A character has four bytes at most.
    each = max(1, ROW_BYTES_MAX // (4 * len(columns)))
    mask = pa.array(is_long)
    cut = [pc.if_else(mask, pc.utf8_slice_codeunits(column, 0, each), column) for column in columns]
    return cut, is_long


def _more(rows: int, bytes_max: int, width: int) -> list[str]:
    more = f"{counted(rows, 'more row')}, which {'is' if rows == 1 else 'are'} counted"
    why = f"And {more}: this file has {bytes_max:,} bytes at most."
    return ["", "more_rows", why, *[""] * width, ""]


def append(folder: Path, rows: Sequence[tuple[int, int, str, str]], column: str) -> None:
    """Add rows that were rejected by the merge: line, phone, reason and message.

    Args:
        column: the name of the column of phones in the file.
    """
    path = folder / NAME
    with path.open("rb") as file:
        head = [*map(formulas.unmarked, next(csv.reader([file.readline().decode()])))]
    place = head.index(column) if column in head else len(head) - 1

    def cells(line: int, phone: int, why: str, message: str) -> list[Any]:
        row = [line, why, message, *[""] * (len(head) - 3)]
        row[place] = phone
        return row

    with path.open("ab") as out:
        out.write(_as_csv([cells(*row) for row in rows]))


def _as_csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    returns = any("\r" in str(cell) for row in rows for cell in row)  # Python quotes only its own line ends
    writer = csv.writer(text, csv.unix_dialect if returns else csv.excel, lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue().encode()
