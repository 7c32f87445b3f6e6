"""Rows and parameters of statements: rows by column name, and many rows or numbers as one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec


class Rows:
    """Many rows as one parameter: `Rows(id=[1, 2], name=["a", "b"])`; see `Transaction.rows`.

    Args:
        columns: the values of each column, all of the same length: whole numbers, texts, booleans, `None`.
    """

    __slots__ = ("columns",)

    def __init__(self, **columns: Sequence[Any]) -> None:
        self.columns = columns


class Integers:
    """Many whole numbers as one parameter; see `Transaction.integers`.

    Args:
        values: a contiguous array of signed 64-bit integers (numpy's, or `array.array("q")`), not empty.
    """

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        self.values = values


@lru_cache(maxsize=4096)
def from_epoch(seconds: int) -> datetime:
    """The UTC datetime of `seconds` since 1970, the form in which every table stores a moment."""
    return datetime.fromtimestamp(seconds, UTC)


def builder(kind: type[Any], names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """Make the function that turns a row with columns `names` into a `kind`.

    Columns are matched to the Struct's fields by name, once for each statement. Values that differ between
    the engines (booleans) or from Python (moments are whole seconds) are converted here.

    Raises:
        TypeError: a column matches no field, or a field without a default matches no column.
    """
    if len(names) == 1 and kind in (int, str, bytes):
        return lambda row: row[0]
    hints = get_type_hints(kind)
    unknown = set(names) - set(hints)
    if unknown:
        raise TypeError(f"{kind.__name__} has no field for the columns {', '.join(sorted(unknown))}")
    convert = {name: _CONVERT[kept] for name in names if (kept := _plain(hints[name])) in _CONVERT}
    fields = [field.name for field in msgspec.structs.fields(kind)]
    if list(names) == fields[: len(names)]:
        if not convert:
            return lambda row: kind(*row)
        changes = [(index, convert[name]) for index, name in enumerate(names) if name in convert]

        def in_order(row: Sequence[Any]) -> Any:
            values = list(row)
            for index, change in changes:
                if values[index] is not None:
                    values[index] = change(values[index])
            return kind(*values)

        return in_order

    def by_name(row: Sequence[Any]) -> Any:
        values = dict(zip(names, row, strict=True))
        for name, change in convert.items():
            if values[name] is not None:
                values[name] = change(values[name])
        return kind(**values)

    return by_name


_CONVERT: dict[Any, Callable[[Any], Any]] = {bool: bool, datetime: from_epoch}


def _plain(hint: Any) -> Any:
    """`bool` for `bool | None`: the type of a column's values that are not NULL."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if kinds else hint
