"""How a CSV is written: its delimiter, whether it has a header, its columns. Told by its first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from rollbook.errors import BadFile
from rollbook.files import SAMPLE_ROWS, ReadOptions, options, padded
from rollbook.files.headers import has_header, looks_like_phone, unique_names
from rollbook.files.rows import Lexer
from rollbook.options import said as option

DELIMITERS = (",", ";", "\t", "|")
COLUMNS_MAX = 16_384
"""As many as spreadsheets have."""

ROWS = 100
"""Rows that are looked at."""

_EXCEL_LINE = re.compile(rb"sep=([^\r\n\"])(?:\r\n|\n|\r)", re.IGNORECASE)
"""Excel's own first line, which says the delimiter and is no row."""


class Dialect(NamedTuple):
    """How a CSV is written.

    Args:
        lexer: for its delimiter.
        header: whether the first row names the columns.
        columns: their names.
        sample: rows from the top, a cell for each column.
        begin: where the rows begin that are not the header, in the text that told all this.
    """

    lexer: Lexer
    header: bool
    columns: list[str]
    sample: list[list[str | None]]
    begin: int


class _Row(NamedTuple):
    cells: list[str]
    end: int
    is_clear: bool


def tell(text: bytes, wanted: ReadOptions, *, last: bool) -> Dialect | None:
    """Tell the dialect from the beginning of a file.

    Args:
        text: the beginning.
        wanted: what is known.
        last: this is the whole file.

    Returns:
        `None` when no row ends in this text.

    Raises:
        BadFile: the delimiter that was named cannot be one, or there are too many columns.
    """
    excel = _EXCEL_LINE.match(text)
    said = wanted.delimiter
    if excel and said is None:
        said = excel[1].decode("ascii", "replace")
    begin = excel.end() if excel else 0
    text = text[begin:]
    lexer = Lexer(checked(said)) if said is not None else _likeliest(text, last=last)
    rows = _rows(lexer, text, last=last)
    if not rows:
        return None
    header = has_header([row.cells for row in rows]) if wanted.header is None else wanted.header
    width = _width(rows, header=header)
    if width > COLUMNS_MAX:
        raise BadFile(
            f"The file has {width:,} columns; up to {COLUMNS_MAX:,} are read. Is {lexer.delimiter!r} really "
            f"its delimiter? If not, name another with {option('delimiter')}."
        )
    columns = unique_names(rows[0].cells if header else [], width)
    if header:
        begin += rows[0].end
    sample = [row.cells for row in rows[header:] if row.is_clear]
    return Dialect(lexer, header, columns, padded(sample[:SAMPLE_ROWS], width), begin)


def checked(delimiter: str) -> str:
    """A delimiter that was named.

    Raises:
        BadFile: it cannot be one.
    """
    try:
        return options.delimiter(delimiter)
    except ValueError as error:
        raise BadFile(str(error)) from None


def _likeliest(text: bytes, *, last: bool) -> Lexer:
    """The delimiter that gives most rows the same number of cells, and phones a cell of their own."""
    best, best_score = Lexer(","), (0.0, 0)
    for delimiter in DELIMITERS:
        lexer = Lexer(delimiter)
        rows = _rows(lexer, text, last=last)
        if not rows:
            continue
        counts = Counter(len(row.cells) if row.is_clear else 0 for row in rows)
        width, alike = max(counts.items(), key=lambda item: (item[1], item[0]))
        if width < 2:
            continue
        score = alike / len(rows)
        if len(rows[0].cells) != width:
            score /= 2
        if sum(any(map(looks_like_phone, row.cells)) for row in rows) * 2 > len(rows):
            score += 0.2
        mark = delimiter.encode()
        if text.count(mark + b" ") * 2 > text.count(mark):
            # A comma with a space behind it belongs to a text.
            score -= 0.15
        if (score, width) > best_score:
            best, best_score = lexer, (score, width)
    return best


def _rows(lexer: Lexer, text: bytes, *, last: bool) -> list[_Row]:
    each = islice(lexer.each(text, last=last), ROWS)
    return [_Row(lexer.cells(row), end, is_clear) for row, end, is_clear in each]


def _width(rows: Sequence[_Row], *, header: bool) -> int:
    """How many columns there are: as many as the header names, or more if most rows have more; without a
    header as many as the longest rows have, other than single ones (a stray delimiter is no column)."""
    counts = Counter(len(row.cells) for row in rows[header:] if row.is_clear)
    total = sum(counts.values())
    if header:
        named = len(rows[0].cells)
        common, rows_of_it = counts.most_common(1)[0] if counts else (named, 0)
        return common if common > named and rows_of_it > max(1, total / 2) else named
    often = [width for width, rows_of_it in counts.items() if rows_of_it * 10 >= total]
    return max(often, default=len(rows[0].cells))
