"""Reading Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from rollbook.errors import BadFile
from rollbook.files import SAMPLE_ROWS, ReadOptions, RowBatch, Table
from rollbook.files.cells import texts_of
from rollbook.files.headers import unique_names
from rollbook.files.source import about, size_of

BATCH_BYTES = 16 << 20
"""Most bytes of values in one batch, by the sizes in the file's directory."""

PART_ROWS_MIN, PART_ROWS_MAX = 64, 8_192
"""Rows that are decoded at a time. How large they are when decoded is not known before: equal cells take next
to nothing in the file."""

READ_BYTES = 1 << 20
"""Read from the disk at a time, instead of a column of a row group at once."""


class ParquetTable(Table):
    """A Parquet file that is open for reading; `RowBatch.lines` are numbers of rows.

    Raises:
        BadFile: it is damaged or cut off.
    """

    format = "parquet"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.size_bytes = size_of(path)
        self._alive = options.alive
        self._cell_bytes_max = options.line_bytes_max
        with about(path), path.open("rb") as file:
            file.seek(max(0, self.size_bytes - 4))
            if file.read() not in (b"PAR1", b"PARE"):
                raise BadFile("The Parquet file is cut off: its end is missing. Get a complete copy of it.")
        with _undamaged():
            self._file = parquet.ParquetFile(
                path, pre_buffer=False, buffer_size=READ_BYTES, page_checksum_verification=True
            )
        try:
            self._begin(options)
        except BaseException:
            self.close()
            raise

    def _batches(self) -> Iterator[RowBatch]:
        """See `Table._batches`."""
        done = 0
        for cells in self._joined():
            lines = np.arange(done + 1, done + 1 + cells.num_rows)
            done += cells.num_rows
            yield RowBatch(cells, lines, [], self.size_bytes * done // max(1, self._rows))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self, options: ReadOptions) -> None:
        with _undamaged():
            names = self._file.schema_arrow.names
            metadata = self._file.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self.columns = unique_names(names, len(names))
        self._rows = metadata.num_rows
        row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
        self._batch_rows = max(1, min(options.batch_rows, int(BATCH_BYTES / max(1, row_bytes))))
        first = next(iter(self._read(SAMPLE_ROWS)), None)
        decoded = first.nbytes / max(1, first.num_rows) if first else 1
        self._part_rows = int(max(PART_ROWS_MIN, min(PART_ROWS_MAX, BATCH_BYTES / max(1.0, decoded))))
        self.sample = [list(row.values()) for row in first.slice(0, SAMPLE_ROWS).to_pylist()] if first else []

    def _joined(self) -> Iterator[pa.RecordBatch]:
        """Batches of as many rows as were asked for, if these are not large."""
        parts: list[pa.RecordBatch] = []
        rows = size = 0
        for part in self._read(min(self._batch_rows, self._part_rows)):
            parts.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            if rows >= self._batch_rows or size >= BATCH_BYTES:
                yield pa.concat_batches(parts)
                parts, rows, size = [], 0, 0
        if parts:
            yield pa.concat_batches(parts)

    def _read(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        batches = self._file.iter_batches(batch_size=batch_rows, use_threads=False)
        while True:
            self._alive()
            with _undamaged():
                batch = next(batches, None)
            if batch is None:
                return
            columns = [self._texts(*column) for column in zip(self.columns, batch.columns, strict=True)]
            yield pa.record_batch(columns, names=self.columns)

    def _texts(self, name: str, column: pa.Array) -> pa.Array:
        try:
            column.validate(full=True)  # Parquet's reader takes the file's word for what is UTF-8.
            texts = texts_of(column)
            if (longest := pc.max(pc.binary_length(texts)).as_py() or 0) > self._cell_bytes_max:
                raise BadFile(
                    f"A cell in the column {name!r} of the Parquet file has {longest:,} bytes; up to "
                    f"{self._cell_bytes_max:,} are read. This is not a table of contacts."
                )
            return texts
        except (pa.ArrowInvalid, UnicodeDecodeError):
            raise BadFile(f"The column {name!r} of the Parquet file holds bytes that are not text.") from None


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except MemoryError:  # Arrow's own is one of its exceptions, too
        raise
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, LookupError) as error:
        raise BadFile(f"The Parquet file is damaged: {_brief(error)}. Get a good copy of it.") from None


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
