"""Members of contact lists over HTTP: `/api/groups/attach`, `/detach`, `/{id}/contacts`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec

from rollbook import members, phones, upserts
from rollbook.api import batches, wire
from rollbook.api.batches import Item
from rollbook.api.wire import Call, Nothing, Write
from rollbook.errors import Invalid, Problem, RollbookError
from rollbook.upserts import Outcome


class Members(msgspec.Struct):
    """Contacts and lists: every contact, every list."""

    contacts: Annotated[
        list[wire.Id],
        msgspec.Meta(
            description="Ids of contacts.",
            examples=[[7, 8]],
            extra_json_schema={"minItems": 1, "maxItems": members.CONTACTS_AT_ONCE_MAX},
        ),
    ]
    groups: Annotated[
        list[wire.Id],
        msgspec.Meta(
            description="Ids of contact lists.",
            examples=[[1]],
            extra_json_schema={"minItems": 1, "maxItems": members.LISTS_AT_ONCE_MAX},
        ),
    ]


class PhonesJson(msgspec.Struct, forbid_unknown_fields=True):
    """Phones to put into a list."""

    phones: Annotated[
        list[Any],
        msgspec.Meta(
            description="Those that are in the book already are found, the others become contacts.",
            examples=[[380000000001, 380000000002]],
            extra_json_schema={
                "minItems": 1,
                "maxItems": upserts.CONTACTS_MAX,
                **wire.shown_as(type="array", items={"type": "integer"}),
            },
        ),
    ]


def attach(call: Call, body: Members) -> Write:
    """Put every contact into every list. Existing members are left alone."""
    contact_ids, list_ids = _ids(body)
    return Write(
        partial(members.attach, contact_ids=contact_ids, list_ids=list_ids), show=lambda _: Nothing()
    )


def detach(call: Call, body: Members) -> Write:
    """Take every contact out of every list. Contacts that are not members are ignored."""
    contact_ids, list_ids = _ids(body)
    return Write(
        partial(members.detach, contact_ids=contact_ids, list_ids=list_ids), show=lambda _: Nothing()
    )


def add(call: Call, body: PhonesJson) -> Write:
    """Put phones into a contact list, creating contacts as needed.

    One transaction. An item that is not a phone, or repeats an earlier one of the call, is `invalid` and left
    out; all others are stored. `updated` means that the contact existed and joined the list.
    """
    problem = wire.too_many(body.phones, "phones", 1, upserts.CONTACTS_MAX)
    if problem:
        raise Invalid([problem])
    taken: list[int] = []
    places: list[int] = []
    results: list[Item | None] = [None] * len(body.phones)
    for index, value in enumerate(body.phones):
        try:
            taken.append(call.phone_of_item(value))
            places.append(index)
        except phones.BadPhone as error:
            results[index] = Item(index, "invalid", None, None, None, f"The phone {error}.")

    def show(outcomes: list[Outcome | RollbookError]) -> batches.BatchJson:
        for index, phone, outcome in zip(places, taken, outcomes, strict=True):
            results[index] = batches.item_of(index, phone, None, outcome)
        return batches.batch_of([item for item in results if item is not None])

    return Write(upserts.add_phones, call.id, taken, show=show)


def _ids(body: Members) -> tuple[list[int], list[int]]:
    problems: list[Problem] = []
    contact_ids = wire.ids_of(body.contacts, "contacts", 1, members.CONTACTS_AT_ONCE_MAX, problems)
    list_ids = wire.ids_of(body.groups, "groups", 1, members.LISTS_AT_ONCE_MAX, problems)
    if problems:
        raise Invalid(problems)
    return contact_ids, list_ids
