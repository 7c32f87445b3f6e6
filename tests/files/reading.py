"""Reading a whole file in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from rollbook.files import BadRow, ReadOptions, open_table

Row = list[str | None]


class Whole(NamedTuple):
    """Everything in a file."""

    columns: list[str]
    rows: list[Row]
    lines: list[int]
    bad: list[BadRow]
    about: dict[str, Any]


def read(path: Path, **options: Any) -> Whole:
    """Read a file to its end."""
    rows: list[Row] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    done = 0
    with open_table(path, ReadOptions(**options)) as table:
        for batch in table.batches():
            assert batch.cells.schema.names == table.columns
            assert set(map(str, batch.cells.schema.types)) <= {"string"}
            assert batch.cells.num_rows == len(batch.lines)
            assert done <= batch.bytes_done <= table.size_bytes
            done = batch.bytes_done
            rows += [list(row.values()) for row in batch.cells.to_pylist()]
            lines += batch.lines.tolist()
            bad += batch.bad
        about = {
            "format": table.format,
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "compression": table.compression,
            "header": table.header,
            "sheet": table.sheet,
        }
        assert all(len(row) == len(table.columns) for row in table.sample)
        assert table.size_bytes == path.stat().st_size
        return Whole(table.columns, rows, lines, bad, about)
