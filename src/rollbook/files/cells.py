"""Values of other types as the text of cells."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rollbook.files import RowBatch

_TEXT_FORMULA = re.compile(r'="([^"]*+(?:""[^"]*+)*+)"', re.DOTALL)

_EXACT = 2.0**53
"""Whole numbers up to here are exact as floating point."""

_MOMENT = r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d*?)?0*(Z|[+-]\d\d:?\d\d)?$"
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


def text_of(value: Any) -> str | None:
    """One value of JSON.

    Args:
        value: as decoded, with `Decimal` for numbers that have a fraction or an exponent.

    Returns:
        Strings as they are; numbers as written, but without a fraction that is 0; `true` and `false`; objects
        and arrays as JSON. `None` for null.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        text = str(value)
        return text.rstrip("0").rstrip(".") if "." in text and "E" not in text else text
    if isinstance(value, int):
        return str(value)
    return _encode(value).decode()


def texts_of(column: pa.Array) -> pa.Array:
    """A column of any type as strings.

    Args:
        column: an Arrow array.

    Returns:
        Whole numbers without a fraction (380501234567.0 is `380501234567`); moments by ISO 8601, of which
        those at midnight are dates; booleans as `true` and `false`; nested values as JSON. Null stays null.

    Raises:
        pa.ArrowInvalid: binary data that is no UTF-8.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts_of(column.dictionary_decode())
    if pa.types.is_floating(kind):
        return _floats(column.cast(pa.float64()))
    if pa.types.is_decimal(kind) or pa.types.is_time(kind):
        texts = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(texts, r"\.$", "")
    if pa.types.is_timestamp(kind):
        return iso(column.cast(pa.string()))
    if pa.types.is_nested(kind) or pa.types.is_map(kind):
        return pa.array([text_of(value) for value in column.to_pylist()], pa.string())
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):  # Arrow has no text form of this kind of value
        return pa.array([text_of(value) for value in column.to_pylist()], pa.string())


def iso(texts: pa.Array) -> pa.Array:
    """Moments as Arrow and spreadsheets write them, by ISO 8601; other texts as they are.

    `2026-01-31 10:00:00` becomes `2026-01-31T10:00:00`, midnight only the date. A time of a day comes from
    spreadsheets as one of 1899-12-31, their day 0, and becomes `10:00:00`.
    """
    if not pc.any(pc.match_substring_regex(texts, _MOMENT)).as_py():
        return texts
    texts = pc.replace_substring_regex(texts, _MOMENT, r"\1T\2\3\4")
    texts = pc.replace_substring_regex(
        texts, r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(Z|[+-]\d\d:?\d\d)?$", r"\1\2"
    )
    texts = pc.replace_substring_regex(texts, r"^(\d{4}-\d\d-\d\d)T00:00:00$", r"\1")
    return pc.replace_substring_regex(texts, r"^1899-12-3[01]T(\d\d:\d\d:\d\d.*)$", r"\1")


def of_formula(text: str) -> str:
    """The text of a cell that is a formula of nothing but a text: spreadsheets show `="007"` as 007, and
    so it is written in a CSV that keeps its zeros."""
    found = _TEXT_FORMULA.fullmatch(text)
    return found[1].replace('""', '"') if found else text


def of_formulas(cells: pa.Array) -> pa.Array:
    """As `of_formula`, for every cell of a column."""
    if not pc.any(pc.starts_with(cells, '="')).as_py():
        return cells
    texts = [of_formula(text) if text and text.startswith('="') else text for text in cells.to_pylist()]
    return pa.array(texts, cells.type)


_UNSEEN = r"^[\s\pZ\p{Cf}\x1a]*$"
"""Nothing that is seen: spaces, marks of byte order, and the end of a file of DOS."""

_UNSEEN_BYTES_MAX = 6
"""Most bytes of a cell in which such characters are looked for."""


def without_blank(batch: RowBatch) -> RowBatch:
    """A batch without the rows that have nothing but white space in any cell; they are counted."""
    blank = np.arange(batch.cells.num_rows)
    for column in batch.cells.columns:
        if not len(blank):
            return batch
        cells = column if len(blank) == len(column) else column.take(pa.array(blank))
        blank = blank[_is_blank(cells)]
    if not len(blank):
        return batch
    kept = np.delete(np.arange(batch.cells.num_rows), blank)
    return replace(
        batch,
        cells=batch.cells.take(pa.array(kept)),
        lines=batch.lines[kept],
        blank=batch.blank + len(blank),
    )


def _is_blank(cells: pa.Array) -> Any:
    size = pc.binary_length(cells)
    has_none = pc.fill_null(pc.equal(size, 0), True)
    blank = pc.or_(has_none, pc.fill_null(pc.utf8_is_space(cells), True)).to_numpy(zero_copy_only=False)
    short = np.flatnonzero(
        pc.fill_null(pc.less_equal(size, _UNSEEN_BYTES_MAX), False).to_numpy(zero_copy_only=False) & ~blank
    )
    if len(short):
        unseen = pc.match_substring_regex(cells.take(pa.array(short)), _UNSEEN)
        blank = blank.copy()
        blank[short[unseen.to_numpy(zero_copy_only=False)]] = True
    return blank


def _floats(column: pa.Array) -> pa.Array:
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _EXACT))
    numbers = pc.if_else(whole, column, 0.0).cast(pa.int64()).cast(pa.string())
    texts = pc.if_else(whole, numbers, column.cast(pa.string()))
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.string()), texts)
