"""The forms that every call of the wire shares: errors, dates, preferences, paging, search criteria."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from rollbook import search
from rollbook.errors import Invalid, Problem

if TYPE_CHECKING:
    from rollbook.api.auth import Gate

PAGE_LIMIT_MIN = 15
PAGE_LIMIT_MAX = 500

Flag = Annotated[
    bool | Literal[0, 1, "true", "false"] | None,
    msgspec.Meta(description="A boolean; 0, 1, `true` and `false` as text are read too, null is false."),
]


class FieldError(msgspec.Struct):
    """What is wrong with one field."""

    field: str
    message: str


class ErrorBody(msgspec.Struct):
    """The one form of every error."""

    message: str
    errors: list[FieldError]


class ApiError(Exception):
    """An answer that is an error: status, text, what is wrong with each field, headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody(message, [FieldError(*problem) for problem in problems])
        self.headers = dict(headers or {})


class MetaPage(msgspec.Struct):
    """Where a page of search results stands."""

    total: int
    limit: int
    offset: int
    next: Annotated[
        int | None, msgspec.Meta(description="Send it as `page[after]` for the next page; null on the last.")
    ]


class MetaSearch(msgspec.Struct):
    """What was searched for: the first criterion."""

    field: str
    operator: str
    value: str


class Meta(msgspec.Struct, omit_defaults=True):
    """About a page of search results."""

    page: MetaPage
    search: MetaSearch | msgspec.UnsetType = msgspec.UNSET


class Call:
    """A request as a handler sees it: who asks, for what, and how the answer is to look.

    Args:
        gate: makes tokens.
        account_id: whose data it is about; 0 before login.
        key_id: the key that the caller came with; 0 before login.
        id: the id in the path; 0 (which nothing has) when the path names none or no number.
        params: the query, percent-decoded; a repeated name has a list.
        rfc3339: dates go out as RFC 3339.
    """

    __slots__ = ("account_id", "gate", "id", "key_id", "params", "rfc3339")

    def __init__(
        self,
        gate: Gate,
        account_id: int,
        key_id: int,
        id: int,
        params: Mapping[str, Any],
        rfc3339: bool,
    ) -> None:
        self.gate = gate
        self.account_id = account_id
        self.key_id = key_id
        self.id = id
        self.params = params
        self.rfc3339 = rfc3339

    def date(self, moment: datetime) -> str:
        """A moment (UTC, whole seconds) as this caller wants it: `2022-04-28 14:21:16`, or RFC 3339."""
        text = _date(moment)
        return f"{text[:10]}T{text[11:]}Z" if self.rfc3339 else text


class Read:
    """A handler's answer: what to read and how to show it.

    Args:
        fn: called with a transaction, the caller's account id (but for a login) and `args`.
        show: turns what `fn` returned into the body.
        quick: a point read, which an embedded database answers at once.
    """

    __slots__ = ("args", "fn", "quick", "show")
    writes = False

    def __init__(
        self, fn: Callable[..., Any], *args: Any, show: Callable[[Any], Any], quick: bool = False
    ) -> None:
        self.fn = fn
        self.args = args
        self.show = show
        self.quick = quick


class Write:
    """A handler's answer: what to change and how to show the outcome; see `Read`."""

    __slots__ = ("args", "fn", "show")
    writes = True

    def __init__(self, fn: Callable[..., Any], *args: Any, show: Callable[[Any], Any]) -> None:
        self.fn = fn
        self.args = args
        self.show = show


@lru_cache(maxsize=4096)
def _date(moment: datetime) -> str:
    return str(moment)[:19]


def flag(value: bool | int | str | None) -> bool:
    """The boolean that a `Flag` means."""
    return value in (True, 1, "true")


def id_in_path(text: str) -> int:
    """An id in a path; 0, which nothing has, when it is no id at all."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else 0


def page_of(params: Mapping[str, Any], *, limit: int) -> search.Page:
    """Read `page[offset]`, `page[limit]` and `page[after]`.

    Args:
        limit: when the caller names none.

    Raises:
        Invalid: naming every one that is out of range.
    """
    problems: list[Problem] = []
    offset = _number(params, "page[offset]", 0, 0, search.ID_MAX, problems)
    limit = _number(params, "page[limit]", limit, PAGE_LIMIT_MIN, PAGE_LIMIT_MAX, problems)
    after = _number(params, "page[after]", 0, 0, search.ID_MAX, problems)
    if after and offset:
        problems.append(Problem("page[after]", "The page[after] does not go with a page[offset]."))
    if problems:
        raise Invalid(problems)
    return search.Page(limit, offset, after or None)


def search_of(
    params: Mapping[str, Any], columns: Mapping[str, search.Column], *, limit: int
) -> search.Search:
    """Read everything a search endpoint takes; see `page_of`.

    Raises:
        Invalid: naming every parameter that cannot be read.
    """
    problems: list[Problem] = []
    try:
        page = page_of(params, limit=limit)
    except Invalid as error:
        problems += error.problems
    criteria = _criteria(params, columns, problems)
    sort = _text(params, "sort")
    way = (_text(params, "way") or ("asc" if sort else "desc")).lower()
    if way not in ("asc", "desc"):
        problems.append(Problem("way", "The way must be asc or desc."))
    sorting = search.canonical(columns, sort or "id")
    if sorting is None or not columns[sorting].sortable:
        known = ", ".join(name for name, column in columns.items() if column.sortable)
        problems.append(Problem("sort", f"The sort must be one of {known}."))
    if problems or sorting is None:
        raise Invalid(problems)
    return search.Search(tuple(criteria), sorting, way == "desc", page)


def meta_of(wanted: search.Search, total: int, next_id: int | None) -> Meta:
    """The `meta` of a page of search results."""
    page = MetaPage(total, wanted.page.limit, wanted.page.offset, next_id)
    if not wanted.criteria:
        return Meta(page)
    first = wanted.criteria[0]
    return Meta(page, MetaSearch(first.field, first.operator, first.value))


def _criteria(
    params: Mapping[str, Any], columns: Mapping[str, search.Column], problems: list[Problem]
) -> list[search.Criterion]:
    found: dict[str, dict[str, str]] = {}
    for name in params:
        match = re.fullmatch(r"(search|search_fields\[(\d+)\])\[(field|operator|operation|value)\]", name)
        if match:
            part = "operator" if match[3] == "operation" else match[3]
            found.setdefault(match[1], {})[part] = _text(params, name)
    criteria = []
    for name in sorted(found, key=lambda name: (len(name), name)):
        parts = found[name]
        if not any(parts.values()):
            continue
        if not parts.get("field"):
            problems.append(Problem(f"{name}[field]", f"The {name}[field] is required."))
            continue
        if "value" not in parts:
            problems.append(Problem(f"{name}[value]", f"The {name}[value] is required."))
            continue
        known = search.canonical(columns, parts["field"])
        criterion = search.Criterion(
            known or parts["field"], (parts.get("operator") or "=").lower(), parts["value"]
        )
        if error := search.problem(columns, criterion):
            part, message = error
            problems.append(Problem(f"{name}[{part}]", f"The {name}[{part}] {message}."))
        criteria.append(criterion)
    return criteria


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name, "")
    return str(value[-1] if isinstance(value, list) else value)


def _number(
    params: Mapping[str, Any], name: str, default: int, low: int, high: int, problems: list[Problem]
) -> int:
    text = _text(params, name).strip()
    if not text:
        return default
    if not re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        problems.append(Problem(name, f"The {name} must be a whole number."))
    elif int(text) < low:
        problems.append(Problem(name, f"The {name} must be at least {low}."))
    elif int(text) > high:
        problems.append(Problem(name, f"The {name} may not be greater than {high}."))
    else:
        return int(text)
    return default
