"""The data of one person: everything stored under a phone, for a request of access (GDPR, article 15)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from rollbook import contacts, fields
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import NotFound


class ListOfPerson(msgspec.Struct, frozen=True):
    """A list that the person is in."""

    id: int
    name: str


class ContactOfPerson(msgspec.Struct, frozen=True):
    """The person in the book."""

    id: int
    created_at: datetime
    fields: dict[str, str]
    lists: list[ListOfPerson]


class StopOfPerson(msgspec.Struct, frozen=True):
    """The person on the stop list."""

    id: int
    channels: list[str]
    created_at: datetime


class PersonData(msgspec.Struct, frozen=True):
    """Everything stored under a phone. Moments are UTC; hidden fields are included."""

    phone: int
    exported_at: datetime
    contact: ContactOfPerson | None
    stop_list: StopOfPerson | None


class _Stop(msgspec.Struct, frozen=True):
    id: int
    mask: int
    created_at: datetime


def of_phone(tx: Transaction, account_id: int, phone: int) -> PersonData:
    """The data of the person with a phone, a contact or not.

    Args:
        phone: E.164 digits.

    Raises:
        NotFound: neither the book nor the stop list has that phone.
    """
    contact_id = tx.one(
        int,
        "SELECT id FROM contact WHERE account_id = :account_id AND phone = :phone",
        account_id=account_id,
        phone=phone,
    )
    stop = tx.one(
        _Stop,
        "SELECT id, mask, created_at FROM stop_list WHERE account_id = :account_id AND phone = :phone",
        account_id=account_id,
        phone=phone,
    )
    if contact_id is None and stop is None:
        raise NotFound("contact or stop with the phone", phone)
    return PersonData(
        phone,
        tx.now,
        _contact(tx, account_id, contact_id) if contact_id is not None else None,
        StopOfPerson(stop.id, [name for name, bit in CHANNELS.items() if stop.mask & bit], stop.created_at)
        if stop
        else None,
    )


def of_contact(tx: Transaction, account_id: int, contact_id: int) -> PersonData:
    """The data of a contact.

    Raises:
        NotFound: the account has no contact with that id.
    """
    return of_phone(tx, account_id, contacts.get(tx, account_id, contact_id).phone)


def _contact(tx: Transaction, account_id: int, contact_id: int) -> ContactOfPerson:
    found = contacts.get(tx, account_id, contact_id)
    names = {field.id: field.name for field in fields.all(tx, account_id)}
    return ContactOfPerson(
        found.id,
        found.created_at,
        {names[field_id]: value for field_id, value in found.values.items()},
        [ListOfPerson(each.id, each.name) for each in found.lists],
    )
