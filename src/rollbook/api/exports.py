"""Exports and audiences on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import msgspec

from rollbook import audience, channels, exports, lists
from rollbook.api import wire
from rollbook.api.streaming import Download
from rollbook.api.wire import Call, Read
from rollbook.audience import Audience
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem
from rollbook.exports import Export, person
from rollbook.exports.columns import named
from rollbook.files.formulas import BOM, SAFE
from rollbook.options import Option


def _columns(text: str) -> tuple[str, ...]:
    names = named([text])
    if not all(name.strip() for name in names):
        raise ValueError("The columns are comma-separated names; one of them is empty.")
    return names


def _channels_option(name: str, about: str) -> Option:
    return Option(
        name,
        about,
        takes=f"some of {', '.join(CHANNELS)}",
        read=partial(channels.parse, called=name),
        many=True,
        choices=tuple(CHANNELS),
    )


FORM = (
    Option("format", "Of the file.", "choice", choices=exports.FORMATS, default="csv"),
    Option(
        "compress",
        "Compress a csv or jsonl file; it is then a .gz or .zst file, not an encoding of the answer.",
        "choice",
        choices=tuple(exports.COMPRESSIONS),
    ),
    Option(
        "columns",
        "Which columns, in this order, comma-separated; put a name that has a comma in quotation marks.",
        takes="names of columns",
        read=_columns,
    ),
    SAFE,
    BOM,
)
OF_CONTACTS = (*FORM, Option("with_lists", "Include the names of each contact's lists.", "switch"))
OPTIONS = (
    *OF_CONTACTS,
    _channels_option(
        "reachable", "Only contacts that are not stopped on any of these channels, comma-separated."
    ),
    _channels_option("stopped", "Only contacts that are stopped on any of these channels, comma-separated."),
)
OF_STOPS = (*FORM, _channels_option("type", "Only rows of any of these channels, comma-separated."))
"""What can be said of an export."""

_Lists = Annotated[
    list[wire.Id],
    msgspec.Meta(
        description="Ids of lists.",
        examples=[[1]],
        extra_json_schema={"minItems": 1, "maxItems": audience.LISTS_MAX},
    ),
]
_Channels = Annotated[
    list[str],
    msgspec.Meta(
        description="Channels.",
        examples=[["viber"]],
        extra_json_schema={
            "minItems": 1,
            "maxItems": len(CHANNELS),
            **wire.told_as(type="array", items={"type": "string", "enum": [*CHANNELS]}),
        },
    ),
]


class AudienceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Contacts: those of any of `lists` (of the whole book when it and `all_of` are left out) that are in all
    of `all_of` too and in none of `minus`; `reachable`: stopped on none of these channels; `stopped`: stopped
    on any of these. None of them may be empty."""

    lists: _Lists | msgspec.UnsetType = msgspec.UNSET
    all_of: _Lists | msgspec.UnsetType = msgspec.UNSET
    minus: _Lists | msgspec.UnsetType = msgspec.UNSET
    reachable: _Channels | msgspec.UnsetType = msgspec.UNSET
    stopped: _Channels | msgspec.UnsetType = msgspec.UNSET


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
    meant = _narrowed(call.said, list_ids=(call.id,))

    def check(tx: Transaction, account_id: int, wanted: Export) -> None:
        lists.get(tx, account_id, call.id)
        exports.check(tx, account_id, wanted)

    return _download(check, _export(call.said, audience=meant), f"list-{call.id}")


def of_book(call: Call) -> Read:
    """Export all contacts as a file."""
    meant = _narrowed(call.said)
    return _download(exports.check, _export(call.said, audience=meant), "contacts")


def of_stop_list(call: Call) -> Read:
    """Export the stop list, or some channels of it, as a file."""
    wanted = _export(call.said, what="stop list", channels=call.said["type"])
    return _download(exports.check, wanted, "stop-list")


def count_audience(call: Call, body: AudienceBody) -> Read:
    """Count an audience exactly: contacts of lists, combined, intersected and subtracted."""
    return Read(audience.count, _meant(body), show=lambda count: OneCount(Count(count)))


def of_audience(call: Call, body: AudienceBody) -> Read:
    """Export an audience as a file: contacts of lists, combined, intersected and subtracted."""
    return _download(exports.check, _export(call.said, audience=_meant(body)), "audience")


def of_person(call: Call) -> Read:
    """Export everything that is stored about a contact, for a person who asks for their data."""

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


def _narrowed(said: Mapping[str, Any], list_ids: tuple[int, ...] = ()) -> Audience:
    return Audience(lists=list_ids, reachable=said["reachable"], stopped=said["stopped"])


def _download(check: Any, wanted: Export, name: str) -> Read:
    return Read(check, wanted, show=lambda _: Download(wanted, name))


def _export(said: Mapping[str, Any], **what: Any) -> Export:
    return Export(
        **what,
        format=said["format"],
        compress=said["compress"],
        columns=said["columns"] or (),
        with_lists=said.get("with_lists", False),
        bom=said["bom"],
        safe_for_spreadsheets=said["safe_for_spreadsheets"],
    )


def _meant(body: AudienceBody) -> Audience:
    problems: list[Problem] = []
    ids: dict[str, tuple[int, ...]] = {}
    for name in ("lists", "all_of", "minus"):
        named = getattr(body, name)
        if named is msgspec.UNSET:
            ids[name] = ()
        elif not named:
            problems.append(Problem(name, f"The {name} are empty: name lists, or leave {name} out."))
        else:
            ids[name] = tuple(wire.ids_of(named, name, 1, audience.LISTS_MAX, problems))
    on: dict[str, tuple[str, ...]] = {}
    for name in ("reachable", "stopped"):
        if (names := getattr(body, name)) is msgspec.UNSET:
            continue
        try:
            on[name] = channels.parse(names, called=name)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    if problems:
        raise Invalid(problems)
    return Audience(**ids, reachable=on.get("reachable", ()), stopped=on.get("stopped", ()))
