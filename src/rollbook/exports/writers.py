"""Writers of tables as files: CSV, JSON lines, Parquet, XLSX. Each takes the rows as pieces of CSV and writes
its file from the beginning to the end, in bounded memory. pyarrow and xlsxwriter are imported where needed.
"""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

GZIP_LEVEL = 5
"""Takes half the time of level 9; files are 2 % larger."""

ROWS_OF_A_GROUP = 100_000
"""Rows in each group of a Parquet file: some 10 MB in memory."""

ROWS_OF_A_SHEET = 1_048_576
"""The most rows that a sheet of a spreadsheet can have, including its header; further rows go to further
sheets."""

PHONE_WIDTH, TEXT_WIDTH = 16, 22
"""The widths of a spreadsheet's columns, in characters."""


class FileColumn(NamedTuple):
    """A column of a file.

    Args:
        kind: the type of its values: integers; moments as ISO 8601 in UTC; texts; JSON arrays of texts.
    """

    name: str
    kind: Literal["integer", "moment", "text", "texts"]


class Writer(ABC):
    """A file that is being written. As a context manager it ends the file, or discards it after an error."""

    def __init__(self, columns: Sequence[FileColumn], out: BinaryIO) -> None:
        self.columns = columns
        self.out = out

    @abstractmethod
    def add(self, rows: bytes) -> None:
        """Add whole rows: CSV in UTF-8 without a header. An empty cell means that there is no value."""

    def end(self) -> None:
        """Write what follows the last row."""
        self.out.flush()

    @abstractmethod
    def discard(self) -> None:
        """Leave the file cut off, so that it cannot be taken for a complete one."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        else:
            self.discard()


class _Csv(Writer):
    """UTF-8 without a byte order mark, as in RFC 4180 except for the line ends: a line feed."""

    def __init__(self, columns: Sequence[FileColumn], out: BinaryIO) -> None:
        super().__init__(columns, out)
        head = io.StringIO()
        csv.writer(head, lineterminator="\n").writerow([column.name for column in columns])
        out.write(head.getvalue().encode())

    def add(self, rows: bytes) -> None:
        self.out.write(rows)

    def discard(self) -> None:
        """Do nothing: this format has no end mark that could be missing."""


class _JsonLines(Writer):
    """An object a line, with a member for each column; `null` where there is no value."""

    def __init__(self, columns: Sequence[FileColumn], out: BinaryIO) -> None:
        super().__init__(columns, out)
        # Integers and arrays are JSON already.
        self._read: list[tuple[str, Callable[[str], Any]]] = [
            (column.name, msgspec.Raw if column.kind in ("integer", "texts") else str) for column in columns
        ]
        self._encode = msgspec.json.Encoder().encode

    def add(self, rows: bytes) -> None:
        lines = [
            self._encode(
                {
                    name: read(cell) if cell else None
                    for (name, read), cell in zip(self._read, row, strict=True)
                }
            )
            for row in _cells(rows)
        ]
        lines.append(b"")
        self.out.write(b"\n".join(lines))

    def discard(self) -> None:
        """Do nothing: this format has no end mark that could be missing."""


class _Parquet(Writer):
    """Typed columns: 64-bit integers, timestamps in UTC (of milliseconds, the coarsest that there are),
    strings, lists of strings."""

    def __init__(self, columns: Sequence[FileColumn], out: BinaryIO) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(columns, out)
        kinds = {
            "integer": pa.int64(),
            "moment": pa.timestamp("ms", "UTC"),
            "text": pa.string(),
            "texts": pa.list_(pa.string()),
        }
        self._schema = pa.schema([(column.name, kinds[column.kind]) for column in columns])
        self._sink = _Sink(out)
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._group: list[Any] = []
        self._rows = 0

    def add(self, rows: bytes) -> None:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        names = [str(number) for number in range(len(self.columns))]
        read = dict(zip(names, self._schema.types, strict=True))
        read |= {
            name: pa.string()
            for name, column in zip(names, self.columns, strict=True)
            if column.kind == "texts"
        }
        table = arrow_csv.read_csv(
            pa.BufferReader(rows),
            arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(rows) + 1),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=read, null_values=[""], strings_can_be_null=True),
        )
        values = [
            _arrays(table[name], self._schema.types[number])
            if self.columns[number].kind == "texts"
            else table[name]
            for number, name in enumerate(names)
        ]
        self._group.append(pa.table(values, schema=self._schema))
        self._rows += len(table)
        if self._rows >= ROWS_OF_A_GROUP:
            self._write_group()

    def end(self) -> None:
        if self._group:
            self._write_group()
        self._writer.close()

    def discard(self) -> None:
        self._sink.cut = True
        self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.concat_tables(self._group))
        self._group, self._rows = [], 0


class _Xlsx(Writer):
    """A sheet of texts: it has no formulas, and a phone keeps all of its digits. It can be sent only when it
    is complete: until then it is in a temporary file."""

    def __init__(self, columns: Sequence[FileColumn], out: BinaryIO) -> None:
        import xlsxwriter

        super().__init__(columns, out)
        self._folder = tempfile.TemporaryDirectory(prefix="rollbook-export-")
        self._path = Path(self._folder.name) / "export.xlsx"
        settings = {"constant_memory": True, "tmpdir": self._folder.name}
        self._book = xlsxwriter.Workbook(str(self._path), settings)
        self._head = self._book.add_format({"bold": True})
        self._sheets = 0
        self._sheet: Any = None
        self._row = ROWS_OF_A_SHEET

    def add(self, rows: bytes) -> None:
        numbers = [column.kind == "integer" and column.name != "phone" for column in self.columns]
        for row in _cells(rows):
            if self._row >= ROWS_OF_A_SHEET:
                self._begin_sheet()
            for number, cell in enumerate(row):
                if not cell:
                    continue
                if numbers[number]:
                    self._sheet.write_number(self._row, number, int(cell))
                else:
                    self._sheet.write_string(self._row, number, cell)
            self._row += 1

    def end(self) -> None:
        if not self._sheets:
            self._begin_sheet()
        self._book.close()
        with self._path.open("rb") as file:
            shutil.copyfileobj(file, self.out, 1 << 16)
        self._folder.cleanup()

    def discard(self) -> None:
        self._book.fileclosed = True  # otherwise it complains that it was not closed
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()  # the file with the rows
        self._folder.cleanup()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet("Export" if self._sheets == 1 else f"Export {self._sheets}")
        self._sheet.freeze_panes(1, 0)
        self._sheet.ignore_errors({"number_stored_as_text": "A:XFD"})
        for number, column in enumerate(self.columns):
            self._sheet.set_column(number, number, PHONE_WIDTH if column.kind == "integer" else TEXT_WIDTH)
            self._sheet.write_string(0, number, column.name, self._head)
        self._row = 1


_WRITERS: dict[str, type[Writer]] = {
    "csv": _Csv,
    "jsonl": _JsonLines,
    "parquet": _Parquet,
    "xlsx": _Xlsx,
}


def opened(format: str, columns: Sequence[FileColumn], out: BinaryIO) -> Writer:
    """Begin a file.

    Args:
        format: csv, jsonl, parquet or xlsx.
        columns: the columns, each with a name of its own.
        out: the output, which stays open; it need not be seekable.
    """
    return _WRITERS[format](columns, out)


@contextmanager
def compressed(out: BinaryIO, how: str | None) -> Iterator[BinaryIO]:
    """A file that writes to `out` with compression; `out` stays open.

    Args:
        how: gzip, zstd, or `None` for no compression.
    """
    if how is None:
        yield out
        return
    sink: Any = _Sink(out)
    if how == "gzip":
        file: Any = gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=sink, mtime=0)
    else:
        import pyarrow as pa

        file = pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), how)
    try:
        yield file
    except BaseException:
        sink.cut = True
        raise
    finally:
        file.close()


class _Sink(io.RawIOBase):
    """A file that knows its position, for writers that ask; closing it leaves the other file open.

    Attributes:
        cut: whether nothing more is written, even when writers end their files on closing.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._place = 0
        self.cut = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.cut:
            self._out.write(data)
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place


def _cells(rows: bytes) -> Iterator[list[str]]:
    for row in csv.reader(io.StringIO(rows.decode(), newline="")):
        yield row or [""]  # an empty line is a row with one empty cell


def _arrays(column: Any, kind: Any) -> Any:
    """Texts that are JSON arrays, as arrays."""
    import pyarrow as pa

    read = msgspec.json.Decoder(list[str]).decode
    return pa.array([read(text) if text is not None else None for text in column.to_pylist()], kind)
