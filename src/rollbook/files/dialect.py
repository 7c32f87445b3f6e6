"""How a CSV is written: its delimiter, whether it has a header, its columns. Told by its first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from rollbook.errors import BadFile
from rollbook.files import ReadOptions, options, padded
from rollbook.files.cells import of_formula
from rollbook.files.headers import header_place, looks_like_phone, unique_names
from rollbook.files.rows import Lexer
from rollbook.options import mention

DELIMITERS = (",", ";", "\t", "|")
COLUMNS_MAX = 16_384
"""As many as spreadsheets have."""

ROWS = 100
"""Rows that are looked at."""

_EXCEL_LINE = re.compile(rb'"?sep=([^\r\n"])"?[ \t,;|]{0,16}(?:\r\n|\n|\r|\Z)', re.IGNORECASE)
"""Excel's own first line, which names the delimiter and is not a row; some put it in quotation marks."""


class Dialect(NamedTuple):
    """How a CSV is written.

    Args:
        lexer: for its delimiter.
        text: the beginning of the file, as the lexer takes it.
        header: where the row begins that names the columns, in that text; `None`: none does.
        columns: their names.
        sample: rows from the top, a cell for each column.
        begin: where the rows begin that are below the header, in that text.
    """

    lexer: Lexer
    text: bytes
    header: int | None
    columns: list[str]
    sample: list[list[str | None]]
    begin: int


class _DialectRow(NamedTuple):
    cells: list[str]
    begin: int
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
    if excel and said is None and _can_be(by_excel := excel[1].decode("latin-1")):
        said = by_excel
    begin = excel.end() if excel else 0
    head, text = text[:begin], text[begin:]
    if excel and last and not text.strip():
        raise BadFile(
            "The file has nothing but a line that says its delimiter: there is no header and no row."
        )
    lexer = Lexer(checked(said)) if said is not None else _likeliest(text, last=last)
    text = _tidied(lexer, text, last=last)
    rows = _rows(lexer, text, last=last)
    if not rows:
        return None
    text = head + text
    place = header_place([row.cells for row in rows]) if wanted.header is not False else None
    if wanted.header and place is None:
        place = 0
    below = rows[place + 1 :] if place is not None else rows
    named = rows[place].cells if place is not None else []
    width = _width(below, named)
    if width > COLUMNS_MAX:
        raise BadFile(
            f"The file has {width:,} columns; up to {COLUMNS_MAX:,} are read. Is {lexer.delimiter!r} really "
            f"its delimiter? If not, name another with {mention('delimiter')}."
        )
    columns = unique_names(named, width)
    sample = padded([row.cells for row in below if row.is_clear and any(map(str.strip, row.cells))], width)
    if place is None:
        return Dialect(lexer, text, None, columns, sample, begin)
    return Dialect(lexer, text, begin + rows[place].begin, columns, sample, begin + rows[place].end)


def checked(delimiter: str) -> str:
    """A delimiter that was named.

    Raises:
        BadFile: it cannot be one.
    """
    try:
        return options.delimiter(delimiter)
    except ValueError as error:
        raise BadFile(str(error)) from None


def _can_be(delimiter: str) -> bool:
    try:
        options.delimiter(delimiter)
    except ValueError:
        return False
    return True


def _likeliest(text: bytes, *, last: bool) -> Lexer:
    """The delimiter that gives most rows the same number of cells, and phones a cell of their own."""
    best, best_score = Lexer(","), (0.0, 0)
    for delimiter in DELIMITERS:
        lexer = Lexer(delimiter)
        rows = _rows(lexer, _tidied(lexer, text, last=last), last=last)
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


def _tidied(lexer: Lexer, text: bytes, *, last: bool) -> bytes:
    end = len(text) if last else lexer.held(text)
    return lexer.tidied(text[:end]) + text[end:]


def _rows(lexer: Lexer, text: bytes, *, last: bool) -> list[_DialectRow]:
    each = islice(lexer.each(text, last=last), ROWS)
    return [
        _DialectRow([*map(of_formula, lexer.cells(row))], begin, end, is_clear)
        for row, begin, end, is_clear in each
    ]


def _width(rows: Sequence[_DialectRow], header: Sequence[str]) -> int:
    """How many columns there are: as many as the header names, or more if most rows have more; without a
    header as many as the longest rows have, except single ones (a stray delimiter makes no column)."""
    counts = Counter(len(row.cells) for row in rows if row.is_clear)
    total = sum(counts.values())
    if header:
        named = len(header)
        common, rows_of_it = counts.most_common(1)[0] if counts else (named, 0)
        return common if common > named and rows_of_it > max(1, total / 2) else named
    often = [width for width, rows_of_it in counts.items() if rows_of_it * 10 >= total]
    return max(often, default=len(rows[0].cells))
