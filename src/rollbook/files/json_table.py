"""Reading JSON lines, and one JSON array of objects.

A file is read twice: first to know which names its objects have, then for the values, since a name that turns
up in the last line is a column too.

A block of lines in which every column is of one simple type is read by Arrow; others line by line, which
takes about ten times as long but says which line is bad.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json
from numpy.typing import NDArray

from rollbook.errors import BadFile
from rollbook.files import SAMPLE_ROWS, BadRow, ReadOptions, RowBatch, Table, cut
from rollbook.files.cells import text_of, texts_of
from rollbook.files.headers import unique_names
from rollbook.files.json_array import Array
from rollbook.files.source import Source
from rollbook.files.text import Text

CELLS_MAX = 8 << 20
"""In a batch, about: of many names it has fewer rows."""

BLOCK_BYTES = 4 << 20
"""Bytes of text that become one batch."""

COLUMNS_MAX = 1_000
"""Different names in a file. Objects whose names are data (one for each phone) are not a table."""

SHAPES_MAX = 1_000
"""Different sets of names and types that are remembered while the columns are found."""

ARROW_DEPTH_MAX = 200
"""Brackets that one line may open for Arrow, which dies of an overflow of its stack at some thousands, one
within the other."""

_LF, _OPEN, _CLOSE, _OPEN_ARRAY = 10, ord("{"), ord("}"), ord("[")
_lines = msgspec.json.Decoder(float_hook=Decimal)


class _Object(NamedTuple):
    """One object.

    Args:
        line: on which it begins.
        values: `None` when it is none; then `bad` says why.
    """

    line: int
    values: dict[str, Any] | None
    bad: BadRow | None


class _Lines(NamedTuple):
    """A block of whole lines that is not taken apart yet."""

    text: bytes
    first_line: int


_Block = _Lines | list[_Object]


class JsonTable(Table):
    """A file of JSON objects that is open for reading.

    Raises:
        BadFile: it has no objects, or cannot be read to its end.
    """

    format = "jsonl"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._source = Source(path, options)
        self.size_bytes = self._source.size_bytes
        self.compression = self._source.compression
        try:
            self._text = Text(self._source, options)
            self._scan()
        finally:
            self._source.close()

    @property
    def encoding(self) -> str | None:
        """Python's name of the encoding, as far as it is known."""
        return self._text.encoding

    def _batches(self) -> Iterator[RowBatch]:
        """See `Table._batches`."""
        self._source = Source(self._path, self._options)
        self._text = Text(self._source, self._options)
        schema = self._simple_schema()
        rows = max(1, min(self._options.batch_rows, CELLS_MAX // len(self._keys)))
        for block in _blocks(self._text, msgspec.structs.replace(self._options, batch_rows=rows)):
            batch = self._quick(block, schema) if isinstance(block, _Lines) and schema is not None else None
            yield batch or self._slow(block)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _scan(self) -> None:
        """Find out the columns, and the types of each."""
        self._kinds: dict[str, set[str]] = {}
        sample: list[dict[str, Any]] = []
        shapes: set[tuple[object, ...]] = set()
        objects = rows = 0
        for block in _blocks(self._text, self._options):
            if isinstance(block, _Lines):
                if len(sample) < SAMPLE_ROWS:
                    top = b"\n".join(block.text.split(b"\n", SAMPLE_ROWS * 2)[: SAMPLE_ROWS * 2])
                    sample += [row.values for row in _objects(_Lines(top, 1)) if row.values is not None]
                found = _types(block.text)
                if found is not None:
                    objects += 1
                    for name, kind in found.items():
                        self._note(name, kind)
                    continue
            for row in _objects(block):
                rows += 1
                if row.values is not None:
                    objects += 1
                    # Most rows are made as one before them was.
                    shape = (*row.values, *map(type, row.values.values()))
                    if shape not in shapes:
                        if len(shapes) < SHAPES_MAX:
                            shapes.add(shape)
                        for name, value in row.values.items():
                            self._note(name, _kind(value))
            if not isinstance(block, _Lines) and len(sample) < SAMPLE_ROWS:
                sample += [row.values for row in block if row.values is not None]
        if not objects:
            if rows:
                raise BadFile(
                    "The file is not JSON lines: no line is an object. It should have one on each line, such "
                    'as {"phone": "+12025550123", "name": "Ann"}, or one array of them.'
                )
            raise BadFile("The file is empty: there are no objects in it.")
        self._keys = list(self._kinds)
        self.columns = unique_names(self._keys, len(self._keys))
        self.sample = [[text_of(values.get(key)) for key in self._keys] for values in sample[:SAMPLE_ROWS]]

    def _note(self, name: str, kind: str | None) -> None:
        kinds = self._kinds.get(name)
        if kinds is None:
            if len(self._kinds) == COLUMNS_MAX:
                raise BadFile(
                    f"The objects in the file have more than {COLUMNS_MAX:,} different names: these are data "
                    'and no columns. Put each object on a line as {"phone": ..., "name": ...}.'
                )
            kinds = self._kinds[name] = set()
        if kind is not None:
            kinds.add(kind)

    def _simple_schema(self) -> pa.Schema | None:
        """What Arrow is to expect; `None` when a column is of several types, or of one that is not simple."""
        types = {"string": pa.string(), "int64": pa.int64(), "bool": pa.bool_()}
        fields = []
        for name, kinds in self._kinds.items():
            if len(kinds) > 1 or "other" in kinds:
                return None
            fields.append((name, types[next(iter(kinds))] if kinds else pa.string()))
        return pa.schema(fields)

    def _quick(self, block: _Lines, schema: pa.Schema) -> RowBatch | None:
        table = _by_arrow(block.text, schema)
        if table is None:
            return None
        columns = [texts_of(table.column(key).combine_chunks()) for key in self._keys]
        cells = pa.record_batch(columns, names=self.columns)
        lines = np.arange(block.first_line, block.first_line + cells.num_rows)
        return RowBatch(cells, lines, [], self._text.bytes_done)

    def _slow(self, block: _Block) -> RowBatch:
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for line, values, why in _objects(block):
            if why is not None:
                bad.append(why)
            elif values is not None:
                rows.append(values)
                lines.append(line)
        columns = [_texts([row.get(key) for row in rows]) for key in self._keys]
        numbers: NDArray[np.int64] = np.array(lines, np.int64)
        return RowBatch(pa.record_batch(columns, names=self.columns), numbers, bad, self._text.bytes_done)


def _texts(values: list[Any]) -> pa.Array:
    texts = [value if type(value) is str else text_of(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        # An escape of half a surrogate pair stands for no character.
        return pa.array([text and text.encode(errors="replace").decode() for text in texts], pa.string())


def _types(block: bytes) -> dict[str, str | None] | None:
    """The columns of some lines, of each its type, by Arrow's quick reader; `None` when it does not take
    them."""
    table = _by_arrow(block, None)
    if table is None:
        return None
    return {field.name: _kind_of_type(field.type) for field in table.schema}


def _kind_of_type(type_: pa.DataType) -> str | None:
    if pa.types.is_null(type_):
        return None
    # Arrow takes strings that look like one for a moment, unless told.
    if pa.types.is_string(type_) or pa.types.is_timestamp(type_):
        return "string"
    return str(type_) if type_ in (pa.int64(), pa.bool_()) else "other"


def _kind(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "int64" if isinstance(value, int) else "other"


def _by_arrow(block: bytes, schema: pa.Schema | None) -> pa.Table | None:
    """Read lines by Arrow, if they are one object each; `None` when that is not certain."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    codes = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(codes == _LF)
    if not len(ends) or ends[-1] != len(codes) - 1 or codes[0] != _OPEN:
        return None
    # Every line begins and ends as an object does; since Arrow also finds as many of them as there are lines,
    # no line holds two, and none is blank.
    if not (codes[ends - 1] == _CLOSE).all() or not (codes[ends[:-1] + 1] == _OPEN).all():
        return None
    opened = np.add.reduceat((codes == _OPEN) | (codes == _OPEN_ARRAY), np.concatenate([[0], ends[:-1] + 1]))
    if opened.max() > ARROW_DEPTH_MAX:
        return None
    parse = (
        arrow_json.ParseOptions()
        if schema is None
        else arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    )
    try:
        table = arrow_json.read_json(
            pa.BufferReader(block),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=parse,
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table if table.num_rows == len(ends) and table.num_columns else None


def _objects(block: _Block) -> Iterator[_Object]:
    if not isinstance(block, _Lines):
        yield from block
        return
    for number, text in enumerate(block.text.split(b"\n"), block.first_line):
        if not text.strip():
            continue
        reason = "not_json"
        try:
            values = _lines.decode(text)
        except (msgspec.DecodeError, RecursionError, ArithmeticError):
            values = None
        else:
            if isinstance(values, dict):
                yield _Object(number, values, None)
                continue
            reason = "not_an_object"
        yield _Object(number, None, BadRow(number, cut(text.decode(errors="replace").rstrip("\r")), reason))


def _blocks(text: Text, options: ReadOptions) -> Iterator[_Block]:
    """The text in blocks: of lines, or of the elements of an array."""
    head, line = text.read(BLOCK_BYTES), 1
    while head.isspace() and (more := text.read(BLOCK_BYTES)):
        line += head.count(b"\n")
        head = more
    if head.lstrip()[:1] == b"[":
        for elements in Array(head, text, options, line).parts(BLOCK_BYTES):
            yield [_element(*element) for element in elements]
        return
    rest = head
    while True:
        end = rest.rfind(b"\n") + 1
        if end:
            yield from _within(_Lines(rest[:end], line), options)
            line += rest.count(b"\n", 0, end)
            rest = rest[end:]
        _refuse_long(len(rest), line, options)
        wanted = min(BLOCK_BYTES, options.batch_rows * 32) - len(rest)
        piece = text.read(max(1, wanted, len(rest) // 2))
        if not piece:
            break
        rest += piece
    if rest.strip():
        yield _Lines(rest + b"\n", line)


def _within(block: _Lines, options: ReadOptions) -> Iterator[_Lines]:
    """The block, if no line in it is too long."""
    codes = np.frombuffer(block.text, np.uint8)
    ends = np.flatnonzero(codes == _LF)
    sizes = np.diff(ends, prepend=-1)
    longest = int(np.argmax(sizes))
    _refuse_long(int(sizes[longest]), block.first_line + longest, options)
    yield block


def _element(line: int, value: Any, text: str) -> _Object:
    if isinstance(value, dict):
        return _Object(line, value, None)
    return _Object(line, None, BadRow(line, cut(text), "not_an_object"))


def _refuse_long(size_bytes: int, line: int, options: ReadOptions) -> None:
    if size_bytes > options.line_bytes_max:
        raise BadFile(
            f"Line {line} is longer than {options.line_bytes_max:,} bytes. There should be one "
            "object on each line."
        )
