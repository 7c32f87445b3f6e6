"""Exports and audiences over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from falcon.asgi import Request, Response

from rollbook import audience, channels, exports, lists
from rollbook.api import wire
from rollbook.api.wire import Call, Delivery, Media, NotJson, Read
from rollbook.audience import Audience
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem
from rollbook.exports import Export, person

FILE = Media(
    (*exports.MEDIA.values(), *(media for _, media in exports.COMPRESSIONS.values())),
    'phone,id,created_at,stopped,City\n380000000001,7,2022-04-28T14:21:16Z,"sms","Kyiv"\n',
    {"type": "string", "format": "binary"},
    about="The file, in chunks.",
    headers=("Content-Disposition",),
)

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
            **wire.shown_as(type="array", items={"type": "string", "enum": [*CHANNELS]}),
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


class OfListJson(msgspec.Struct):
    """A list that a person is in."""

    id: int
    name: str


class OfContactJson(msgspec.Struct):
    """A person in the book; `fields` by name, including hidden ones."""

    id: int
    created_at: str
    fields: dict[str, str]
    groups: list[OfListJson]


class OfStopListJson(msgspec.Struct):
    """A person on the stop list."""

    id: int
    types: list[str]
    created_at: str


class PersonJson(msgspec.Struct):
    """Everything that is stored under a phone."""

    phone: int
    exported_at: str
    contact: OfContactJson | None
    stoplist: OfStopListJson | None


class OnePerson(msgspec.Struct):
    """One person's data."""

    data: PersonJson


EXAMPLE = PersonJson(
    380000000001,
    "2022-05-01 09:00:00",
    OfContactJson(7, "2022-04-28 14:21:16", {"Home": "Kyiv"}, [OfListJson(1, "Customers")]),
    OfStopListJson(5, ["sms"], "2022-04-28 14:21:16"),
)


class Download(NotJson):
    """An export as a file.

    Args:
        name: the name of the file, without the suffix of its format.
    """

    def __init__(self, export: Export, name: str) -> None:
        self._export = export
        self._name = name

    async def send(self, req: Request, resp: Response, delivery: Delivery) -> None:
        await delivery.export(req, resp, self._export, self._name)


def of_list(call: Call) -> Read:
    """Export the contacts of a list as a file.

    The file shows the list at one moment. If the export fails midway, the connection ends without the last
    chunk.
    """
    narrowed = _narrowed(call.query, list_ids=(call.id,))

    def check(tx: Transaction, account_id: int, wanted: Export) -> None:
        lists.get(tx, account_id, call.id)
        exports.check(tx, account_id, wanted)

    return _download(check, _export(call.query, audience=narrowed), f"list-{call.id}")


def of_book(call: Call) -> Read:
    """Export all contacts as a file."""
    narrowed = _narrowed(call.query)
    return _download(exports.check, _export(call.query, audience=narrowed), "contacts")


def of_stop_list(call: Call) -> Read:
    """Export the stop list, or some channels of it, as a file."""
    wanted = _export(call.query, what="stop list", channels=call.query["type"])
    return _download(exports.check, wanted, "stop-list")


def count_audience(call: Call, body: AudienceBody) -> Read:
    """Count an audience exactly: contacts of lists, combined, intersected and subtracted."""
    return Read(audience.count, _audience(body), show=lambda count: OneCount(Count(count)))


def of_audience(call: Call, body: AudienceBody) -> Read:
    """Export an audience as a file: contacts of lists, combined, intersected and subtracted."""
    return _download(exports.check, _export(call.query, audience=_audience(body)), "audience")


def of_person(call: Call) -> Read:
    """Export everything that is stored about a contact, for a person who asks for their data."""

    def show(found: person.PersonData) -> OnePerson:
        contact, stop = found.contact, found.stop_list
        return OnePerson(
            PersonJson(
                found.phone,
                call.date(found.exported_at),
                OfContactJson(
                    contact.id,
                    call.date(contact.created_at),
                    contact.fields,
                    [OfListJson(each.id, each.name) for each in contact.lists],
                )
                if contact
                else None,
                OfStopListJson(stop.id, stop.channels, call.date(stop.created_at)) if stop else None,
            )
        )

    return Read(person.of_contact, call.id, show=show)


def _narrowed(options: Mapping[str, Any], list_ids: tuple[int, ...] = ()) -> Audience:
    return Audience(lists=list_ids, reachable=options["reachable"], stopped=options["stopped"])


def _download(check: Any, wanted: Export, name: str) -> Read:
    return Read(check, wanted, show=lambda _: Download(wanted, name))


def _export(options: Mapping[str, Any], **what: Any) -> Export:
    return Export(
        **what,
        format=options["format"],
        compress=options["compress"],
        columns=options["columns"] or (),
        with_lists=options.get("with_lists", False),
        bom=options["bom"],
        safe_for_spreadsheets=options["safe_for_spreadsheets"],
    )


def _audience(body: AudienceBody) -> Audience:
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
