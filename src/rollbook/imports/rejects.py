"""The rows of a file that were left out: a CSV with their line, the reason, and the row as it was. It is safe
to open in a spreadsheet (`files.formulas`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from rollbook.files import SENTENCES, BadRow, formulas

NAME = "rejects.csv"
HEAD = ("line", "reason", "message")
UNREADABLE = "row"
"""The column with the text of rows that could not be taken apart into cells."""


class Rejects:
    """Writes the rejects of one import into its folder, anew.

    Args:
        columns: of the file.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._file = (folder / NAME).open("wb")
        self._width = len(columns)
        self._write_lines([[*HEAD, *map(formulas.guarded, columns), UNREADABLE]])

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

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
            lines, cells: of the whole batch.
            places: of the rows in it.
            reasons, messages: why each of them was left out.
        """
        rows = cells.take(pa.array(places))
        table = pa.Table.from_arrays(
            [
                pa.array(lines[places]),
                pa.array(reasons, pa.string()),
                pa.array(messages, pa.string()),
                *map(formulas.guarded_column, rows.columns),
                pa.nulls(len(places), pa.string()),
            ],
            names=[str(number) for number in range(self._width + 4)],
        )
        options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
        arrow_csv.write_csv(table, self._file, options)

    def add_unreadable(self, row: BadRow) -> None:
        """Add a row that could not be taken apart."""
        self._write_lines(
            [[row.line, row.reason, SENTENCES[row.reason], *[""] * self._width, formulas.guarded(row.text)]]
        )

    def _write_lines(self, rows: Sequence[Sequence[Any]]) -> None:
        self._file.write(_as_csv(rows))


def append(folder: Path, rows: Sequence[tuple[int, int, str, str]]) -> None:
    """Add rows that were refused when they came to the book: line, phone, reason and message."""
    path = folder / NAME
    with path.open("rb") as file:
        width = len(next(csv.reader([file.readline().decode()])))
    with path.open("ab") as file:
        file.write(
            _as_csv([[line, why, message, *[""] * (width - 4), phone] for line, phone, why, message in rows])
        )


def _as_csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    returns = any(
        "\r" in str(cell) for row in rows for cell in row
    )  # Python quotes none but of its line ends
    writer = csv.writer(text, csv.unix_dialect if returns else csv.excel, lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue().encode()
