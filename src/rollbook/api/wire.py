"""What all calls of the API share: the types of values, the call itself, and the results of handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from falcon.asgi import Request, Response

from rollbook import phones, search
from rollbook.api.errors import PROBLEMS_MAX
from rollbook.api.gate import Gate
from rollbook.errors import Problem
from rollbook.exports import Export
from rollbook.imports.spool import Spool

SHOWN_AS = "x-shown-as"
"""In the schema of a type that accepts more than one kind of value: the schema that the OpenAPI document
shows instead. Generators of clients drop, or cannot send, a value that may be a number or a text."""


def shown_as(**schema: Any) -> dict[str, Any]:
    """For `extra_json_schema`: the schema that the OpenAPI document shows instead of the type's own."""
    return {SHOWN_AS: schema}


def or_null(**schema: Any) -> dict[str, Any]:
    """As `shown_as`, with null as another value."""
    return shown_as(anyOf=[schema, {"type": "null"}])


Flag = Annotated[
    bool | Literal[0, 1, "0", "1", "true", "false"] | None,
    msgspec.Meta(
        description="A boolean; 0 and 1, also as text, and `true` and `false` as text are read too.",
        extra_json_schema=or_null(type="boolean"),
    ),
]


Id = Annotated[
    int | str,
    msgspec.Meta(
        description="An id; digits as text are read too.",
        examples=[1],
        extra_json_schema=shown_as(type="integer"),
    ),
]

Phone = Annotated[
    int | str,
    msgspec.Meta(
        description="The digits of E.164, 9 to 15 of them with the country code: a number, or text with an "
        "optional + or 00, spaces, dots, dashes and brackets of every kind.",
        examples=[380000000001],
        extra_json_schema=shown_as(type="integer"),
    ),
]

Reference = Annotated[
    str | int | None,
    msgspec.Meta(
        description="Any text of yours, that comes back with the result.",
        examples=["row 1"],
        extra_json_schema=or_null(type="string"),
    ),
]


Next = Annotated[
    int | None, msgspec.Meta(description="Send it as `page[after]` for the next page; null on the last.")
]


class MetaPage(msgspec.Struct):
    """The position of a page of search results."""

    total: int
    limit: int
    offset: int
    next: Next


class MetaSearch(msgspec.Struct):
    """What was searched for: the first criterion."""

    field: str
    operator: str
    value: str


class Meta(msgspec.Struct, omit_defaults=True):
    """About a page of search results."""

    page: MetaPage
    search: MetaSearch | msgspec.UnsetType = msgspec.UNSET


class Nothing(msgspec.Struct):
    """An empty object: the call succeeded."""


@dataclass(frozen=True)
class Delivery:
    """What sends an answer that is not JSON, for one request.

    Args:
        read: runs a function of the core on a snapshot.
        export: sends an export as the answer: `export(req, resp, export, name)`.
        admitted: raises `ApiError` once the caller's access was taken away.
        place: a place for as long as the answer lasts; entering raises `Busy` where all are taken.
        check: raises `Busy` where all places are taken.
        ending: whether the service is about to end, so that the answer must end too.
    """

    read: Callable[..., Awaitable[Any]]
    export: Callable[[Request, Response, Export, str], Awaitable[None]]
    admitted: Callable[[], Awaitable[object]]
    place: Callable[[], AbstractContextManager[None]]
    check: Callable[[], None]
    ending: Callable[[], bool]


class NotJson(ABC):
    """What a handler returns in place of a Struct where the answer is not JSON."""

    @abstractmethod
    async def send(self, req: Request, resp: Response, delivery: Delivery) -> None:
        """Send it as the answer."""


@dataclass(frozen=True)
class Media:
    """An answer that is not JSON, as the OpenAPI document shows it.

    Args:
        types: its possible media types.
        example: an example of its body.
        schema: the schema of its body.
        about: a description.
        headers: its further headers.
    """

    types: tuple[str, ...]
    example: Any
    schema: Mapping[str, Any]
    about: str = "The requested data."
    headers: tuple[str, ...] = ()


class Options(msgspec.Struct, frozen=True):
    """The settings of the service that concern the API.

    Args:
        contact_fields: the form of a contact's fields: `object`, `list`, or `auto`, which depends on the
            caller.
        phone_check: which phones are accepted: `possible` ones, or only `valid` ones.
        spool: where the files of imports are.
    """

    contact_fields: str = "auto"
    phone_check: str = "possible"
    spool: Spool = Spool(Path("rollbook-spool"))


class Call:
    """A request as a handler sees it: the caller, its parameters, and the form of the answer.

    Args:
        gate: makes tokens.
        options: the settings of the service.
        account_id: the account of the caller; 0 before login.
        key_id: the key of the caller; 0 before login.
        id: the id in the path; 0 (which nothing has) when the path has no id, or one that is not a number.
        params: the query, percent-decoded; a repeated name has a list.
        query: on a route of rollbook's own, the value of every option.
        rfc3339: whether dates in the answer are RFC 3339.
        fields_as_list: whether a contact's fields are a list of one-entry maps.
    """

    __slots__ = (
        "account_id",
        "fields_as_list",
        "gate",
        "id",
        "key_id",
        "options",
        "params",
        "query",
        "rfc3339",
    )

    def __init__(
        self,
        gate: Gate,
        options: Options,
        account_id: int,
        key_id: int,
        id: int,
        params: Mapping[str, Any],
        rfc3339: bool,
        fields_as_list: bool = False,
    ) -> None:
        self.gate = gate
        self.options = options
        self.account_id = account_id
        self.key_id = key_id
        self.id = id
        self.params = params
        self.query: Mapping[str, Any] = {}
        self.rfc3339 = rfc3339
        self.fields_as_list = fields_as_list

    def phone(self, value: int | str) -> int:
        """A phone from a request, as E.164 digits.

        Raises:
            BadPhone: it is not a phone, or not one that this service accepts.
        """
        phone = phones.parse(value)
        if self.options.phone_check == "valid" and not phones.is_valid(phone):
            raise phones.BadPhone("is in no range that its numbering plan assigns")
        return phone

    def phone_of_item(self, value: Any) -> int:
        """As `phone`, for an item of a batch, which may be anything.

        Raises:
            BadPhone: also for what is neither an integer nor a text.
        """
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise phones.BadPhone("must be a whole number or a text")
        return self.phone(value)

    def date(self, moment: datetime) -> str:
        """A moment (UTC, whole seconds) in the form for this caller: `2022-04-28 14:21:16`, or RFC 3339."""
        text = _date(moment)
        return f"{text[:10]}T{text[11:]}Z" if self.rfc3339 else text


class Read:
    """The result of a handler: what to read, and how to show it.

    Args:
        fn: called with a transaction, the account id of the caller (except for a login) and `args`.
        show: makes the body from the result of `fn`.
        quick: whether it is a point read, which an embedded database answers at once.
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


class Compute:
    """The result of a handler: what to compute without the database, and how to show it.

    Args:
        fn: called with `args` alone, in a thread.
        show: makes the body from the result of `fn`.
    """

    __slots__ = ("args", "fn", "show")
    writes = False

    def __init__(self, fn: Callable[..., Any], *args: Any, show: Callable[[Any], Any]) -> None:
        self.fn = fn
        self.args = args
        self.show = show


class Write:
    """The result of a handler: what to change, and how to show the outcome; see `Read`."""

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
    """The boolean value of a `Flag`."""
    return value in (True, 1, "1", "true")


def id_in_path(text: str) -> int:
    """An id in a path; 0, which nothing has, when it is not an id."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else 0


def id_of(value: int | str) -> int | None:
    """The integer value of an `Id`; `None` when it is not an id."""
    if isinstance(value, str):
        value = id_in_path(value.strip())
    return value if 0 < value <= search.ID_MAX else None


def ids_of(values: Sequence[int | str], name: str, low: int, high: int, problems: list[Problem]) -> list[int]:
    """The ids in a list of a body or a query, without repetitions; faults are added to `problems`.

    Args:
        low, high: how many there may be.
    """
    if problem := too_many(values, name, low, high, "ids"):
        problems.append(problem)
        return []
    found = [id_of(value) for value in values]
    bad = [number for number, id in enumerate(found) if id is None]
    problems += [
        Problem(f"{name}[{number}]", f"The {name}[{number}] must be an id.") for number in bad[:PROBLEMS_MAX]
    ]
    return list(dict.fromkeys(id for id in found if id is not None))


def meta_of(wanted: search.Search, total: int, next_id: int | None) -> Meta:
    """The `meta` of a page of search results."""
    page = MetaPage(total, wanted.page.limit, wanted.page.offset, next_id)
    if not wanted.criteria:
        return Meta(page)
    first = wanted.criteria[0]
    return Meta(page, MetaSearch(first.field, first.operator, first.value))


def too_many(values: Sequence[Any], name: str, low: int, high: int, what: str = "items") -> Problem | None:
    """The fault in the number of values of a list; `None` when there is none."""
    if low <= len(values) <= high:
        return None
    return Problem(name, f"The {name} must have {low} to {high} {what}, not {len(values)}.")


def plain(value: str | int | float) -> str:
    """A value from a text or a JSON number, as text without an exponent."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
