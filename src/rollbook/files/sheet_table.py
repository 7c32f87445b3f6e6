"""Reading spreadsheets: XLSX, and the older XLS."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastexcel
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rollbook.errors import BadFile
from rollbook.files import SAMPLE_ROWS, ReadOptions, RowBatch, Table, hidden_rows, sheet_size
from rollbook.files.cells import iso
from rollbook.files.headers import header_place, unique_names
from rollbook.files.source import size_of
from rollbook.options import mention


class SheetTable(Table):
    """A sheet of a spreadsheet; `RowBatch.lines` are the sheet's rows. All of it is in memory.

    Raises:
        BadFile: it is damaged, too large, or has several sheets with something in them and none was named.
    """

    format = "xlsx"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.size_bytes = size_of(path)
        self._batch_rows = options.batch_rows
        if zipfile.is_zipfile(path):
            sheet_size.check(path, self.size_bytes, options)
        try:
            book = fastexcel.read_excel(str(path))
        except fastexcel.FastExcelError as error:
            raise BadFile(f"The spreadsheet cannot be read: {_brief(error)}.") from None
        self.sheet, cells = _chosen(book, options.sheet)
        cells, rows = _filled(cells)
        hidden = np.zeros(0, np.int64)
        if zipfile.is_zipfile(path):
            hidden = hidden_rows.of_sheet(path, self.sheet)
        if options.skip_rows:
            begin = int(np.searchsorted(rows, options.skip_rows, "right"))
            rows, cells = rows[begin:], cells.slice(begin)
            if not cells.num_rows:
                raise BadFile(
                    f"The sheet has nothing below the {options.skip_rows:,} rows that are to be skipped."
                )
        top = [list(row.values()) for row in cells.slice(0, SAMPLE_ROWS).to_pylist()]
        place = header_place(top) if options.header is not False else None
        if options.header and place is None and top:
            place = 0
        self.header = place is not None
        names = unique_names(top[place] if place is not None else [], cells.num_columns)
        cells = cells.rename_columns(names)
        if place is not None:
            named = top[place]
            self.header_line = int(rows[place])
            rows, cells = rows[place + 1 :], cells.slice(place + 1)
            # A column of which the header says nothing and no row has anything is only formatted.
            kept = [
                place
                for place, column in enumerate(cells.columns)
                if (named[place] or "").strip() or column.null_count < len(column)
            ]
            cells = cells.select(kept)
        # Rows of the sheet between those that have something.
        self._blank = int(rows[-1] - rows[0]) + 1 - len(rows) if len(rows) else 0
        is_hidden = np.isin(rows, hidden)
        self.hidden_rows = int(np.count_nonzero(is_hidden))
        if options.skip_hidden and self.hidden_rows:
            rows, cells = rows[~is_hidden], cells.filter(pa.array(~is_hidden))
        self.columns = cells.schema.names
        self.sample = [list(row.values()) for row in cells.slice(0, SAMPLE_ROWS).to_pylist()]
        self._cells, self._rows = cells, rows

    def _batches(self) -> Iterator[RowBatch]:
        """See `Table._batches`."""
        count = self._cells.num_rows
        blank = self._blank
        for begin in range(0, count, self._batch_rows):
            done = min(count, begin + self._batch_rows)
            cells = self._cells.slice(begin, self._batch_rows)
            rows = self._rows[begin:done]
            yield RowBatch(cells, rows, [], self.size_bytes * done // count, blank)
            blank = 0

    def close(self) -> None:
        """Let go of the sheet."""
        self._cells, self._rows = self._cells.slice(0, 0), self._rows[:0]


def _chosen(book: Any, name: str | None) -> tuple[str, pa.RecordBatch]:
    """The sheet that was named, or the only one with something in it."""
    names = book.sheet_names
    if name is not None:
        alike = [found for found in names if found.strip().casefold() == name.strip().casefold()]
        if name not in names and len(alike) != 1:
            raise BadFile(f"The spreadsheet has no sheet {name!r}; it has {', '.join(names)}.")
        chosen = name if name in names else alike[0]
        return chosen, _load(book, chosen)[0]
    filled: dict[str, pa.RecordBatch] = {}
    hidden: dict[str, pa.RecordBatch] = {}
    for sheet in names:
        cells, is_visible = _load(book, sheet)
        if cells.num_rows:
            (filled if is_visible else hidden)[sheet] = cells
    filled = filled or hidden
    if not filled:
        raise BadFile("The spreadsheet is empty: no sheet has anything in it.")
    if len(filled) > 1:
        raise BadFile(
            f"The spreadsheet has {len(filled)} sheets: {', '.join(filled)}. Choose one, for example "
            f"{mention('sheet', next(iter(filled)))}."
        )
    return next(iter(filled.items()))


def _load(book: Any, name: str) -> tuple[pa.RecordBatch, bool]:
    """A sheet with all its rows from the first on, and whether it is shown."""
    try:
        sheet = book.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
        visible = sheet.visible == "visible"
        if not sheet.width or not sheet.height:
            return pa.record_batch([], names=[]), visible
        return sheet.to_arrow(), visible
    except fastexcel.FastExcelError as error:
        raise BadFile(f"The sheet {name!r} cannot be read: {_brief(error)}.") from None


def _filled(cells: pa.RecordBatch) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """The rows and columns that have anything in them, and the rows' numbers in the sheet, from 1."""
    texts = [iso(column.cast(pa.string())) for column in cells.columns]
    any_: Any = pa.array(np.zeros(cells.num_rows, bool))
    kept = []
    for place, column in enumerate(texts):
        has_text = pc.fill_null(pc.not_equal(column, ""), False)
        any_ = pc.or_(any_, has_text)
        if pc.any(has_text).as_py():
            kept.append(place)
    rows = np.flatnonzero(any_.to_numpy(zero_copy_only=False))
    batch = pa.record_batch([texts[place] for place in kept], names=[str(place) for place in kept])
    if len(rows) < cells.num_rows:
        batch = batch.take(pa.array(rows))
    return batch, rows + 1


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:200]
