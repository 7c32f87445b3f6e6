"""Members: which contacts are in which lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rollbook import accounts, counts, leftovers, lists
from rollbook.counts import ListMask
from rollbook.db import Integers, Rows, Transaction
from rollbook.errors import LimitExceeded, UnknownIds

LISTS_MAX = 100
"""A contact is in at most this many lists: strict clients refuse a contact with more."""

CONTACTS_AT_ONCE_MAX = 200
LISTS_AT_ONCE_MAX = 100
"""The most contacts and lists that one call of `attach` or `detach` takes."""


class Membership(msgspec.Struct, frozen=True):
    """One contact in one list."""

    list_id: int
    contact_id: int


class _Masked(msgspec.Struct, frozen=True):
    id: int
    stop_mask: int


class _ListCount(msgspec.Struct, frozen=True):
    id: int
    lists: int


def attach(tx: Transaction, account_id: int, *, contact_ids: Sequence[int], list_ids: Sequence[int]) -> None:
    """Put every contact into every list. Existing members are left alone.

    Args:
        contact_ids: `CONTACTS_AT_ONCE_MAX` at most.
        list_ids: `LISTS_AT_ONCE_MAX` at most.

    Raises:
        UnknownIds: naming every contact and list that the account does not have; nothing was changed.
        LimitExceeded: a contact would be in more than `LISTS_MAX` lists; nothing was changed.
    """
    accounts.lock(tx, account_id)
    masks = _masks_of(tx, account_id, contact_ids, list_ids)
    check_lists(list_ids)
    chosen = sorted(set(list_ids))
    wanted = [Membership(list_id, contact_id) for list_id in chosen for contact_id in masks]
    present = existing(tx, account_id, wanted)
    already = Counter(pair.contact_id for pair in present)
    for contact_id, room in room_for(tx, account_id, sorted(masks)).items():
        if len(chosen) - already[contact_id] > room:
            raise too_many_lists(contact_id)
    if len(present) == len(chosen) * len(masks):
        return
    tx.run(
        f"""
        INSERT INTO membership (account_id, list_id, contact_id)
        SELECT :account_id, list.id, contact.id
        FROM {tx.rows("list", id="bigint")} CROSS JOIN {tx.rows("contact", id="bigint")} WHERE TRUE
        ON CONFLICT (account_id, list_id, contact_id) DO NOTHING
        """,
        account_id=account_id,
        list=Rows(id=chosen),
        contact=Rows(id=sorted(masks)),
    )
    of_mask = Counter(masks.values())
    joined = Counter({ListMask(list_id, mask): n for list_id in chosen for mask, n in of_mask.items()})
    joined.subtract(ListMask(pair.list_id, masks[pair.contact_id]) for pair in present)
    counts.joined(tx, account_id, +joined)


def detach(tx: Transaction, account_id: int, *, contact_ids: Sequence[int], list_ids: Sequence[int]) -> None:
    """Take every contact out of every list. Contacts that are not members are ignored.

    Args:
        contact_ids: `CONTACTS_AT_ONCE_MAX` at most.
        list_ids: `LISTS_AT_ONCE_MAX` at most.

    Raises:
        UnknownIds: naming every contact and list that the account does not have; nothing was changed.
    """
    accounts.lock(tx, account_id)
    masks = _masks_of(tx, account_id, contact_ids, list_ids)
    chosen = set(list_ids)
    leaving = [row for row in of_contacts(tx, account_id, list(masks)) if row.list_id in chosen]
    if not leaving:
        return
    counts.left(tx, account_id, Counter(ListMask(row.list_id, masks[row.contact_id]) for row in leaving))
    tx.run(
        f"""
        DELETE FROM membership WHERE account_id = :account_id AND (list_id, contact_id) IN (
            SELECT gone.list_id, gone.contact_id
            FROM {tx.rows("gone", list_id="bigint", contact_id="bigint")}
        )
        """,
        account_id=account_id,
        gone=Rows(list_id=[row.list_id for row in leaving], contact_id=[row.contact_id for row in leaving]),
    )


def add(tx: Transaction, account_id: int, pairs: Iterable[Membership], masks: Mapping[int, int]) -> None:
    """Put contacts into lists. The caller holds the account and knows that contacts and lists exist.

    Args:
        pairs: contacts and lists; none of these contacts is in its list yet.
        masks: the stop mask of each contact.
    """
    ordered = sorted(set(pairs), key=lambda pair: (pair.list_id, pair.contact_id))
    if not ordered:
        return
    tx.run(
        f"""
        INSERT INTO membership (account_id, list_id, contact_id)
        SELECT :account_id, new.list_id, new.contact_id
        FROM {tx.rows("new", list_id="bigint", contact_id="bigint")}
        """,
        account_id=account_id,
        new=Rows(list_id=[row.list_id for row in ordered], contact_id=[row.contact_id for row in ordered]),
    )
    counts.joined(tx, account_id, Counter(ListMask(row.list_id, masks[row.contact_id]) for row in ordered))


def add_many(tx: Transaction, account_id: int, list_id: int, contact_ids: Integers) -> None:
    """Put contacts into a list. The caller holds the account, knows that the contacts exist and are not in
    the list yet, and counts them (`counts.joined`).

    Args:
        contact_ids: in ascending order.
    """
    tx.run(
        f"""
        INSERT INTO membership (account_id, list_id, contact_id)
        SELECT :account_id, :list_id, ids.value FROM {tx.integers("ids")}
        """,
        account_id=account_id,
        list_id=list_id,
        ids=contact_ids,
    )


def remove_many(tx: Transaction, account_id: int, list_id: int, masks: Mapping[int, int]) -> None:
    """Take contacts out of a list. The caller holds the account.

    Args:
        masks: the stop mask of each contact; all of these contacts are in the list.
    """
    if not masks:
        return
    counts.left(tx, account_id, Counter(ListMask(list_id, mask) for mask in masks.values()))
    tx.run(
        f"""
        DELETE FROM membership WHERE account_id = :account_id AND list_id = :list_id AND contact_id IN (
            SELECT gone.id FROM {tx.rows("gone", id="bigint")}
        )
        """,
        account_id=account_id,
        list_id=list_id,
        gone=Rows(id=sorted(masks)),
    )


def remove_contacts(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> None:
    """Take contacts out of all lists. The caller holds the account."""
    gone = Rows(id=sorted(contact_ids))
    counts.change(
        tx,
        account_id,
        f"""
        SELECT membership.list_id, {counts.leaving("contact.stop_mask")}
        FROM {tx.rows("gone", id="bigint")} CROSS JOIN contact CROSS JOIN membership
        WHERE contact.account_id = :account_id AND contact.id = gone.id
          AND membership.account_id = :account_id AND membership.contact_id = gone.id
        """,
        gone=gone,
    )
    tx.run(
        f"""
        DELETE FROM membership WHERE account_id = :account_id AND contact_id IN (
            SELECT gone.id FROM {tx.rows("gone", id="bigint")}
        )
        """,
        account_id=account_id,
        gone=gone,
    )


def of_contacts(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> list[Membership]:
    """The lists that contacts are in, newest list first."""
    return tx.all(
        Membership,
        f"""
        SELECT membership.list_id, membership.contact_id
        FROM {tx.rows("wanted", id="bigint")} CROSS JOIN membership
        WHERE membership.account_id = :account_id AND membership.contact_id = wanted.id
          AND {leftovers.shown("list", "membership.list_id")}
        ORDER BY membership.contact_id, membership.list_id DESC
        """,
        account_id=account_id,
        wanted=Rows(id=list(contact_ids)),
    )


def existing(tx: Transaction, account_id: int, pairs: Sequence[Membership]) -> set[Membership]:
    """The pairs whose contact is in the list already."""
    return set(
        tx.all(
            Membership,
            f"""
            SELECT membership.list_id, membership.contact_id
            FROM {tx.rows("pair", list_id="bigint", contact_id="bigint")} CROSS JOIN membership
            WHERE membership.account_id = :account_id AND membership.list_id = pair.list_id
              AND membership.contact_id = pair.contact_id
            """,
            account_id=account_id,
            pair=Rows(
                list_id=[pair.list_id for pair in pairs], contact_id=[pair.contact_id for pair in pairs]
            ),
        )
    )


def check_lists(list_ids: Iterable[int]) -> None:
    """Refuse more lists than any contact can be in.

    Raises:
        LimitExceeded: there are more than `LISTS_MAX` of them.
    """
    if len(set(list_ids)) > LISTS_MAX:
        raise LimitExceeded(f"A contact may not be in more than {LISTS_MAX} lists.")


def too_many_lists(contact_id: int | None = None) -> LimitExceeded:
    """The error for a contact that would be in more lists than there is room for (`room_for`).

    Args:
        contact_id: `None` where the message appears next to the contact.
    """
    contact = "The contact" if contact_id is None else f"Contact {contact_id}"
    return LimitExceeded(f"{contact} would be in more than {LISTS_MAX} lists.")


def room_for(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> dict[int, int]:
    """The number of lists that each contact can still join, in the order of `contact_ids`."""
    rows = tx.all(
        _ListCount,
        f"""
        SELECT wanted.id, count(*) AS lists
        FROM {tx.rows("wanted", id="bigint")} CROSS JOIN membership
        WHERE membership.account_id = :account_id AND membership.contact_id = wanted.id
          AND {leftovers.shown("list", "membership.list_id")}
        GROUP BY wanted.id
        """,
        account_id=account_id,
        wanted=Rows(id=list(contact_ids)),
    )
    lists_of = {row.id: row.lists for row in rows}
    return {contact_id: LISTS_MAX - lists_of.get(contact_id, 0) for contact_id in contact_ids}


def _masks_of(
    tx: Transaction, account_id: int, contact_ids: Sequence[int], list_ids: Sequence[int]
) -> dict[int, int]:
    """The stop mask of each contact, after a check that all contacts and lists exist."""
    contacts = tx.all(
        _Masked,
        f"""
        SELECT contact.id, contact.stop_mask FROM {tx.rows("wanted", id="bigint")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.id = wanted.id
        """,
        account_id=account_id,
        wanted=Rows(id=sorted(set(contact_ids))),
    )
    masks = {row.id: row.stop_mask for row in contacts}
    unknown = UnknownIds.among(
        contact=(contact_ids, masks), list=(list_ids, lists.existing(tx, account_id, list_ids))
    )
    if unknown is not None:
        raise unknown
    return masks
