"""Contacts: each has a phone that is unique in its account, its lists, and values in the account's fields.

`insert` and `insert_all` insert contacts, `change_phones` changes their phones, `remove` deletes them. No
other module changes the table (a test checks it), except `sandbox`, which empties it. `contact.stop_mask` is
a copy of the mask in the stop list; `stop_list.copy_masks` keeps it up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from rollbook import accounts, counts, fields, lists, members, stop_list
from rollbook.db import Integers, Rows, SetBased, Taken, Transaction
from rollbook.errors import (
    AlreadyExists,
    Invalid,
    LimitExceeded,
    NotFound,
    Problem,
    RollbookError,
    UnknownIds,
)
from rollbook.fields import Canonical, Field
from rollbook.lists import ContactList
from rollbook.members import Membership

DELETED_AT_ONCE_MAX = 5_000
"""At most this many contacts are deleted by one call."""

Values = Mapping[int, str | None]
"""Values that a caller sets: for each field id the value as text; `None` and an empty text clear it."""


class Contact(msgspec.Struct, frozen=True):
    """A contact with its lists, newest first, and its values by field id."""

    id: int
    phone: int
    created_at: datetime
    lists: Sequence[ContactList] = ()
    values: Mapping[int, str] = {}


class NewContact(msgspec.Struct, frozen=True):
    """A contact to create.

    Args:
        phone: E.164 digits, see `phones.parse`.
        list_ids: `members.LISTS_MAX` at most.
        values: by field id.
    """

    phone: int
    list_ids: tuple[int, ...] = ()
    values: Values = {}


class ContactChange(msgspec.Struct, frozen=True):
    """A change to a contact: another phone, more lists, other values. Only values can be removed."""

    phone: int | msgspec.UnsetType = msgspec.UNSET
    list_ids: tuple[int, ...] = ()
    values: Values = {}


class Row(msgspec.Struct, frozen=True):
    """A contact without its lists and values."""

    id: int
    phone: int
    stop_mask: int
    created_at: datetime


class PhoneChange(NamedTuple):
    """A contact that gets another phone.

    Args:
        contact_id: its id.
        stop_mask: the channels on which the old phone is stopped.
        phone: the new phone, E.164 digits.
    """

    contact_id: int
    stop_mask: int
    phone: int


class References:
    """The lists and fields of an account that the given contacts name."""

    def __init__(
        self, tx: Transaction, account_id: int, wanted: Iterable[NewContact | ContactChange]
    ) -> None:
        list_ids = {id for each in wanted for id in each.list_ids}
        self.lists = lists.existing(tx, account_id, list_ids) if list_ids else set()
        self.fields: dict[int, Field] = {}
        if any(each.values for each in wanted):
            self.fields = {field.id: field for field in fields.all(tx, account_id)}

    def checked(self, wanted: NewContact | ContactChange) -> dict[int, Canonical | None]:
        """Check the lists, fields and values of a contact.

        Returns:
            Its values by field id, in the form that is stored.

        Raises:
            LimitExceeded: too many lists.
            UnknownIds: lists or fields do not exist; the error names bad values too.
            Invalid: naming each value that does not fit the type of its field.
        """
        members.check_lists(wanted.list_ids)
        unknown = UnknownIds.among(list=(wanted.list_ids, self.lists), field=(wanted.values, self.fields))
        kept: dict[int, Canonical | None] = {}
        problems = []
        for field_id, text in wanted.values.items():
            field = self.fields.get(field_id)
            if field is None:
                continue
            try:
                kept[field_id] = fields.canonical(field.type, text) if text and text.strip() else None
            except ValueError as error:
                problems.append(Problem("fields", f"The value of field {field_id} ({field.name}) {error}."))
        if unknown is not None:
            raise UnknownIds(unknown.ids, problems)
        if problems:
            raise Invalid(problems)
        return kept


def create_many(
    tx: Transaction, account_id: int, news: Sequence[NewContact]
) -> list[Contact | RollbookError]:
    """Create contacts with a fixed number of statements.

    Returns:
        For each of `news` the contact, or the reason why it was not created: `AlreadyExists` when its phone
        is in the book or belongs to an earlier one of `news`; `UnknownIds` for lists or fields; `Invalid` for
        values.
    """
    accounts.lock(tx, account_id)
    references = References(tx, account_id, news)
    outcomes: list[Contact | RollbookError | None] = [None] * len(news)
    values: dict[int, dict[int, Canonical | None]] = {}
    first: dict[int, int] = {}
    for number, new in enumerate(news):
        try:
            values[number] = references.checked(new)
        except RollbookError as error:
            outcomes[number] = error
            continue
        if first.setdefault(new.phone, number) != number:
            outcomes[number] = AlreadyExists("contact", new.phone)
    ids = dict(zip(first.values(), insert(tx, account_id, list(first)), strict=True))
    pairs = []
    stored: dict[tuple[int, int], Canonical | None] = {}
    for number, id in ids.items():
        new = news[number]
        if id is None:
            outcomes[number] = AlreadyExists("contact", new.phone)
            continue
        outcomes[number] = Contact(id=id, phone=new.phone, created_at=tx.now)
        pairs += [Membership(list_id, id) for list_id in dict.fromkeys(new.list_ids)]
        stored |= {(id, field_id): value for field_id, value in values[number].items()}
    extend(tx, account_id, pairs, stored)
    made = {pair.contact_id for pair in pairs} | {contact_id for contact_id, _ in stored}
    shown = {each.id: each for each in get_many(tx, account_id, sorted(made))} if made else {}
    return [
        shown.get(outcome.id, outcome) if isinstance(outcome, Contact) else outcome
        for outcome in outcomes
        if outcome is not None
    ]


def _create(tx: Transaction, account_id: int, new: NewContact) -> Contact:
    """Create a contact. A phone that is on the stop list stays stopped.

    Raises:
        AlreadyExists: the phone is in the book.
        UnknownIds: lists or fields do not exist.
        Invalid: a value does not fit the type of its field.
        LimitExceeded: too many lists.
    """
    [outcome] = create_many(tx, account_id, [new])
    if isinstance(outcome, RollbookError):
        raise outcome
    return outcome


create = SetBased(_create, create_many)


def update(tx: Transaction, account_id: int, contact_id: int, change: ContactChange) -> Contact:
    """Change a contact. With a new phone it stays in its lists, and every count is adjusted.

    Raises:
        NotFound: the account has no contact with that id.
        AlreadyExists: another contact has that phone.
        UnknownIds: lists or fields do not exist.
        Invalid: a value does not fit the type of its field.
        LimitExceeded: the contact would be in too many lists.
    """
    accounts.lock(tx, account_id)
    rows = rows_of(tx, account_id, [contact_id])
    if not rows:
        raise NotFound("contact", contact_id)
    row = rows[0]
    references = References(tx, account_id, [change])
    values = references.checked(change)
    if change.phone is not msgspec.UNSET and change.phone != row.phone:
        try:
            change_phones(tx, account_id, [PhoneChange(contact_id, row.stop_mask, change.phone)])
        except Taken as error:
            raise AlreadyExists("contact", change.phone) from error
    pairs: list[Membership] = []
    if change.list_ids:
        wanted = [Membership(id, contact_id) for id in dict.fromkeys(change.list_ids)]
        present = members.existing(tx, account_id, wanted)
        pairs = [pair for pair in wanted if pair not in present]
        if len(pairs) > members.room_for(tx, account_id, [contact_id])[contact_id]:
            raise members.too_many_lists(contact_id)
    extend(tx, account_id, pairs, {(contact_id, field_id): value for field_id, value in values.items()})
    return get(tx, account_id, contact_id)


def delete(tx: Transaction, account_id: int, contact_id: int) -> None:
    """Delete a contact and its memberships. The stop list keeps its phone.

    Raises:
        NotFound: the account has no contact with that id.
    """
    accounts.lock(tx, account_id)
    if not remove(tx, account_id, [contact_id]):
        raise NotFound("contact", contact_id)


def delete_many(
    tx: Transaction, account_id: int, *, contact_ids: Sequence[int] = (), list_ids: Sequence[int] = ()
) -> int:
    """Delete contacts by id, and all contacts of lists (not the lists). Unknown ids are ignored.

    Returns:
        The number of contacts that were deleted.

    Raises:
        LimitExceeded: there are more than `DELETED_AT_ONCE_MAX` of them; nothing was deleted.
    """
    accounts.lock(tx, account_id)
    wanted = set(contact_ids)
    if list_ids:
        wanted |= set(
            tx.all(
                int,
                f"""
                SELECT DISTINCT membership.contact_id
                FROM {tx.rows("wanted", id="bigint")} CROSS JOIN membership
                WHERE membership.account_id = :account_id AND membership.list_id = wanted.id LIMIT :most
                """,
                account_id=account_id,
                wanted=Rows(id=sorted(lists.existing(tx, account_id, list_ids))),
                most=DELETED_AT_ONCE_MAX + 1,
            )
        )
    if len(wanted) > DELETED_AT_ONCE_MAX:
        raise LimitExceeded(f"One call deletes at most {DELETED_AT_ONCE_MAX} contacts.")
    return remove(tx, account_id, sorted(wanted))


def get_many(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> list[Contact]:
    """Contacts with their lists and values, in the order of `contact_ids`; unknown ids are left out.

    It takes four statements for any number of contacts.
    """
    rows = {row.id: row for row in rows_of(tx, account_id, contact_ids)}
    if not rows:
        return []
    pairs = members.of_contacts(tx, account_id, list(rows))
    shown = {}
    if pairs:
        list_ids = sorted({pair.list_id for pair in pairs})
        found = lists.get_many(tx, account_id, list_ids)
        shown = {each.id: each for each in found if isinstance(each, ContactList)}
    lists_of: dict[int, list[ContactList]] = {}
    for pair in pairs:
        lists_of.setdefault(pair.contact_id, []).append(shown[pair.list_id])
    values_of: dict[int, dict[int, str]] = {}
    for value in fields.values_of(tx, account_id, list(rows)):
        values_of.setdefault(value.contact_id, {})[value.field_id] = value.value
    return [
        Contact(
            id=row.id,
            phone=row.phone,
            created_at=row.created_at,
            lists=lists_of.get(row.id, ()),
            values=values_of.get(row.id, {}),
        )
        for row in (rows.get(id) for id in contact_ids)
        if row is not None
    ]


def get(tx: Transaction, account_id: int, contact_id: int) -> Contact:
    """One contact.

    Raises:
        NotFound: the account has no contact with that id.
    """
    found = get_many(tx, account_id, [contact_id])
    if not found:
        raise NotFound("contact", contact_id)
    return found[0]


def rows_of(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> list[Row]:
    """Look up contacts. The rows come in no particular order; unknown ids are left out."""
    return tx.all(
        Row,
        f"""
        SELECT contact.id, contact.phone, contact.stop_mask, contact.created_at
        FROM {tx.rows("wanted", id="bigint")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.id = wanted.id
        """,
        account_id=account_id,
        wanted=Rows(id=list(dict.fromkeys(contact_ids))),
    )


def insert(tx: Transaction, account_id: int, phones: Sequence[int]) -> list[int | None]:
    """Insert contacts; each gets its mask from the stop list. The caller holds the account.

    Args:
        phones: E.164 digits, without duplicates.

    Returns:
        For each phone the id of the new contact, or `None` when the phone is in the book already.
    """
    if not phones:
        return []
    ids = tx.new_ids("contact", len(phones))
    rows = sorted(zip(phones, ids, strict=True))
    created = tx.insert_new(
        "contact",
        ids,
        f"""
        INSERT INTO contact (account_id, id, phone, stop_mask, created_at)
        SELECT :account_id, new.id, new.phone, coalesce(stop_list.mask, 0), :now
        FROM {tx.rows("new", id="bigint", phone="bigint")}
        LEFT JOIN stop_list ON stop_list.account_id = :account_id AND stop_list.phone = new.phone
        WHERE TRUE
        ON CONFLICT (account_id, phone) DO NOTHING
        """,
        account_id=account_id,
        now=tx.now,
        new=Rows(id=[id for _, id in rows], phone=[phone for phone, _ in rows]),
    )
    counts.change_account(tx, account_id, contacts=len(created))
    return [id if id in created else None for id in ids]


def insert_all(tx: Transaction, account_id: int, phones: Integers, *, stopped: bool) -> int:
    """Insert contacts with ids in the order of their phones. The caller holds the account.

    Args:
        phones: ascending, none of them in the book.
        stopped: some of them may be on the stop list, and get their masks from it.

    Returns:
        The id of the first contact; the ids of the others follow it without gaps.
    """
    count = len(phones.values)
    first_id = tx.new_ids("contact", count)[0]
    mask, join = "0", ""
    if stopped:
        mask = "coalesce(stop_list.mask, 0)"
        join = "LEFT JOIN stop_list ON stop_list.account_id = :account_id AND stop_list.phone = phones.value"
    tx.run(
        f"""
        INSERT INTO contact (account_id, id, phone, stop_mask, created_at)
        SELECT :account_id, :first_id + phones.place - 1, phones.value, {mask}, :now
        FROM {tx.integers("phones")} {join}
        """,
        account_id=account_id,
        first_id=first_id,
        now=tx.now,
        phones=phones,
    )
    counts.change_account(tx, account_id, contacts=count)
    return first_id


def extend(
    tx: Transaction,
    account_id: int,
    pairs: Sequence[Membership],
    values: Mapping[tuple[int, int], Canonical | None],
) -> None:
    """Put contacts into lists and set their values. The caller holds the account.

    Args:
        pairs: existing contacts and lists; none of these contacts is in its list yet.
        values: by contact id and field id.
    """
    if pairs:
        contact_ids = sorted({pair.contact_id for pair in pairs})
        masks = {row.id: row.stop_mask for row in rows_of(tx, account_id, contact_ids)}
        members.add(tx, account_id, pairs, masks)
    if values:
        fields.store(tx, account_id, values)


def remove(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> int:
    """Remove contacts with their memberships and values. The caller holds the account.

    Returns:
        The number of contacts that were removed.
    """
    ids = [row.id for row in rows_of(tx, account_id, contact_ids)]
    if ids:
        members.remove_contacts(tx, account_id, ids)
        fields.forget(tx, account_id, ids)
        tx.run(
            f"""
            DELETE FROM contact WHERE account_id = :account_id AND id IN (
                SELECT gone.id FROM {tx.rows("gone", id="bigint")}
            )
            """,
            account_id=account_id,
            gone=Rows(id=ids),
        )
        counts.change_account(tx, account_id, contacts=-len(ids))
    return len(ids)


def change_phones(tx: Transaction, account_id: int, changes: Sequence[PhoneChange]) -> None:
    """Give contacts other phones, and the stop masks of these phones. Every count is adjusted. The caller
    holds the account.

    Raises:
        Taken: another contact has one of the phones.
    """
    if not changes:
        return
    masks = stop_list.masks_of(tx, account_id, [change.phone for change in changes])
    changed = Rows(
        id=[change.contact_id for change in changes],
        phone=[change.phone for change in changes],
        before=[change.stop_mask for change in changes],
        after=[masks.get(change.phone, 0) for change in changes],
    )
    rows = tx.rows("changed", id="bigint", phone="bigint", before="bigint", after="bigint")
    tx.run(
        f"""
        WITH renewed AS MATERIALIZED (SELECT id, phone, after FROM {rows})
        UPDATE contact SET phone = renewed.phone, stop_mask = renewed.after
        FROM renewed
        WHERE contact.account_id = :account_id AND contact.id = renewed.id
          AND contact.id IN (SELECT id FROM renewed)
        """,
        account_id=account_id,
        changed=changed,
    )
    if masks or any(change.stop_mask for change in changes):
        counts.change(
            tx,
            account_id,
            f"""
            SELECT membership.list_id, {counts.staying("changed.before", "changed.after")}
            FROM {rows} CROSS JOIN membership
            WHERE membership.account_id = :account_id AND membership.contact_id = changed.id
            """,
            changed=changed,
        )
