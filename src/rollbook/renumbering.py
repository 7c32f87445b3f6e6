"""Renumbering: brings stored phones to the new form after their numbering plan changed (`phones.changes`).

Such phones were stored before the change, or before it was in the table of changes. A stop on the old form
and a stop on the new form concern the same person. New input is converted when it is read; stored phones are
converted once for each version of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from rollbook import accounts, contacts, phones, stop_list
from rollbook.contacts import PhoneChange
from rollbook.db import Database, Rows, Transaction
from rollbook.phones import changes
from rollbook.stop_list import Wanted

CHUNK_ROWS = 2_000
"""One transaction reads at most this many contacts or rows of the stop list."""


class _StoredPhone(msgspec.Struct, frozen=True):
    """A contact or a row of the stop list whose phone may be an old form, with its stop mask."""

    id: int
    phone: int
    mask: int


class _PhoneRange(msgspec.Struct, frozen=True):
    first: int
    last: int


def bring_up_to_date(database: Database) -> None:
    """Bring every account to the present table of changes. This is quick when there is nothing to do, and
    safe to repeat or to resume after an interruption."""
    for _ in chunks(database):
        pass


def chunks(database: Database) -> Iterator[int]:
    """Bring every account to the present table of changes, `CHUNK_ROWS` rows in each transaction.

    The stops of an account come first, then its contacts. After an interruption the next run finds the
    account still marked as behind: adding the same stops again changes nothing, and contacts that have their
    new form are not read again.

    Yields:
        After each transaction, the account that it changed.
    """
    for account_id in database.read(_behind):
        for table, renew in (("stop_list", _renew_stops), ("contact", _renew_contacts)):
            for filled in database.read(_filled_ranges, account_id, table):
                first: int | None = filled.first
                while first is not None:
                    first = database.write(_renew, account_id, table, renew, first, filled.last)
                    yield account_id
        database.write(_mark, account_id)


def _behind(tx: Transaction) -> list[int]:
    sql = "SELECT account_id FROM account WHERE plans_version < :version ORDER BY account_id"
    return tx.all(int, sql, version=changes.VERSION)


def _mark(tx: Transaction, account_id: int) -> None:
    tx.run(
        "UPDATE account SET plans_version = :version WHERE account_id = :account_id",
        account_id=account_id,
        version=changes.VERSION,
    )


def _filled_ranges(tx: Transaction, account_id: int, table: str) -> list[_PhoneRange]:
    """The ranges of old forms in which the account has phones."""
    ranges = list(changes.old_ranges())
    return tx.all(
        _PhoneRange,
        f"""
        SELECT old.first, old.last FROM {tx.rows("old", first="bigint", last="bigint")}
        WHERE EXISTS (
            SELECT 1 FROM {table}
            WHERE {table}.account_id = :account_id AND {table}.phone BETWEEN old.first AND old.last
        )
        ORDER BY old.first
        """,
        account_id=account_id,
        old=Rows(first=[first for first, _ in ranges], last=[last for _, last in ranges]),
    )


_MASKS = {"stop_list": "mask", "contact": "stop_mask"}

_Renew = Callable[[Transaction, int, Sequence[tuple[_StoredPhone, int]]], None]


def _renew(tx: Transaction, account_id: int, table: str, renew: _Renew, first: int, last: int) -> int | None:
    """Renew a chunk of a range. Returns the phone at which the next chunk begins, `None` after the last
    one."""
    accounts.lock(tx, account_id)
    rows = tx.all(
        _StoredPhone,
        f"""
        SELECT id, phone, {_MASKS[table]} AS mask FROM {table}
        WHERE account_id = :account_id AND phone BETWEEN :first AND :last
        ORDER BY phone LIMIT :limit
        """,
        account_id=account_id,
        first=first,
        last=last,
        limit=CHUNK_ROWS,
    )
    renewed = [(row, new) for row in rows if (new := phones.renewed(row.phone)) is not None]
    if renewed:
        renew(tx, account_id, renewed)
    return rows[-1].phone + 1 if len(rows) == CHUNK_ROWS else None


def _renew_stops(tx: Transaction, account_id: int, renewed: Sequence[tuple[_StoredPhone, int]]) -> None:
    """Add stops for the new forms. Both forms stay stopped: no row is removed."""
    stop_list.add_each(tx, account_id, [Wanted(new, row.mask) for row, new in renewed])


def _renew_contacts(tx: Transaction, account_id: int, renewed: Sequence[tuple[_StoredPhone, int]]) -> None:
    """Change contacts to the new form. If another contact has it, both stay, and a stop on it holds for
    both."""
    taken = _contacts_with(tx, account_id, [new for _, new in renewed])
    changed: list[PhoneChange] = []
    staying: dict[int, int] = {}
    for row, new in renewed:
        if new in taken:
            staying[row.phone] = new
        else:
            taken.add(new)
            changed.append(PhoneChange(row.id, row.mask, new))
    contacts.change_phones(tx, account_id, changed)
    masks = stop_list.masks_of(tx, account_id, list(staying.values()))
    also = [Wanted(old, masks[new]) for old, new in staying.items() if new in masks]
    if also:
        stop_list.add_each(tx, account_id, also)


def _contacts_with(tx: Transaction, account_id: int, numbers: Sequence[int]) -> set[int]:
    """The phones among `numbers` that are contacts."""
    sql = f"""
        SELECT contact.phone FROM {tx.rows("wanted", phone="bigint")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.phone = wanted.phone
    """
    return set(tx.all(int, sql, account_id=account_id, wanted=Rows(phone=sorted(set(numbers)))))
