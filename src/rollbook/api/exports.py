"""Exports and audiences on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from rollbook import audience, exports, lists
from rollbook.api import wire
from rollbook.api.streaming import Download
from rollbook.api.wire import Call, Read
from rollbook.audience import Audience
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem
from rollbook.exports import Export, person
from rollbook.exports.columns import named

FORM = ("format", "compress", "columns", "safe_for_spreadsheets")
OF_CONTACTS = (*FORM, "with_lists")
OPTIONS = (*OF_CONTACTS, "reachable", "stopped")
"""Query parameters of an export."""

PARAMETERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "format": ("Of the file; csv without it.", {"type": "string", "enum": [*exports.FORMATS]}),
    "compress": (
        "Compress a csv or jsonl file; it is then a .gz or .zst file, not an encoding of the answer.",
        {"type": "string", "enum": [*exports.COMPRESSIONS]},
    ),
    "columns": (
        "Which columns, in this order, with commas between them; a name with a comma in quotation marks.",
        {"type": "string"},
    ),
    "safe_for_spreadsheets": (
        "Of csv and xlsx: put an apostrophe before texts that a spreadsheet would run as a formula.",
        {"type": "boolean"},
    ),
    "with_lists": ("The names of each contact's lists go along.", {"type": "boolean"}),
    "reachable": (
        "Only who is stopped on none of these channels, with commas between them.",
        {"type": "string", "examples": ["sms,viber"]},
    ),
    "stopped": (
        "Only who is stopped on any of these channels, with commas between them.",
        {"type": "string", "examples": ["sms"]},
    ),
    "type": (
        "Only rows of any of these channels, with commas between them.",
        {"type": "string", "examples": ["sms,viber"]},
    ),
}
"""What the query parameters mean, each with its schema."""

_Lists = Annotated[
    list[wire.Id],
    msgspec.Meta(
        description="Ids of lists.",
        examples=[[1]],
        extra_json_schema={"maxItems": audience.LISTS_MAX},
    ),
]
_Channels = Annotated[
    list[str],
    msgspec.Meta(
        description="Channels.",
        examples=[["viber"]],
        extra_json_schema={"maxItems": len(CHANNELS), "items": {"type": "string", "enum": [*CHANNELS]}},
    ),
]


class AudienceBody(msgspec.Struct):
    """Contacts: those of any of `lists` (of the whole book when it and `all_of` are empty) that are in all of
    `all_of` too and in none of `minus`; `reachable`: stopped on none of these channels; `stopped`: stopped
    on any of these."""

    lists: _Lists = []
    all_of: _Lists = []
    minus: _Lists = []
    reachable: _Channels = []
    stopped: _Channels = []


class Count(msgspec.Struct):
    """How many contacts there are, exactly."""

    count: Annotated[int, msgspec.Meta(examples=[1243])]


class OneCount(msgspec.Struct):
    """The size of an audience."""

    data: Count


class OfList(msgspec.Struct):
    """A list that a person is in."""

    id: int
    name: str


class OfContact(msgspec.Struct):
    """A person in the book; `fields` by name, those that are not shown too."""

    id: int
    created_at: str
    fields: dict[str, str]
    groups: list[OfList]


class OfStopList(msgspec.Struct):
    """A person on the stop list."""

    id: int
    types: list[str]
    created_at: str


class Person(msgspec.Struct):
    """Everything that is kept under a phone."""

    phone: int
    exported_at: str
    contact: OfContact | None
    stoplist: OfStopList | None


class OnePerson(msgspec.Struct):
    """One person's data."""

    data: Person


EXAMPLE = Person(
    380000000001,
    "2022-05-01 09:00:00",
    OfContact(7, "2022-04-28 14:21:16", {"Home": "Kyiv"}, [OfList(1, "Customers")]),
    OfStopList(5, ["sms"], "2022-04-28 14:21:16"),
)


def of_list(call: Call) -> Read:
    """Export the contacts of a list as a file.

    All of it is as it is at one moment. If it cannot be brought to its end, the connection ends without the
    last chunk.
    """
    meant = _narrowed(call.params, list_ids=(call.id,))

    def check(tx: Transaction, account_id: int, wanted: Export) -> None:
        lists.get(tx, account_id, call.id)
        exports.check(tx, account_id, wanted)

    return _download(check, _export(call.params, audience=meant), f"list-{call.id}")


def of_book(call: Call) -> Read:
    """Export all contacts as a file."""
    meant = _narrowed(call.params)
    return _download(exports.check, _export(call.params, audience=meant), "contacts")


def of_stop_list(call: Call) -> Read:
    """Export the stop list, or some channels of it, as a file."""
    channels = _channels(call.params, "type")["type"]
    return _download(exports.check, _export(call.params, what="stop list", channels=channels), "stop-list")


def count_audience(call: Call, body: AudienceBody) -> Read:
    """Count the contacts of lists put together and taken from each other, exactly."""
    return Read(audience.count, _meant(body), show=lambda count: OneCount(Count(count)))


def of_audience(call: Call, body: AudienceBody) -> Read:
    """Export the contacts of lists put together and taken from each other as a file."""
    return _download(exports.check, _export(call.params, audience=_meant(body)), "audience")


def of_person(call: Call) -> Read:
    """Export everything that is kept of a contact, for a person who asks for their data."""

    def show(found: person.Person) -> OnePerson:
        contact, stop = found.contact, found.stop_list
        return OnePerson(
            Person(
                found.phone,
                call.date(found.exported_at),
                OfContact(
                    contact.id,
                    call.date(contact.created_at),
                    contact.fields,
                    [OfList(each.id, each.name) for each in contact.lists],
                )
                if contact
                else None,
                OfStopList(stop.id, stop.channels, call.date(stop.created_at)) if stop else None,
            )
        )

    return Read(person.of_contact, call.id, show=show)


def _narrowed(params: Mapping[str, Any], list_ids: tuple[int, ...] = ()) -> Audience:
    channels = _channels(params, "reachable", "stopped")
    return Audience(lists=list_ids, reachable=channels["reachable"], stopped=channels["stopped"])


def _download(check: Any, wanted: Export, name: str) -> Read:
    return Read(check, wanted, show=lambda _: Download(wanted, name))


def _export(params: Mapping[str, Any], **what: Any) -> Export:
    return Export(
        **what,
        format=wire.text_of(params, "format").strip().lower() or "csv",
        compress=wire.text_of(params, "compress").strip().lower() or None,
        columns=named([wire.text_of(params, "columns")]),
        with_lists=_flag(params, "with_lists"),
        safe_for_spreadsheets=_flag(params, "safe_for_spreadsheets"),
    )


def _flag(params: Mapping[str, Any], name: str) -> bool:
    text = wire.text_of(params, name).strip().lower()
    if text not in ("", "0", "1", "true", "false"):
        raise Invalid([Problem(name, f"The {name} must be true or false.")])
    return text in ("1", "true")


def _channels(params: Mapping[str, Any], *names: str) -> dict[str, tuple[str, ...]]:
    """Channels in the query, for each name: with commas between them, or as an array."""
    found = {}
    problems = []
    for name in names:
        parts = [part.strip().lower() for text in wire.array_of(params, name) for part in text.split(",")]
        found[name] = tuple(dict.fromkeys(part for part in parts if part))
        if any(channel not in CHANNELS for channel in found[name]):
            problems.append(Problem(name, f"The {name} must be some of {', '.join(CHANNELS)}."))
    if problems:
        raise Invalid(problems)
    return found


def _meant(body: AudienceBody) -> Audience:
    problems: list[Problem] = []
    ids = {
        name: tuple(wire.ids_of(getattr(body, name), name, 0, audience.LISTS_MAX, problems))
        for name in ("lists", "all_of", "minus")
    }
    channels = {name: tuple(dict.fromkeys(getattr(body, name))) for name in ("reachable", "stopped")}
    problems += [
        Problem(name, f"The {name} must be some of {', '.join(CHANNELS)}.")
        for name, named in channels.items()
        if any(channel not in CHANNELS for channel in named)
    ]
    if problems:
        raise Invalid(problems)
    return Audience(
        lists=ids["lists"],
        all_of=ids["all_of"],
        minus=ids["minus"],
        reachable=channels["reachable"],
        stopped=channels["stopped"],
    )
