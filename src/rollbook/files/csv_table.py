"""Reading CSV: blocks of whole rows, cut out here, parsed by Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from rollbook.errors import BadFile
from rollbook.files import BadRow, ReadOptions, RowBatch, Table, cut
from rollbook.files.cells import of_formulas
from rollbook.files.dialect import Dialect, tell
from rollbook.files.rows import Lexer, Lines, WholeRows, longer_than
from rollbook.files.source import Source
from rollbook.files.text import SAMPLE_BYTES, Text, line_ends

BLOCK_BYTES_MAX = 8 << 20
"""Most bytes of text that become one batch: 250 k rows of 32 bytes. Arrow reads blocks of 8 MB as fast as its
own streaming reader, blocks of 1 MB at 0.7 times that, and a batch with all it takes stays below 50 MB."""

BLOCK_BYTES_MIN = 64 << 10

CELLS_MAX = 8 << 20
"""In a batch, about: of many columns it has fewer rows."""

ADDED_CELLS_MAX = 64 << 20
"""Empty ones that short rows of a block get."""


_LINE_END = re.compile(rb"\r\n|\n|\r")


class CsvTable(Table):
    """A CSV that is open for reading.

    Raises:
        BadFile: it is empty, no text, or its first row has no end.
    """

    format = "csv"

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._options = options
        self._text = Text(source, options)
        self.compression = source.compression
        self.size_bytes = source.size_bytes
        self._last = False
        self._line = 1
        self._rest = b""
        self._skip(options.skip_rows)
        dialect = self._dialect()
        self._lexer = dialect.lexer
        self._rest = dialect.text
        self.delimiter = dialect.lexer.delimiter
        self.header = dialect.header is not None
        if dialect.header is not None:
            self.header_line = self._line + line_ends(self._rest[: dialect.header])
        self.columns = dialect.columns
        self.sample = dialect.sample
        self._line += line_ends(self._rest[: dialect.begin])
        row_bytes = max(1, (len(self._rest) - dialect.begin) // max(1, line_ends(self._rest)))
        self._block_bytes = self._sized(row_bytes)
        self._rest = self._rest[dialect.begin :]
        self._parser = _CsvParser(self._lexer, self.columns)

    @property
    def encoding(self) -> str | None:
        """Python's name of the encoding, as far as it is known."""
        return self._text.encoding

    def _batches(self) -> Iterator[RowBatch]:
        """See `Table._batches`."""
        while (block := self._next_block()) is not None:
            text, rows = block
            parsed = self._parser.parse(text, rows, self._line)
            self._line += parsed.lines_read
            if parsed.cells.num_rows:
                self._block_bytes = self._sized(max(1, rows.end // parsed.cells.num_rows))
            columns = [of_formulas(cells) for cells in parsed.cells.columns]
            yield from self._cut(parsed._replace(cells=pa.record_batch(columns, parsed.cells.schema)))

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _sized(self, row_bytes: int) -> int:
        wanted = row_bytes * min(self._options.batch_rows, CELLS_MAX // len(self.columns))
        return max(min(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), min(BLOCK_BYTES_MAX, wanted))

    def _skip(self, lines: int) -> None:
        """Pass over some lines on top.

        Raises:
            BadFile: there are not more, or one is too long.
        """
        place = 0
        for _ in range(lines):
            # A line end at the end of what was read may be half of one.
            while (end := _LINE_END.search(self._rest, place)) is None or end.end() == len(self._rest):
                if self._last:
                    raise BadFile(f"The file has nothing below the {lines:,} lines that are to be skipped.")
                if len(self._rest) - place > self._options.line_bytes_max:
                    raise _too_long(self._line, self._options.line_bytes_max)
                self._rest, place = self._rest[place:], 0
                self._read_on(SAMPLE_BYTES)
            place = end.end()
            self._line += 1
        self._rest = self._rest[place:]

    def _dialect(self) -> Dialect:
        """Read the beginning of the text until it has a whole row, and tell the dialect from it.

        Raises:
            BadFile: there is no row, or it is too long.
        """
        limit = self._options.line_bytes_max
        while True:
            self._read_on(SAMPLE_BYTES)
            is_blank = not self._rest.strip()
            if self._last and is_blank:
                raise BadFile("The file is empty: it has no header and no rows.")
            dialect = None if is_blank else tell(self._rest, self._options, last=self._last)
            if dialect is not None:
                return dialect
            if self._last or len(self._rest) > limit:
                quote = self._rest.find(b'"')
                if quote >= 0:
                    raise self._unclosed(self._rest, quote, _how_far(None if self._last else limit))
                raise _too_long(self._line, limit)

    def _read_on(self, size_bytes: int) -> None:
        """Add some text to what is not read yet."""
        piece = self._text.read(size_bytes)
        self._last = not piece
        zero = piece.find(b"\0")
        if zero >= 0:
            line = self._line + line_ends(self._rest) + line_ends(piece[:zero])
            raise BadFile(
                f"The file holds a zero byte (NUL) on line {line}: it is not text, or it is damaged there."
            )
        self._rest = self._rest + piece if self._rest else piece

    def _next_block(self) -> tuple[bytes, WholeRows] | None:
        """The next text with whole rows in it; `None` at the end."""
        limit = self._options.line_bytes_max
        wanted = self._block_bytes
        while True:
            while not self._last and len(self._rest) < wanted:
                self._read_on(wanted - len(self._rest))
            text = self._rest
            if not text:
                return None
            held = b""
            if not self._last and len(text) <= limit + BLOCK_BYTES_MAX:
                place = self._lexer.held(text)
                text, held = text[:place], text[place:]
                if not text:
                    wanted = len(held) * 2
                    continue
            text = self._lexer.tidied(text)
            rows = self._lexer.whole_rows(text, last=self._last)
            self._refuse_long(text, rows, limit)
            left = len(text) - rows.end
            if left and (self._last or left > limit):
                if rows.open_quote is not None:
                    raise self._unclosed(text, rows.open_quote, _how_far(None if self._last else limit))
                raise _too_long(self._line + line_ends(text[: rows.end]), limit)
            if rows.end:
                self._rest = text[rows.end :] + held
                return text, rows
            wanted = len(self._rest) * 2

    def _cut(self, parsed: _Parsed) -> Iterator[RowBatch]:
        """Batches of at most about as many rows as were asked for."""
        rows, most = parsed.cells.num_rows, max(1, self._options.batch_rows * 3 // 2)
        if rows > most:
            most = -(-rows // -(-rows // most))
        bad = parsed.bad
        for begin in range(0, rows, most):
            lines = parsed.lines[begin : begin + most]
            is_last = begin + most >= rows
            now = bad if is_last else [row for row in bad if row.line <= lines[-1]]
            bad = bad[len(now) :]
            blank = parsed.blank if is_last else 0
            yield RowBatch(parsed.cells.slice(begin, most), lines, now, self._text.bytes_done, blank)
        if not rows and (bad or parsed.blank):
            yield RowBatch(parsed.cells, parsed.lines, bad, self._text.bytes_done, parsed.blank)

    def _refuse_long(self, text: bytes, rows: WholeRows, limit: int) -> None:
        if rows.end <= limit:
            return
        start = longer_than(text, rows.end, limit)
        if start is None and rows.ends is not None and rows.starts is not None and len(rows.ends):
            longest = int(np.argmax(rows.ends - rows.starts))
            if rows.ends[longest] - rows.starts[longest] > limit:
                start = int(rows.starts[longest])
        elif start is None and len(rows.quotes) > 1:
            closing = rows.quotes[1::2]
            opening = rows.quotes[::2][: len(closing)]
            longest = int(np.argmax(closing - opening))
            if closing[longest] - opening[longest] > limit:
                raise self._unclosed(text, int(opening[longest]), _how_far(limit))
        if start is not None:
            raise _too_long(self._line + line_ends(text[:start]), limit)

    def _unclosed(self, text: bytes, place: int, how_far: str) -> BadFile:
        line = self._line + line_ends(text[:place])
        return BadFile(
            f"A quotation mark opens a cell on line {line} and is not closed {how_far}. Close it there, or "
            "remove it; a mark inside of a quoted cell is written twice."
        )


def _how_far(limit: int | None) -> str:
    return "before the file ends" if limit is None else f"within {limit:,} bytes"


def _too_long(line: int, limit: int) -> BadFile:
    return BadFile(
        f"Line {line} is longer than {limit:,} bytes. This is not a table of contacts, or it lacks line ends."
    )


class _Parsed(NamedTuple):
    cells: pa.RecordBatch
    lines: NDArray[np.int64]
    bad: list[BadRow]
    lines_read: int
    blank: int


class _Odd(NamedTuple):
    """A row whose number of cells is not that of the columns.

    Args:
        number: among the rows of the block that are not blank, from 0.
    """

    number: int
    text: str


class _CsvParser:
    """Makes cells of blocks of whole rows.

    Args:
        lexer: knows the delimiter.
        columns: names.
    """

    def __init__(self, lexer: Lexer, columns: list[str]) -> None:
        self._lexer = lexer
        self._columns = columns
        self._schema = pa.schema([(name, pa.string()) for name in columns])
        # The text is checked already, as a whole; and 8 MB of UTF-8 stay within the offsets of a string
        # array.
        self._convert = arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in columns},
            strings_can_be_null=False,
            check_utf8=False,
        )

    def parse(self, text: bytes, rows: WholeRows, first_line: int) -> _Parsed:
        """Parse a block.

        Args:
            text: begins with the block.
            rows: what is known of it.
            first_line: of the file, where the block begins.
        """
        quotes = rows.quotes[: int(np.searchsorted(rows.quotes, rows.end))]
        lines = Lines(text, rows.end, quotes)
        table, odd = self._read(_without(text, rows))
        count = table.num_rows + len(odd)
        if rows.starts is not None:
            starts, numbers, blank = rows.starts, lines.of(rows.starts), rows.blank
        elif count == lines.count and not odd:
            return _Parsed(table, np.arange(first_line, first_line + count), [], count, 0)
        else:
            starts, numbers, blank = lines.starts()
        if len(starts) != count:
            raise BadFile(
                f"The rows from line {first_line} on cannot be separated: {len(starts)} begin there and "
                f"{count} were read."
            )
        numbers = numbers + first_line
        bad = [
            self._bad(first_line + int(line), text[start:end].rstrip(b"\r\n"), "text_after_quote")
            for (start, end), line in zip(
                rows.bad, lines.of(np.array([b for b, _ in rows.bad], np.int64)), strict=True
            )
        ]
        if odd:
            before = len(numbers)
            table, numbers, too_many = self._fitted(table, odd, numbers)
            blank += before - len(numbers) - len(too_many)
            bad = sorted(bad + too_many, key=lambda row: row.line)
        return _Parsed(table, numbers, bad, lines.count, blank)

    def _read(self, block: pa.Buffer) -> tuple[pa.RecordBatch, list[_Odd]]:
        """Let Arrow read the cells; rows with too many or too few come apart."""
        odd: list[_Odd] = []

        def set_aside(row: arrow_csv.InvalidRow) -> str:
            odd.append(_Odd(row.number - 1, row.text))
            return "skip"

        if not block.size:
            return _empty(self._schema), odd
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            # One thread and one piece: that is what makes Arrow know the numbers of rows.
            read_options=arrow_csv.ReadOptions(
                column_names=self._columns, use_threads=False, block_size=block.size + 1
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self._lexer.delimiter, invalid_row_handler=set_aside, newlines_in_values=False
            ),
            convert_options=self._convert,
        )
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else _empty(self._schema), odd

    def _bad(self, line: int, row: bytes, reason: str) -> BadRow:
        cells = [cut(cell) for cell in self._lexer.cells(row)[: len(self._columns)]]
        return BadRow(line, cut(row.decode(errors="replace")), reason, cells)

    def _fitted(
        self, table: pa.RecordBatch, odd: list[_Odd], numbers: NDArray[np.int64]
    ) -> tuple[pa.RecordBatch, NDArray[np.int64], list[BadRow]]:
        """Put odd rows in among the others: absent cells are null, surplus ones must be empty."""
        width = len(self._columns)
        if len(odd) * width > ADDED_CELLS_MAX:
            raise BadFile(
                f"The file has {width:,} columns, but {len(odd):,} rows from line {numbers[odd[0].number]} "
                "on have fewer or more cells. This is not a table of contacts, or it has another delimiter."
            )
        fitted: list[list[str | None]] = []
        places: list[int] = []
        bad: list[BadRow] = []
        for number, text in odd:
            cells = self._lexer.cells(text.encode())
            if any(map(str.strip, cells[width:])):
                bad.append(self._bad(int(numbers[number]), text.encode(), "too_many_cells"))
            elif len(cells) > 1 or text.strip():
                fitted.append([*cells[:width], *[None] * (width - len(cells))])
                places.append(number)
        is_even = np.ones(len(numbers), bool)
        is_even[[row.number for row in odd]] = False
        order = np.concatenate([np.flatnonzero(is_even), np.array(places, np.int64)])
        sorting = np.argsort(order, kind="stable")
        if not fitted:
            return table, numbers[order], bad
        columns = [
            pa.concat_arrays([column, pa.array([row[place] for row in fitted], pa.string())]).take(
                pa.array(sorting)
            )
            for place, column in enumerate(table.columns)
        ]
        return pa.record_batch(columns, schema=self._schema), numbers[order[sorting]], bad


def _without(text: bytes, rows: WholeRows) -> pa.Buffer:
    """The good rows of a block, without a copy when all are."""
    if not rows.bad:
        return pa.py_buffer(text).slice(0, rows.end)
    begins = [0, *(end for _, end in rows.bad)]
    ends = [*(begin for begin, _ in rows.bad), rows.end]
    return pa.py_buffer(b"".join(text[begin:end] for begin, end in zip(begins, ends, strict=True)))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)
