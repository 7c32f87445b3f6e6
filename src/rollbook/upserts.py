"""Upserts: creates or updates many contacts in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from rollbook import accounts, contacts, fields, lists, members
from rollbook.contacts import NewContact, References
from rollbook.db import Rows, Transaction
from rollbook.errors import Invalid, LimitExceeded, Problem, RollbookError
from rollbook.fields import Canonical
from rollbook.members import Membership

CONTACTS_MAX = 10_000
"""One call takes at most this many contacts."""

MEMBERSHIPS_MAX = 100_000
"""The lists of all contacts of a call together: other writers then wait for about a second."""


class Outcome(msgspec.Struct, frozen=True):
    """The result for a contact."""

    id: int
    result: Literal["created", "updated", "unchanged"]


class _Item(msgspec.Struct):
    """A contact of a call that passed the checks, and the data to store for it."""

    number: int
    new: NewContact
    values: dict[int, Canonical | None]
    id: int = 0
    created: bool = False


def upsert_many(
    tx: Transaction, account_id: int, news: Sequence[NewContact]
) -> list[Outcome | RollbookError]:
    """Create contacts, or add lists and values to existing ones.

    It takes a fixed number of statements for any number of contacts. An error in one contact does not affect
    the others.

    Args:
        news: `CONTACTS_MAX` at most.

    Returns:
        For each of `news` the result, or the reason why it was left out: `Invalid` for a phone that an
        earlier one has or a value that does not fit the type of its field, `UnknownIds`, `LimitExceeded`.

    Raises:
        LimitExceeded: together the contacts name more than `MEMBERSHIPS_MAX` lists; nothing was changed.
    """
    if sum(len(new.list_ids) for new in news) > MEMBERSHIPS_MAX:
        raise LimitExceeded(f"The contacts of one call may name at most {MEMBERSHIPS_MAX} lists together.")
    accounts.lock(tx, account_id)
    outcomes: list[Outcome | RollbookError | None] = [None] * len(news)
    items = _checked(tx, account_id, news, outcomes)
    _find_or_create(tx, account_id, items)
    _leave_out_the_full(tx, account_id, items, outcomes)
    items = [item for item in items if outcomes[item.number] is None]
    wanted = [Membership(list_id, item.id) for item in items for list_id in dict.fromkeys(item.new.list_ids)]
    present = members.existing(tx, account_id, wanted) if wanted else set()
    pairs = [pair for pair in wanted if pair not in present]
    values = _changed(tx, account_id, items)
    contacts.extend(tx, account_id, pairs, values)
    touched = {pair.contact_id for pair in pairs} | {contact_id for contact_id, _ in values}
    for item in items:
        result: Literal["created", "updated", "unchanged"] = (
            "created" if item.created else "updated" if item.id in touched else "unchanged"
        )
        outcomes[item.number] = Outcome(item.id, result)
    return [outcome for outcome in outcomes if outcome is not None]


def add_phones(
    tx: Transaction, account_id: int, list_id: int, phones: Sequence[int]
) -> list[Outcome | RollbookError]:
    """Put phones into a list. Those that are not contacts yet become contacts.

    Args:
        phones: E.164 digits, `CONTACTS_MAX` at most.

    Returns:
        The same as `upsert_many`.

    Raises:
        NotFound: the account has no list with that id.
    """
    accounts.lock(tx, account_id)
    lists.get(tx, account_id, list_id)
    return upsert_many(tx, account_id, [NewContact(phone, (list_id,)) for phone in phones])


def _checked(
    tx: Transaction,
    account_id: int,
    news: Sequence[NewContact],
    outcomes: list[Outcome | RollbookError | None],
) -> list[_Item]:
    """The contacts that may be stored. For the others, the errors are written to `outcomes`."""
    references = References(tx, account_id, news)
    items = []
    first: dict[int, int] = {}
    for number, new in enumerate(news):
        try:
            values = references.checked(new)
        except RollbookError as error:
            outcomes[number] = error
            continue
        if first.setdefault(new.phone, number) == number:
            items.append(_Item(number, new, values))
        else:
            problem = Problem("phone", f"The phone is that of item {first[new.phone]} already.")
            outcomes[number] = Invalid([problem])
    return items


def _find_or_create(tx: Transaction, account_id: int, items: Sequence[_Item]) -> None:
    if not items:
        return
    rows = tx.all(
        contacts.Row,
        f"""
        SELECT contact.id, contact.phone, contact.stop_mask, contact.created_at
        FROM {tx.rows("wanted", phone="bigint")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.phone = wanted.phone
        """,
        account_id=account_id,
        wanted=Rows(phone=sorted(item.new.phone for item in items)),
    )
    ids = {row.phone: row.id for row in rows}
    missing = [item for item in items if item.new.phone not in ids]
    made = contacts.insert(tx, account_id, [item.new.phone for item in missing])
    for item, id in zip(missing, made, strict=True):
        assert id is not None  # this transaction holds the account: no other one created it
        item.id, item.created = id, True
    for item in items:
        item.id = item.id or ids[item.new.phone]


def _leave_out_the_full(
    tx: Transaction,
    account_id: int,
    items: Sequence[_Item],
    outcomes: list[Outcome | RollbookError | None],
) -> None:
    """Refuse contacts that would be in too many lists. A new contact is in none yet."""
    old = [item for item in items if item.new.list_ids and not item.created]
    room = members.room_for(tx, account_id, [item.id for item in old]) if old else {}
    tight = [item for item in old if len(item.new.list_ids) > room[item.id]]
    if not tight:
        return
    wanted = [Membership(list_id, item.id) for item in tight for list_id in set(item.new.list_ids)]
    present = members.existing(tx, account_id, wanted)
    for item in tight:
        new = sum(Membership(list_id, item.id) not in present for list_id in set(item.new.list_ids))
        if new > room[item.id]:
            outcomes[item.number] = members.too_many_lists(item.id)


def _changed(
    tx: Transaction, account_id: int, items: Sequence[_Item]
) -> dict[tuple[int, int], Canonical | None]:
    """The values that differ from the stored ones."""
    old = [item.id for item in items if item.values and not item.created]
    stored = fields.values_of(tx, account_id, old) if old else []
    now = {(value.contact_id, value.field_id): value.value for value in stored}
    return {
        (item.id, field_id): value
        for item in items
        for field_id, value in item.values.items()
        if now.get((item.id, field_id)) != (value.value if value is not None else None)
    }
