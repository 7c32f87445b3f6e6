"""Searches: turns the criteria, the sort and the page of a caller into SQL; the only query builder.

Each noun defines what can be searched (`Column`s); a caller gives criteria (`Criterion`s), a sort and a
`PageRequest`. No text of a caller ever becomes SQL: fields and operators are looked up, values are
parameters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

from rollbook import channels, phones, texts
from rollbook.channels import stopped
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem

COMPARISONS = ("=", ">", ">=", "<", "<=")
TEXTUAL = ("like", "=")
ID_MAX = 2**53 - 1
"""The largest id: JavaScript holds every whole number up to it exactly."""

_INT64_MAX = 2**63 - 1

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ Tt]\d\d:\d\d(:\d\d(\.\d{1,30})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)


@dataclass(frozen=True)
class Column:
    """A field that can be searched or sorted by.

    Args:
        kind: how a value is read: as a whole number, text, a moment, a phone, a channel of the stop list, or
            with the function `key`.
        sql: the column in SQL; for a channel the column of the mask.
        operators: the operators that criteria may use.
        sortable: whether a search may be sorted by it.
        aliases: other names for it.
        within: SQL with `{}` for the condition, where the column belongs to another table.
        field_id: the id of a contact field. A contact has at most one value in it, so several criteria become
            one condition; `within` has `{field_id}` for it.
        folded: the column with the folded form of a text, if it is not `<sql>_folded`; it has an index.
        key: turns a value into the form that the column holds; raises ValueError.
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
        origin: the caller's name for this criterion, for messages.
    """

    field: str
    operator: str
    value: str
    origin: str = "search"


@dataclass(frozen=True)
class Condition(Criterion):
    """A checked criterion: its field and operator exist, and its value fits.

    Args:
        operand: the value in the form that the column holds.
    """

    operand: int | str | datetime = ""


@dataclass(frozen=True)
class PageRequest:
    """Which page of the rows a caller asks for.

    Args:
        limit: the most rows to return.
        offset: the number of rows to skip.
        after: the id of the last row of the page before (keyset paging), instead of an offset.
    """

    limit: int = 50
    offset: int = 0
    after: int | None = None

    @property
    def rows_to_read(self) -> int:
        """One more than the limit: the extra row shows whether there is a next page."""
        return self.limit + 1


Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of rows.

    Args:
        rows: `PageRequest.limit` at most.
        total: the number of rows on all pages.
        next: the id of the last of `rows`, for `PageRequest.after` of the next page; `None` on the last page.
    """

    rows: list[Row]
    total: int
    next: int | None

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        total: int | None,
        request: PageRequest,
        id_of: Callable[[Row], int] = attrgetter("id"),
    ) -> Page[Row]:
        """The page for a request, made of the rows that were read for it.

        Args:
            rows: `request.rows_to_read` at most.
        """
        shown = list(rows[: request.limit])
        return cls(shown, total or 0, id_of(shown[-1]) if len(rows) > request.limit else None)


@dataclass(frozen=True)
class Search:
    """A search: rows that meet all criteria (AND), their order, and the page to return."""

    criteria: tuple[Criterion, ...] = ()
    sort: str = "id"
    descending: bool = True
    page: PageRequest = field(default_factory=PageRequest)


def fold(text: str) -> str:
    """The form of a text for comparing without regard to case, the same on both engines.

    This is canonical caseless matching (The Unicode Standard, section 3.13, D145), recomposed so that a
    letter with an accent does not contain the letter without it.
    """
    if text.isascii():
        return text.lower()
    if len(text) > texts.NORMAL_MAX:
        return text.casefold()  # longer than any stored text
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def canonical(columns: Mapping[str, Column], name: str) -> str | None:
    """The name of the field whose name or alias is `name`, or `None`."""
    if name in columns:
        return name
    return next((known for known, column in columns.items() if name in column.aliases), None)


def condition(columns: Mapping[str, Column], criterion: Criterion, *, others: str = "") -> Condition:
    """Check a criterion. One that was checked before is returned as it is.

    Args:
        others: further fields besides the names of `columns`, for the message.

    Raises:
        Invalid: its field, operator or value does not fit `columns`.
    """
    if isinstance(criterion, Condition):
        return criterion
    name = canonical(columns, criterion.field)
    if name is None:
        raise _bad(criterion, "field", f"must be one of {', '.join(columns)}{others}")
    if criterion.operator not in columns[name].operators:
        raise _bad(criterion, "operator", f"for {name} must be one of {' '.join(columns[name].operators)}")
    try:
        operand = _operand(columns[name], criterion)
    except ValueError as error:
        raise _bad(criterion, "value", str(error)) from None
    return Condition(name, criterion.operator, criterion.value, criterion.origin, operand)


def conditions(columns: Mapping[str, Column], criteria: Sequence[Criterion]) -> tuple[Condition, ...]:
    """Check criteria. Those that were checked before are returned as they are.

    Raises:
        Invalid: naming every criterion whose field, operator or value does not fit `columns`.
    """
    found: list[Condition] = []
    problems: list[Problem] = []
    for criterion in criteria:
        try:
            found.append(condition(columns, criterion))
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid(problems)
    return tuple(found)


def where(
    tx: Transaction, columns: Mapping[str, Column], criteria: Sequence[Criterion]
) -> tuple[str, dict[str, Any]]:
    """SQL for criteria, to append to `WHERE account_id = :account_id`.

    Returns:
        The SQL (empty, or beginning with AND) and its parameters.

    Raises:
        Invalid: naming every criterion whose field, operator or value does not fit `columns`.
    """
    parts: list[str] = []
    params: dict[str, Any] = {}
    together: dict[int, tuple[Column, list[str]]] = {}
    for number, read in enumerate(conditions(columns, criteria)):
        column = columns[read.field]
        sql, values = _condition(tx, column, read, f"criterion_{number}")
        params |= values
        if column.within is None:
            parts.append(f"AND {sql}")
        elif column.field_id is not None:
            together.setdefault(column.field_id, (column, []))[1].append(sql)
        else:
            parts.append("AND " + column.within.replace("{}", sql))
    for number, (column, texts_of_field) in enumerate(together.values()):
        assert column.within is not None
        within = column.within.replace("{field_id}", f":field_{number}")
        parts.append("AND " + within.replace("{}", " AND ".join(texts_of_field)))
        params[f"field_{number}"] = column.field_id
    return " ".join(parts), params


def order(columns: Mapping[str, Column], search: Search) -> str:
    """SQL for ORDER BY: the column to sort by, then the id, so that the order is total.

    Raises:
        Invalid: rows cannot be sorted by that field.
    """
    column, id = _sorted_by(columns, search), columns["id"].sql
    way = "DESC" if search.descending else "ASC"
    return f"{id} {way}" if column.sql == id else f"{_sort_key(column)} {way}, {id} {way}"


def after(table: str, columns: Mapping[str, Column], search: Search) -> tuple[str, dict[str, Any]]:
    """SQL for keyset paging: the rows that follow the row `search.page.after` in the search's order.

    That row need not match the criteria. Unless the sort is by id it must still exist, since its value gives
    its place.
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
    """The error for a `page.after` whose row is needed but does not exist."""
    return Invalid([Problem("page[after]", "The page[after] is not the id of a row.")])


def moment(text: str) -> datetime:
    """Read a date (`2022-04-28`, midnight), a date with time, or RFC 3339; UTC unless it has an offset.

    Raises:
        ValueError: the text has another form; the message lists the accepted ones.
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


def _bad(criterion: Criterion, part: str, what: str) -> Invalid:
    """The error for one part of a criterion, in the caller's terms."""
    name = f"{criterion.origin}[{part}]"
    return Invalid([Problem(name, f"The {name} {what}.")])


def _sorted_by(columns: Mapping[str, Column], search: Search) -> Column:
    name = canonical(columns, search.sort)
    if name is None or not columns[name].sortable:
        known = ", ".join(name for name, column in columns.items() if column.sortable)
        raise Invalid([Problem("sort", f"The sort {search.sort!r} is not one of {known}.")])
    return columns[name]


def _sort_key(column: Column) -> str:
    """SQL to sort by. NULLs sort first on one engine and last on the other; as "" they sort alike."""
    return f"coalesce({column.sql}, '')" if column.kind == "text" else column.sql


def _condition(tx: Transaction, column: Column, read: Condition, name: str) -> tuple[str, dict[str, Any]]:
    """SQL for one condition, and its parameters, which begin with `name`."""
    value, like = read.operand, read.operator == "like"
    if column.kind == "channel":
        return stopped(str(value), column.sql), {}
    if column.kind == "phone" and like:
        return tx.contains(f"CAST({column.sql} AS TEXT)", name), {name: value}
    if column.kind == "text" and like:
        return tx.contains(column.folded or f"{column.sql}_folded", name), {name: value}
    compared = f"{column.sql} {read.operator} :{name}"
    if column.folded:
        folded = f"{name}_folded"
        return f"{column.folded} = :{folded} AND {compared}", {name: value, folded: fold(str(value))}
    return compared, {name: value}


def _operand(column: Column, criterion: Criterion) -> int | str | datetime:
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
        [channel] = channels.parse([text])
        return channel
    if column.key is not None:
        return column.key(text)
    if criterion.operator == "like":
        return fold(text)
    return texts.normal(text)


def _phone(text: str) -> int:
    """Read a phone to search for. Digits that fit no current numbering plan are taken as they stand."""
    try:
        return phones.parse(text)
    except phones.BadPhone as error:
        if not phones.fragment(text):
            raise ValueError(str(error)) from None
        return phones.literally(text) or 0


def whole(text: str) -> int:
    """Read a whole number. One that no column can hold becomes the nearest one that a column can.

    Raises:
        ValueError: the text is not a whole number.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return max(-_INT64_MAX, min(_INT64_MAX, int(text)))
