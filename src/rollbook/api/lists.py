"""Contact lists over HTTP: `/api/groups`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from rollbook import lists
from rollbook.api import wire
from rollbook.api.query import LenientQuery, Paging, Searching
from rollbook.api.wire import Call, Read, Write
from rollbook.channels import CHANNELS, COUNTED
from rollbook.search import Page, Search

LIMIT = 50
"""The default page size of lists."""
INDEX = LenientQuery(Paging(LIMIT))
SEARCH = LenientQuery(Searching(lists.COLUMNS, LIMIT))

_TRIMMED = {
    "minLength": lists.NAME_LENGTH_MIN,
    "pattern": r"^[^\x00]*\S[^\x00]+\S[^\x00]*$",
}
_Name = Annotated[
    str,
    msgspec.Meta(
        description="3 to 50 characters after trimming and Unicode NFC; "
        "unique in the account, case-sensitively.",
        examples=["Customers"],
        extra_json_schema=_TRIMMED | {"maxLength": lists.NAME_LENGTH_MAX},
    ),
]
_Description = Annotated[
    str | None,
    msgspec.Meta(
        description="1 to 255 characters, or null; an empty text is null.",
        examples=["Everyone who ordered this year"],
        extra_json_schema={"maxLength": lists.DESCRIPTION_LENGTH_MAX, "pattern": r"^[^\x00]*$"},
    ),
]
_Default = Annotated[
    wire.Flag,
    msgspec.Meta(
        description="Whether it is the account's default list; setting one clears the other. "
        "Typed SDKs send `false` with every update, unasked.",
        examples=[False],
    ),
]


class ListCreate(msgspec.Struct):
    """A list to create."""

    name: _Name
    description: _Description = None
    default: _Default = False


class ListUpdate(msgspec.Struct):
    """The changes to a list; absent members keep their values."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    description: _Description | msgspec.UnsetType = msgspec.UNSET
    default: _Default | msgspec.UnsetType = msgspec.UNSET


class ContactListJson(msgspec.Struct):
    """A contact list."""

    id: Annotated[int, msgspec.Meta(examples=[1])]
    name: Annotated[str, msgspec.Meta(examples=["Customers"])]
    description: str | None
    default: bool
    created_at: Annotated[
        str, msgspec.Meta(description="UTC; RFC 3339 on request.", examples=["2022-04-28 14:21:16"])
    ]
    items: Annotated[int, msgspec.Meta(description="Contacts in the list, exact.", examples=[0])]
    stop_list_count: Annotated[
        int,
        msgspec.Meta(
            description=f"Contacts in the list whose phone is stopped on {' or '.join(COUNTED)}, exact.",
            examples=[0],
        ),
    ]


class ChannelStats(msgspec.Struct):
    """The contacts of a list on one channel."""

    stopped: Annotated[int, msgspec.Meta(description="On the channel's stop list.", examples=[37])]
    reachable: Annotated[int, msgspec.Meta(description="All others.", examples=[1243])]


class ListStats(msgspec.Struct):
    """The counts of a contact list, all exact."""

    id: int
    items: int
    stop_list_count: int
    channels: dict[str, ChannelStats]


class OneStats(msgspec.Struct):
    """The counts of one contact list."""

    data: ListStats


class FoundList(msgspec.Struct):
    """A contact list as a search shows it."""

    id: int
    name: str
    description: str | None
    is_default: bool
    items: int
    created_at: str


class OneList(msgspec.Struct):
    """One contact list."""

    data: ContactListJson


class ListIndex(msgspec.Struct):
    """A page of contact lists, newest first."""

    data: list[ContactListJson]
    total: int
    next: wire.Next


class ListSearch(msgspec.Struct):
    """A page of the contact lists that meet the criteria."""

    data: list[FoundList]
    meta: wire.Meta


def create(call: Call, body: ListCreate) -> Write:
    """Create a contact list."""
    new = lists.NewList(body.name, body.description, wire.flag(body.default))
    return Write(lists.create, new, show=lambda created: OneList(shown(call, created)))


def get(call: Call) -> Read:
    """Show one contact list with its exact counts."""
    return Read(lists.get, call.id, show=lambda found: OneList(shown(call, found)), quick=True)


def stats(call: Call) -> Read:
    """Show how many contacts of a list are stopped and reachable on each channel."""

    def show(found: lists.Stats) -> OneStats:
        stopped = {channel: getattr(found, f"{channel}_stopped") for channel in CHANNELS}
        channels = {name: ChannelStats(count, found.items - count) for name, count in stopped.items()}
        return OneStats(ListStats(found.id, found.items, found.stop_list_count, channels))

    return Read(lists.stats, call.id, show=show, quick=True)


def index(call: Call) -> Read:
    """Show the contact lists, newest first."""
    [page] = INDEX.read(call.params)

    def show(found: Page[lists.ContactList]) -> ListIndex:
        return ListIndex([shown(call, row) for row in found.rows], found.total, found.next)

    return Read(lists.find, Search(page=page), show=show)


def update(call: Call, body: ListUpdate) -> Write:
    """Change a contact list. Absent members keep their values."""
    change = lists.ListChange(
        body.name,
        body.description,
        msgspec.UNSET if body.default is msgspec.UNSET else wire.flag(body.default),
    )
    return Write(lists.update, call.id, change, show=lambda changed: OneList(shown(call, changed)))


def delete(call: Call) -> Write:
    """Delete a contact list. Its contacts stay in the book."""
    return Write(lists.delete, call.id, show=lambda _: None)


def search(call: Call) -> Read:
    """Search contact lists: all criteria must hold."""
    [wanted] = SEARCH.read(call.params)

    def show(found: Page[lists.ContactList]) -> ListSearch:
        rows = [
            FoundList(row.id, row.name, row.description, row.is_default, row.items, call.date(row.created_at))
            for row in found.rows
        ]
        return ListSearch(rows, wire.meta_of(wanted, found.total, found.next))

    return Read(lists.find, wanted, show=show)


def shown(call: Call, row: Any) -> ContactListJson:
    """A list in the form of the HTTP API."""
    return ContactListJson(
        row.id,
        row.name,
        row.description,
        row.is_default,
        call.date(row.created_at),
        row.items,
        row.stop_list_count,
    )
