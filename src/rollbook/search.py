"""Search criteria -> WHERE: the only query builder.

A noun says what can be searched (`Column`s); a caller says what is wanted (`Criterion`s, `Sort`,
`Page`). Nothing of a caller's text ever becomes SQL: fields and operators are looked up, values are
parameters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from rollbook import phones, texts
from rollbook.channels import CHANNELS, stopped
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem

COMPARISONS = ("=", ">", ">=", "<", "<=")
TEXTUAL = ("like", "=")
ID_MAX = 2**53 - 1
"""Ids are exact in JavaScript."""

_INT64_MAX = 2**63 - 1

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ Tt]\d\d:\d\d(:\d\d(\.\d{1,30})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)


@dataclass(frozen=True)
class Column:
    """A field that can be searched or sorted by.

    Args:
        kind: how a value is read: a whole number, text, a moment, a phone, a channel of the stop list, or
            as `key` says.
        sql: the column; of the mask for a channel.
        operators: what it may be compared with.
        sortable: whether a search may be sorted by it.
        aliases: other names for it.
        within: SQL with `{}` for the condition, where the column is of another table.
        field_id: of a contact field, of which a contact has one value at most, so that several criteria are
            one condition; `within` has `{field_id}` for it.
        folded: the column with the folded form of a text, when it is not `<sql>_folded`; it has an index.
        key: turns a value into what the column holds; raises ValueError.
    """

    kind: Literal["integer", "text", "moment", "phone", "channel", "key"]
    sql: str
    operators: tuple[str, ...]
    sortable: bool = True
    aliases: tuple[str, ...] = ()
    within: str | None = None
    field_id: int | None = None
    folded: str | None = None
    key: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Criterion:
    """One condition: `field operator value`, `value` as the caller wrote it.

    Args:
        origin: what the caller calls this criterion, for messages.
    """

    field: str
    operator: str
    value: str
    origin: str = "search"


@dataclass(frozen=True)
class Page:
    """Which part of the rows.

    Args:
        limit: rows at most.
        offset: rows to leave out first.
        after: id of the last row of the page before (keyset paging), instead of an offset.
    """

    limit: int = 50
    offset: int = 0
    after: int | None = None


@dataclass(frozen=True)
class Search:
    """What a caller looks for: all criteria hold (AND), in this order, this page of it."""

    criteria: tuple[Criterion, ...] = ()
    sort: str = "id"
    descending: bool = True
    page: Page = field(default_factory=Page)


def fold(text: str) -> str:
    """The form in which texts are compared without regard to case, alike on every engine.

    Canonical caseless matching (The Unicode Standard, section 3.13, D145), recomposed so that a
    letter with an accent does not contain the letter without.
    """
    if text.isascii():
        return text.lower()
    if len(text) > texts.NORMAL_MAX:
        return text.casefold()  # longer than any that is kept
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def canonical(columns: Mapping[str, Column], name: str) -> str | None:
    """The name of the field that `name` means, or `None`."""
    if name in columns:
        return name
    return next((known for known, column in columns.items() if name in column.aliases), None)


def problem(columns: Mapping[str, Column], criterion: Criterion) -> tuple[str, str] | None:
    """What is wrong with a criterion: which part of it (field, operator or value), and a predicate
    such as "must be a whole number"; `None` when nothing is."""
    name = canonical(columns, criterion.field)
    if name is None:
        return "field", f"must be one of {', '.join(columns)}"
    if criterion.operator not in columns[name].operators:
        return "operator", f"for {name} must be one of {' '.join(columns[name].operators)}"
    try:
        _value(columns[name], criterion)
    except ValueError as error:
        return "value", str(error)
    return None


def where(
    tx: Transaction, columns: Mapping[str, Column], criteria: Sequence[Criterion]
) -> tuple[str, dict[str, Any]]:
    """SQL for criteria, to put behind `WHERE account_id = :account_id`.

    Returns:
        The text (empty, or beginning with AND) and its parameters.

    Raises:
        Invalid: naming every criterion whose field, operator or value is not one of `columns`.
    """
    wrong = [
        named(criterion, *error) for criterion in criteria if (error := problem(columns, criterion))
    ]  # fmt: skip
    if wrong:
        raise Invalid(wrong)
    parts: list[str] = []
    params: dict[str, Any] = {}
    together: dict[int, tuple[Column, list[str]]] = {}
    for number, criterion in enumerate(criteria):
        column = columns[canonical(columns, criterion.field) or ""]
        condition, values = _condition(tx, column, criterion, f"criterion_{number}")
        params |= values
        if column.within is None:
            parts.append(f"AND {condition}")
        elif column.field_id is not None:
            together.setdefault(column.field_id, (column, []))[1].append(condition)
        else:
            parts.append("AND " + column.within.replace("{}", condition))
    for number, (column, conditions) in enumerate(together.values()):
        assert column.within is not None
        within = column.within.replace("{field_id}", f":field_{number}")
        parts.append("AND " + within.replace("{}", " AND ".join(conditions)))
        params[f"field_{number}"] = column.field_id
    return " ".join(parts), params


def named(criterion: Criterion, part: str, what: str) -> Problem:
    """What is wrong with a criterion, in the caller's terms; see `problem`."""
    name = f"{criterion.origin}[{part}]"
    return Problem(name, f"The {name} {what}.")


def order(columns: Mapping[str, Column], search: Search) -> str:
    """SQL for ORDER BY: the sorted column, then the id, so that the order is total.

    Raises:
        Invalid: the field cannot be sorted by.
    """
    column, id = _sorted_by(columns, search), columns["id"].sql
    way = "DESC" if search.descending else "ASC"
    return f"{id} {way}" if column.sql == id else f"{_sort_key(column)} {way}, {id} {way}"


def after(table: str, columns: Mapping[str, Column], search: Search) -> tuple[str, dict[str, Any]]:
    """SQL for keyset paging: rows that come behind the row `search.page.after` in the search's order.

    The row need not match the criteria; for any sort but by id it must still exist, since its place
    is where its value is.
    """
    if search.page.after is None:
        return "", {}
    column, id = _sorted_by(columns, search), columns["id"].sql
    comparison = "<" if search.descending else ">"
    params = {"after": search.page.after}
    if column.sql == id:
        return f"AND {id} {comparison} :after", params
    key = _sort_key(column)
    return (
        f"AND ({key}, {id}) {comparison} "
        f"(SELECT {key}, {id} FROM {table} WHERE {table}.account_id = :account_id AND {id} = :after)",
        params,
    )


def unknown_place() -> Invalid:
    """The error for a `page.after` whose row is needed and not there."""
    return Invalid([Problem("page[after]", "The page[after] is not the id of a row.")])


def moment(text: str) -> datetime:
    """Read a date (`2022-04-28`, midnight), a date with time, or RFC 3339; UTC unless it says otherwise.

    Raises:
        ValueError: saying which forms there are.
    """
    if _MOMENT.fullmatch(text):
        try:
            found = datetime.fromisoformat(text.upper())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            return found
    raise ValueError("must be a date: YYYY-MM-DD, YYYY-MM-DD HH:MM:SS, or RFC 3339")


def _sorted_by(columns: Mapping[str, Column], search: Search) -> Column:
    name = canonical(columns, search.sort)
    if name is None or not columns[name].sortable:
        known = ", ".join(name for name, column in columns.items() if column.sortable)
        raise Invalid([Problem("sort", f"The sort {search.sort!r} is not one of {known}.")])
    return columns[name]


def _sort_key(column: Column) -> str:
    """NULLs sort first on one engine and last on the other; as "" they sort alike."""
    return f"coalesce({column.sql}, '')" if column.kind == "text" else column.sql


def _condition(
    tx: Transaction, column: Column, criterion: Criterion, name: str
) -> tuple[str, dict[str, Any]]:
    """SQL for one criterion, and its parameters, which begin with `name`."""
    value, like = _value(column, criterion), criterion.operator == "like"
    if column.kind == "channel":
        return stopped(str(value), column.sql), {}
    if column.kind == "phone" and like:
        return tx.contains(f"CAST({column.sql} AS TEXT)", name), {name: value}
    if column.kind == "text" and like:
        return tx.contains(column.folded or f"{column.sql}_folded", name), {name: value}
    condition = f"{column.sql} {criterion.operator} :{name}"
    if column.folded:
        folded = f"{name}_folded"
        return f"{column.folded} = :{folded} AND {condition}", {name: value, folded: fold(str(value))}
    return condition, {name: value}


def _value(column: Column, criterion: Criterion) -> int | str | datetime:
    text = criterion.value
    if "\0" in text:
        raise ValueError("may not hold the character NUL")
    if column.kind == "integer":
        return whole(text.strip())
    if column.kind == "moment":
        return moment(text.strip())
    if column.kind == "phone":
        return phones.fragment(text) if criterion.operator == "like" else _phone(text)
    if column.kind == "channel":
        channel = text.strip().lower()
        if channel not in CHANNELS:
            raise ValueError(f"must be one of {', '.join(CHANNELS)}")
        return channel
    if column.key is not None:
        return column.key(text)
    if criterion.operator == "like":
        return fold(text)
    return texts.normal(text)


def _phone(text: str) -> int:
    """The phone that a text means. Digits that are none (now) are looked for as they stand."""
    try:
        return phones.parse(text)
    except phones.BadPhone as error:
        if not phones.fragment(text):
            raise ValueError(str(error)) from None
        return phones.literally(text) or 0


def whole(text: str) -> int:
    """Read a whole number; one that no column can hold becomes the nearest that it can.

    Raises:
        ValueError: it is none.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return max(-_INT64_MAX, min(_INT64_MAX, int(text)))
