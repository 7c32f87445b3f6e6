"""Contacts over HTTP: `/api/contacts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec

from rollbook import contact_search, contacts, phones, upserts
from rollbook.api import batches, lists, wire
from rollbook.api.batches import Item, Items
from rollbook.api.body import Body
from rollbook.api.errors import BAD_PHONE, PROBLEMS_MAX, ApiError
from rollbook.api.query import Ids, LenientQuery, Paging, Searching
from rollbook.api.wire import Call, Read, Write
from rollbook.contacts import ContactChange, NewContact
from rollbook.errors import Invalid, Problem, RollbookError
from rollbook.members import LISTS_MAX
from rollbook.search import Page, Search
from rollbook.upserts import Outcome

LIMIT_OF_INDEX = 20
LIMIT = 50
"""The default page size of the index and of a search."""

_CONTACT_IDS = Ids("contact_ids", "Contacts to delete.", contacts.DELETED_AT_ONCE_MAX)
_LIST_IDS = Ids("group_ids", "Lists whose contacts are deleted.", contacts.DELETED_AT_ONCE_MAX)
INDEX = LenientQuery(
    Paging(LIMIT_OF_INDEX),
    Ids("groups", "Only contacts of any of these lists.", contact_search.LISTS_MAX),
)
SEARCH = LenientQuery(Searching(contact_search.COLUMNS, LIMIT, takes_fields=True))
DELETE = LenientQuery(_CONTACT_IDS, _LIST_IDS)

HLR_STATUS = "unknown"
"""The status of a phone that was never checked: rollbook does not check phones in the network yet."""


class ListRef(msgspec.Struct):
    """A contact list; only its id matters. Some SDKs can send only objects."""

    id: wire.Id


class FieldValue(msgspec.Struct):
    """A value in a contact field; null or an empty text clears it."""

    id: wire.Id
    value: Annotated[
        str | int | float | None, msgspec.Meta(extra_json_schema=wire.or_null(type="string"))
    ] = None


_Groups = Annotated[
    list[int | str | ListRef] | None,
    msgspec.Meta(
        description="Contact lists to join: ids; objects with an id are read too.",
        examples=[[1]],
        extra_json_schema=wire.or_null(type="array", items={"type": "integer"}, maxItems=LISTS_MAX),
    ),
]
_Fields = Annotated[
    list[dict[str, Any]] | dict[str, Any] | None,
    msgspec.Meta(
        description="Values in contact fields. A number or a date is kept in its canonical form. Both forms "
        'that answers have, `{"1": "Kyiv"}` and `[{"1": "Kyiv"}]`, are read too.',
        examples=[[{"id": 3, "value": "Kyiv"}]],
        extra_json_schema=wire.or_null(type="array", items={"$ref": "#/components/schemas/FieldValue"}),
    ),
]


class ContactCreate(msgspec.Struct):
    """A contact to create."""

    phone: wire.Phone
    groups: _Groups = None
    fields: _Fields = None


class ContactUpdate(msgspec.Struct):
    """The changes to a contact. Lists are added and values set; only values can be removed."""

    phone: wire.Phone | msgspec.UnsetType = msgspec.UNSET
    groups: _Groups = None
    fields: _Fields = None


class ContactsDelete(msgspec.Struct):
    """Contacts to delete, in addition to those in the query."""

    contact_ids: Annotated[
        list[wire.Id] | None, msgspec.Meta(description="Ids of contacts.", examples=[[1]])
    ] = None
    group_ids: Annotated[
        list[wire.Id] | None,
        msgspec.Meta(description="Ids of lists whose CONTACTS are deleted.", examples=[[1]]),
    ] = None


class UpsertItem(msgspec.Struct, forbid_unknown_fields=True):
    """A contact to create, or to change when its phone is in the book."""

    phone: wire.Phone
    groups: _Groups = None
    fields: _Fields = None
    reference: wire.Reference = None


class ContactsUpsert(msgspec.Struct, forbid_unknown_fields=True):
    """Contacts to create or change."""

    contacts: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(
            description="`phone`, `groups` and `fields` as a single contact has them; `reference` is any "
            "text of yours, that comes back with the result.",
            examples=[[{"phone": 380000000001, "groups": [1], "reference": "row 1"}]],
            extra_json_schema={
                "minItems": 1,
                "maxItems": upserts.CONTACTS_MAX,
                **wire.shown_as(type="array", items={"$ref": "#/components/schemas/UpsertItem"}),
            },
        ),
    ]


class ContactJson(msgspec.Struct):
    """A contact with its fields and lists."""

    id: Annotated[int, msgspec.Meta(examples=[1])]
    phone: Annotated[int, msgspec.Meta(description="E.164 digits.", examples=[380000000001])]
    fields: Annotated[
        dict[str, str] | list[dict[str, str]],
        msgspec.Meta(
            description="Values by field id, always as text: an object, which is [] when it is empty, or a "
            "list of objects with one member each. `Prefer: fields=object` or `fields=list` decides; else "
            "the service's setting and the client.",
            examples=[{"1": "Kyiv"}],
        ),
    ]
    groups: Annotated[list[lists.ContactListJson], msgspec.Meta(description="Its lists, newest first.")]
    hlr_status: Annotated[
        str, msgspec.Meta(description="`unknown` until the phone was checked.", examples=[HLR_STATUS])
    ]
    hlr_last_check: str | None
    created_at: Annotated[
        str, msgspec.Meta(description="UTC; RFC 3339 on request.", examples=["2022-04-28 14:21:16"])
    ]


class OneContact(msgspec.Struct):
    """One contact."""

    data: ContactJson


class ContactIndex(msgspec.Struct):
    """A page of contacts, newest first."""

    data: list[ContactJson]
    total: int
    next: wire.Next


class ContactSearch(msgspec.Struct):
    """A page of search results."""

    data: list[ContactJson]
    meta: wire.Meta


def create(call: Call, body: ContactCreate) -> Write:
    """Create a contact. A phone that is on the stop list stays stopped."""
    problems: list[Problem] = []
    list_ids = _list_ids(body.groups, problems)
    values = _values(body.fields, problems)
    new = NewContact(_phone(call, body.phone, problems), list_ids, values)
    return Write(contacts.create, new, show=lambda made: OneContact(_shown(call, made)))


def index(call: Call) -> Read:
    """Show the contacts, or those of some lists, newest first."""
    page, list_ids = INDEX.read(call.params)

    def show(found: Page[contacts.Contact]) -> ContactIndex:
        return ContactIndex([_shown(call, row) for row in found.rows], found.total, found.next)

    if list_ids:
        return Read(contact_search.of_lists, list_ids, page, show=show)
    return Read(contact_search.find, Search(page=page), show=show)


def get(call: Call) -> Read:
    """Show one contact."""
    return Read(contacts.get, call.id, show=lambda found: OneContact(_shown(call, found)), quick=True)


def update(call: Call, body: ContactUpdate) -> Write:
    """Change a contact: another phone, more lists, other values.

    Lists are added and given values set; null or an empty text clears a value, nothing else is removed. A
    contact keeps its lists when its phone changes.
    """
    problems: list[Problem] = []
    list_ids = _list_ids(body.groups, problems)
    values = _values(body.fields, problems)
    phone: int | msgspec.UnsetType = msgspec.UNSET
    if body.phone is not msgspec.UNSET:
        phone = _phone(call, body.phone, problems)
    elif problems:
        raise Invalid(problems)
    change = ContactChange(phone, list_ids, values)
    return Write(contacts.update, call.id, change, show=lambda changed: OneContact(_shown(call, changed)))


def delete(call: Call) -> Write:
    """Delete a contact and its memberships. The stop list keeps its phone."""
    return Write(contacts.delete, call.id, show=lambda _: None)


def delete_many(call: Call, body: ContactsDelete) -> Write:
    """Delete contacts by their ids, or all contacts of some lists.

    Name them in the query or in the body. The lists stay. Unknown ids are ignored; more than 5,000 contacts
    are refused.
    """
    problems: list[Problem] = []
    contact_ids = _CONTACT_IDS.read(call.params, problems, body.contact_ids)
    list_ids = _LIST_IDS.read(call.params, problems, body.group_ids)
    if not contact_ids and not list_ids and not problems:
        required = "The contact_ids or the group_ids are required."
        problems += [Problem(name, required) for name in ("contact_ids", "group_ids")]
    if problems:
        raise Invalid(problems)
    return Write(
        partial(contacts.delete_many, contact_ids=contact_ids, list_ids=list_ids), show=lambda _: None
    )


def search(call: Call) -> Read:
    """Search contacts: all criteria must hold. The id of a contact field is a field too."""
    [wanted] = SEARCH.read(call.params)

    def show(found: Page[contacts.Contact]) -> ContactSearch:
        rows = [_shown(call, row) for row in found.rows]
        return ContactSearch(rows, wire.meta_of(wanted, found.total, found.next))

    return Read(contact_search.find, wanted, show=show)


def upsert(call: Call, body: ContactsUpsert) -> Write:
    """Create contacts, or add lists and values to existing ones.

    One transaction, up to 10,000 contacts. One with an error is left out, its result says why, and
    all others are stored.
    """
    if problem := wire.too_many(body.contacts, "contacts", 1, upserts.CONTACTS_MAX):
        raise Invalid([problem])

    def read(item: UpsertItem) -> NewContact:
        problems: list[Problem] = []
        list_ids = _list_ids(item.groups, problems)
        values = _values(item.fields, problems)
        if problems:
            raise Invalid(problems)
        return NewContact(call.phone(item.phone), list_ids, values)

    items = Items(body.contacts, "contacts", _ITEM, read)

    def show(outcomes: list[Outcome | RollbookError]) -> batches.BatchJson:
        return batches.batch_of(
            items.results(
                outcomes,
                lambda index, reference, new, outcome: batches.item_of(index, new.phone, reference, outcome),
                lambda index, reference, why: Item(index, "invalid", None, None, reference, why),
            )
        )

    return Write(upserts.upsert_many, items.values, show=show)


_ITEM = Body(UpsertItem, called="contact")


def _phone(call: Call, value: int | str, problems: list[Problem]) -> int:
    """A contact's phone, if there are no problems. If only the phone is wrong, the error has a text of its
    own."""
    try:
        phone = call.phone(value)
    except phones.BadPhone as error:
        if not problems:
            raise ApiError(422, BAD_PHONE) from None
        raise Invalid([Problem("phone", f"The phone {error}."), *problems]) from None
    if problems:
        raise Invalid(problems)
    return phone


def _list_ids(groups: Sequence[int | str | ListRef] | None, problems: list[Problem]) -> tuple[int, ...]:
    named = [group.id if isinstance(group, ListRef) else group for group in groups or ()]
    return tuple(wire.ids_of(named, "groups", 0, LISTS_MAX, problems))


def _values(
    named: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None, problems: list[Problem]
) -> dict[int, str | None]:
    """The values of a contact, in any form of `fields`; faults are added to `problems`."""
    values: dict[int, str | None] = {}
    wrong = []
    for where, key, value in _pairs(named):
        id = wire.id_of(key) if isinstance(key, (int, str)) and not isinstance(key, bool) else None
        if id is None:
            wrong.append(Problem(where, f"The {where} must have an id."))
        elif isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            wrong.append(Problem(where, f"The {where} must have a text, a number or null as its value."))
        else:
            values[id] = None if value is None else wire.plain(value)
    problems += wrong[:PROBLEMS_MAX]
    return values


def _pairs(named: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None) -> Iterator[tuple[str, Any, Any]]:
    """Where each value stands, the id of its field, and the value: from `[{"id": 1, "value": "x"}]`, and from
    the forms in answers, `{"1": "x"}` and `[{"1": "x"}]`."""
    if isinstance(named, Mapping):
        for key, value in named.items():
            yield f"fields[{key}]", key, value
        return
    for number, each in enumerate(named or ()):
        if "id" in each or not each:
            yield f"fields[{number}]", each.get("id"), each.get("value")
            continue
        for key, value in each.items():
            yield f"fields[{number}]", key, value


def _check_values(named: Any) -> None:
    problems: list[Problem] = []
    _values(named, problems)
    if problems:
        raise ValueError("must be ids of fields with values, each a text, a number or null")


RULES: Mapping[str, Callable[[Any], Any]] = {"phone": phones.parse, "fields": _check_values}
"""Rules that are checked too when another value of the body has the wrong type."""


def _shown(call: Call, row: contacts.Contact) -> ContactJson:
    shown: Any
    if call.fields_as_list:
        shown = [{str(id): value} for id, value in row.values.items()]
    else:
        shown = {str(id): value for id, value in row.values.items()} or []
    return ContactJson(
        row.id,
        row.phone,
        shown,
        [lists.shown(call, each) for each in row.lists],
        HLR_STATUS,
        None,
        call.date(row.created_at),
    )
