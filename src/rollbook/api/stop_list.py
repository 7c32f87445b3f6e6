"""The stop list on the wire: `/api/stoplist`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rollbook import phones, stop_list
from rollbook.api import wire
from rollbook.api.wire import Call, Nothing, Read, Write
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem
from rollbook.search import Criterion, Search

LIMIT_OF_INDEX = 20
LIMIT = 50
"""Rows on a page when the caller does not say: of the index, of a search."""

_Types = Annotated[
    list[str],
    msgspec.Meta(
        description="Channels.",
        examples=[["sms", "viber"]],
        extra_json_schema={
            "minItems": 1,
            "maxItems": len(CHANNELS),
            **wire.told_as(type="array", items={"type": "string", "enum": [*CHANNELS]}),
        },
    ),
]


class StopsAdd(msgspec.Struct):
    """Phones to stop, and where."""

    phones: Annotated[
        list[wire.Phone],
        msgspec.Meta(
            description="They need not be contacts.",
            examples=[[380000000001]],
            extra_json_schema={"minItems": 1, "maxItems": stop_list.PHONES_MAX},
        ),
    ]
    types: _Types


class StopsRemove(msgspec.Struct):
    """Rows of the stop list to let go of, and where."""

    ids: Annotated[
        list[wire.Id],
        msgspec.Meta(
            description="Ids of rows, not of contacts; unknown ones are ignored.",
            examples=[[1]],
            extra_json_schema={"minItems": 1, "maxItems": stop_list.REMOVED_AT_ONCE_MAX},
        ),
    ]
    types: _Types


class StopRow(msgspec.Struct):
    """A phone, and for each channel whether it is stopped there."""

    id: Annotated[int, msgspec.Meta(description="Of the row.", examples=[1])]
    phone: Annotated[int, msgspec.Meta(examples=[380000000001])]
    created_at: str
    sms_stoplist: bool
    viber_stoplist: bool
    rcs_stoplist: bool
    whatsapp_stoplist: bool


class StopRows(msgspec.Struct):
    """The rows of the phones that were sent, in their order."""

    data: list[StopRow]


class StopIndex(msgspec.Struct):
    """A page of the stop list, newest first."""

    data: list[StopRow]
    total: int
    next: wire.Next


class StopSearch(msgspec.Struct):
    """A page of search results."""

    data: list[StopRow]
    meta: wire.Meta


def add(call: Call, body: StopsAdd) -> Write:
    """Stop phones on channels; doing so again is fine."""
    problems = _types_problem(body.types)
    if problem := wire.too_many(body.phones, "phones", 1, stop_list.PHONES_MAX):
        problems.append(problem)
    found = []
    for index, value in enumerate(body.phones[: stop_list.PHONES_MAX]):
        try:
            found.append(call.phone(value))
        except phones.BadPhone as error:
            problems.append(Problem(f"phones[{index}]", f"The phones[{index}] {error}."))
    if problems:
        raise Invalid(problems)
    return Write(
        _add, found, body.types, show=lambda rows: StopRows([_shown(call, row) for row in rows])
    )  # fmt: skip


def remove(call: Call, body: StopsRemove) -> Write:
    """Let rows of the stop list be messaged again on channels; a row without channels is gone."""
    problems = _types_problem(body.types)
    ids = wire.ids_of(body.ids, "ids", 1, stop_list.REMOVED_AT_ONCE_MAX, problems)
    if problems:
        raise Invalid(problems)
    return Write(_remove, ids, body.types, show=lambda _: Nothing())


def index(call: Call) -> Read:
    """Show the stop list, or one channel of it, newest first."""
    problems: list[Problem] = []
    page = None
    try:
        page = wire.page_of(call.params, limit=LIMIT_OF_INDEX)
    except Invalid as error:
        problems += error.problems
    channel = (wire.text_of(call.params, "type") or wire.text_of(call.params, "types")).strip().lower()
    if channel and channel not in CHANNELS:
        problems.append(Problem("type", f"The type must be one of {', '.join(CHANNELS)}."))
    if problems or page is None:
        raise Invalid(problems)
    wanted = Search((Criterion("type", "=", channel),) if channel else (), page=page)

    def show(found: stop_list.Found) -> StopIndex:
        return StopIndex([_shown(call, row) for row in found.stops], found.total, _next(found))

    return Read(stop_list.find, wanted, show=show)


def search(call: Call) -> Read:
    """Search the stop list: all criteria must hold."""
    problems: list[Problem] = []
    wanted = None
    try:
        wanted = wire.search_of(call.params, stop_list.COLUMNS, limit=LIMIT)
    except Invalid as error:
        problems += error.problems
    text = wire.text_of(call.params, "contact_group_id").strip()
    list_id = wire.id_of(text) if text else None
    if text and list_id is None:
        problems.append(Problem("contact_group_id", "The contact_group_id must be an id."))
    if problems or wanted is None:
        raise Invalid(problems)

    def show(found: stop_list.Found) -> StopSearch:
        rows = [_shown(call, row) for row in found.stops]
        return StopSearch(rows, wire.meta_of(wanted, found.total, _next(found)))

    return Read(_find, wanted, list_id, show=show)


def _add(tx: Transaction, account_id: int, numbers: list[int], channels: list[str]) -> list[stop_list.Stop]:
    return stop_list.add(tx, account_id, phones=numbers, channels=channels)


def _remove(tx: Transaction, account_id: int, ids: list[int], channels: list[str]) -> None:
    stop_list.remove(tx, account_id, ids=ids, channels=channels)


def _find(tx: Transaction, account_id: int, wanted: Search, list_id: int | None) -> stop_list.Found:
    return stop_list.find(tx, account_id, wanted, list_id=list_id)


def _check_types(types: list[str]) -> None:
    if _types_problem(types):
        raise ValueError(f"must be 1 to {len(CHANNELS)} of {', '.join(CHANNELS)}")


RULES = {"types": _check_types}
"""For a body that has a value of the wrong type besides."""


def _types_problem(types: list[str]) -> list[Problem]:
    if problem := wire.too_many(types, "types", 1, len(CHANNELS), "channels"):
        return [problem]
    known = ", ".join(CHANNELS)
    return [
        Problem(f"types[{number}]", f"The types[{number}] must be one of {known}.")
        for number, name in enumerate(types)
        if name not in CHANNELS
    ]


def _shown(call: Call, row: stop_list.Stop) -> StopRow:
    return StopRow(
        row.id,
        row.phone,
        call.date(row.created_at),
        *(bool(row.mask & bit) for bit in CHANNELS.values()),
    )


def _next(found: stop_list.Found) -> int | None:
    return found.stops[-1].id if found.more else None
