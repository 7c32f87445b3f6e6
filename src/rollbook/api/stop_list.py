"""The stop list over HTTP: `/api/stoplist`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from rollbook import channels, phones, stop_list
from rollbook.api import wire
from rollbook.api.batches import Items
from rollbook.api.body import Body
from rollbook.api.query import Channel, LenientQuery, ListId, Paging, Searching
from rollbook.api.wire import Call, Nothing, Read, Write
from rollbook.channels import CHANNELS, mask_of, names_of
from rollbook.errors import Invalid, Problem
from rollbook.search import Criterion, Page, Search
from rollbook.stop_list import Step, Wanted

LIMIT_OF_INDEX = 20
LIMIT = 50
"""The default page size of the index and of a search."""
INDEX = LenientQuery(Paging(LIMIT_OF_INDEX), Channel())
SEARCH = LenientQuery(Searching(stop_list.COLUMNS, LIMIT), ListId())

_Types = Annotated[
    list[str],
    msgspec.Meta(
        description="Channels.",
        examples=[["sms", "viber"]],
        extra_json_schema={
            "minItems": 1,
            "maxItems": len(CHANNELS),
            **wire.shown_as(type="array", items={"type": "string", "enum": [*CHANNELS]}),
        },
    ),
]


class StopsAdd(msgspec.Struct):
    """Phones to stop, and the channels."""

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
    """Rows of the stop list to release, and the channels."""

    ids: Annotated[
        list[wire.Id],
        msgspec.Meta(
            description="Ids of rows, not of contacts; unknown ones are ignored.",
            examples=[[1]],
            extra_json_schema={"minItems": 1, "maxItems": stop_list.REMOVED_AT_ONCE_MAX},
        ),
    ]
    types: _Types


_Channels = Annotated[
    list[str],
    msgspec.Meta(
        description=f"Some of {', '.join(CHANNELS)}.",
        examples=[["sms", "viber"]],
        extra_json_schema={
            "minItems": 1,
            **wire.shown_as(type="array", items={"type": "string", "enum": [*CHANNELS]}),
        },
    ),
]


class StopItem(msgspec.Struct, forbid_unknown_fields=True):
    """A phone to stop, and the channels."""

    phone: wire.Phone
    channels: _Channels
    reference: wire.Reference = None


class ReleaseItem(msgspec.Struct, forbid_unknown_fields=True):
    """A phone to release, and the channels; all channels when `channels` is left out."""

    phone: wire.Phone
    channels: _Channels | msgspec.UnsetType = msgspec.UNSET
    reference: wire.Reference = None


class StopsUpsert(msgspec.Struct, forbid_unknown_fields=True):
    """Phones to stop, each on channels of its own."""

    stops: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(
            description="They need not be contacts. Of a phone that comes twice all channels count.",
            examples=[[{"phone": 380000000001, "channels": ["sms", "viber"], "reference": "row 1"}]],
            extra_json_schema={
                "minItems": 1,
                "maxItems": stop_list.ITEMS_MAX,
                **wire.shown_as(type="array", items={"$ref": "#/components/schemas/StopItem"}),
            },
        ),
    ]


class StopsRelease(msgspec.Struct, forbid_unknown_fields=True):
    """Phones to release, each on channels of its own."""

    stops: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(
            description="By their phones. A phone that is not stopped is reported as `not_stopped`.",
            examples=[[{"phone": 380000000001, "channels": ["viber"]}]],
            extra_json_schema={
                "minItems": 1,
                "maxItems": stop_list.ITEMS_MAX,
                **wire.shown_as(type="array", items={"$ref": "#/components/schemas/ReleaseItem"}),
            },
        ),
    ]


class _Item(msgspec.Struct):
    index: Annotated[int, msgspec.Meta(description="Its place in the request, from 0.", examples=[0])]
    result: Any
    id: Annotated[int | None, msgspec.Meta(description="Of its row; null when it has none.", examples=[5])]
    phone: Annotated[
        int | None,
        msgspec.Meta(description="As it is kept; null when it is none.", examples=[380000000001]),
    ]
    channels: Annotated[
        list[str],
        msgspec.Meta(description="On which it is stopped after this item.", examples=[["sms", "viber"]]),
    ]
    reference: Annotated[
        str | None, msgspec.Meta(description="Yours, when you sent one.", examples=["row 1"])
    ]
    reason: Annotated[str | None, msgspec.Meta(description="Why it is invalid, else null.")]


class StoppedItem(_Item):
    """The result for a phone to stop: `created`, it was not stopped before; `updated`, only on
    other channels."""

    result: Literal["created", "updated", "unchanged", "invalid"]


class ReleasedItem(_Item):
    """The result for a phone to release: `not_stopped`, it was stopped on none of the channels."""

    result: Literal["released", "not_stopped", "invalid"]


class StopsSummary(msgspec.Struct):
    """The number of items with each result, and all items in the order of the request."""

    created: int
    updated: int
    unchanged: int
    invalid: int
    results: list[StoppedItem]


class StopsBatch(msgspec.Struct):
    """The results for phones to stop: invalid items were left out, all others are stopped."""

    data: StopsSummary


class ReleaseSummary(msgspec.Struct):
    """The number of items with each result, and all items in the order of the request."""

    released: int
    not_stopped: int
    invalid: int
    results: list[ReleasedItem]


class ReleaseBatch(msgspec.Struct):
    """The results for phones to release: invalid items were left out."""

    data: ReleaseSummary


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
    """Put phones on the stop list of channels. Repeating it is harmless."""
    problems: list[Problem] = []
    types = _types(body.types, problems)
    if problem := wire.too_many(body.phones, "phones", 1, stop_list.PHONES_MAX):
        problems.append(problem)
    found = []
    reasons: list[tuple[int, Problem]] = [(0, problem) for problem in problems]
    for index, value in enumerate(body.phones[: stop_list.PHONES_MAX]):
        try:
            wanted = stop_list.wanted_of(value)
        except phones.BadPhone as error:
            reasons.append((0, Problem(f"phones[{index}]", f"The phones[{index}] {error}.")))
            continue
        found.append(wanted.phone)
        if wanted.doubt:
            reasons.append(
                (wanted.phone, Problem(f"phones[{index}]", f"The phones[{index}] {wanted.doubt}."))
            )
    if reasons and not any(phone for phone, _ in reasons):
        raise Invalid([problem for _, problem in reasons])
    adding = partial(stop_list.add, phones=found, channels=types, problems=reasons)
    return Write(adding, show=lambda rows: StopRows([_shown(call, row) for row in rows]))


def remove(call: Call, body: StopsRemove) -> Write:
    """Take rows off the stop list of channels. A row without channels is deleted."""
    problems: list[Problem] = []
    types = _types(body.types, problems)
    ids = wire.ids_of(body.ids, "ids", 1, stop_list.REMOVED_AT_ONCE_MAX, problems)
    if problems:
        raise Invalid(problems)
    return Write(partial(stop_list.remove, ids=ids, channels=types), show=lambda _: Nothing())


def upsert(call: Call, body: StopsUpsert) -> Write:
    """Put phones on the stop list, each on its own channels.

    One transaction, up to 10,000 phones. One with an error is left out, its result says why, and
    all others are stopped. Items are processed in order, so a phone that occurs twice is
    stopped on the channels of both items.
    """
    if problem := wire.too_many(body.stops, "stops", 1, stop_list.ITEMS_MAX):
        raise Invalid([problem])

    def read(item: StopItem) -> Wanted:
        return stop_list.wanted_of(item.phone, _mask(item.channels))

    items = Items(body.stops, "stops", _STOP_ITEM, read)

    def invalid(index: int, reference: str | None, why: str) -> StoppedItem:
        return StoppedItem(index, "invalid", None, None, [], reference, why)

    def done(index: int, reference: str | None, wanted: Wanted, step: Step | None) -> StoppedItem:
        if step is None:
            return invalid(index, reference, f"The phone {wanted.doubt}.")
        result: Literal["created", "updated", "unchanged"] = "created" if not step.before else "updated"
        if step.before == step.after:
            result = "unchanged"
        named = names_of(step.after)
        return StoppedItem(index, result, step.id, wanted.phone, named, reference, None)

    def show(steps: list[Step | None]) -> StopsBatch:
        results = items.results(steps, done, invalid)
        count = Counter(item.result for item in results)
        created, updated, unchanged = count["created"], count["updated"], count["unchanged"]
        return StopsBatch(StopsSummary(created, updated, unchanged, count["invalid"], results))

    return Write(stop_list.add_each, items.values, show=show)


def release(call: Call, body: StopsRelease) -> Write:
    """Take phones off the stop list, of some channels or of all.

    One transaction, up to 10,000 phones. One with an error is left out, its result says why, and
    all others are released.
    """
    if problem := wire.too_many(body.stops, "stops", 1, stop_list.ITEMS_MAX):
        raise Invalid([problem])

    def read(item: ReleaseItem) -> Wanted:
        named = CHANNELS if item.channels is msgspec.UNSET else item.channels
        return stop_list.wanted_of(item.phone, _mask(named))

    items = Items(body.stops, "stops", _RELEASE_ITEM, read)

    def invalid(index: int, reference: str | None, why: str) -> ReleasedItem:
        return ReleasedItem(index, "invalid", None, None, [], reference, why)

    def done(index: int, reference: str | None, wanted: Wanted, step: Step | None) -> ReleasedItem:
        if step is None:
            return invalid(index, reference, f"The phone {wanted.doubt}.")
        result: Literal["released", "not_stopped"] = (
            "not_stopped" if step.before == step.after else "released"
        )
        return ReleasedItem(index, result, step.id, wanted.phone, names_of(step.after), reference, None)

    def show(steps: list[Step | None]) -> ReleaseBatch:
        results = items.results(steps, done, invalid)
        count = Counter(item.result for item in results)
        released, not_stopped = count["released"], count["not_stopped"]
        return ReleaseBatch(ReleaseSummary(released, not_stopped, count["invalid"], results))

    return Write(stop_list.remove_each, items.values, show=show)


_STOP_ITEM = Body(StopItem, called="stop")
_RELEASE_ITEM = Body(ReleaseItem, called="stop")


def _mask(named: Iterable[str]) -> int:
    """The mask of the channels of an item."""
    try:
        return mask_of(channels.parse(named, called="channels"))
    except ValueError as error:
        raise Invalid([Problem("channels", str(error))]) from None


def index(call: Call) -> Read:
    """Show the stop list, or one channel of it, newest first."""
    page, channel = INDEX.read(call.params)
    wanted = Search((Criterion("type", "=", channel),) if channel else (), page=page)

    def show(found: Page[stop_list.Stop]) -> StopIndex:
        return StopIndex([_shown(call, row) for row in found.rows], found.total, found.next)

    return Read(stop_list.find, wanted, show=show)


def search(call: Call) -> Read:
    """Search the stop list: all criteria must hold."""
    wanted, list_id = SEARCH.read(call.params)

    def show(found: Page[stop_list.Stop]) -> StopSearch:
        rows = [_shown(call, row) for row in found.rows]
        return StopSearch(rows, wire.meta_of(wanted, found.total, found.next))

    return Read(partial(stop_list.find, list_id=list_id), wanted, show=show)


RULES = {"types": channels.parse}
"""Rules that are checked too when another value of the body has the wrong type."""


def _types(names: list[str], problems: list[Problem]) -> list[str]:
    """The channels of a body; faults are added to `problems`."""
    if problem := wire.too_many(names, "types", 1, len(CHANNELS), "channels"):
        problems.append(problem)
        return []
    found: list[str] = []
    for index, name in enumerate(names):
        try:
            found += channels.parse([name], called=f"types[{index}]")
        except ValueError as error:
            problems.append(Problem(f"types[{index}]", str(error)))
    return found


def _shown(call: Call, row: stop_list.Stop) -> StopRow:
    return StopRow(
        row.id,
        row.phone,
        call.date(row.created_at),
        *(bool(row.mask & bit) for bit in CHANNELS.values()),
    )
