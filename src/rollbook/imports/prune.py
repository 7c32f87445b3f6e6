"""The end of an import that replaces a list: members that the file does not name leave the list."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from rollbook import accounts, imports, lists, members
from rollbook.db import Database, Transaction
from rollbook.imports import Import, Report, ascending, journal
from rollbook.imports.journal import Chunk

MEMBERS_AT_ONCE = 5_000

MEMBERS_UNASKED_MAX = 100
"""A list with so few members is replaced without a confirmation, whatever the file holds."""


class _Member(msgspec.Struct, frozen=True):
    id: int
    phone: int
    stop_mask: int


def leaving(database: Database, import_: Import, phones: NDArray[np.int64]) -> tuple[int, int] | None:
    """Find out whether a confirmation is needed, because more than half of the list's members would leave it.

    Args:
        phones: all staged phones, ascending.

    Returns:
        How many members would leave, and how many there are; `None` where no confirmation is needed.
    """
    if (
        import_.spec.mode != "replace"
        or import_.spec.dry_run
        or import_.spec.confirm
        or import_.list_id is None
    ):
        return None
    items = database.read(lists.get, import_.account_id, import_.list_id).items
    if items <= MEMBERS_UNASKED_MAX:
        return None
    at = msgspec.structs.replace(
        import_, spec=msgspec.structs.replace(import_.spec, dry_run=True), reached=0, report=Report()
    )
    while (further := database.read(step, import_.account_id, at, phones)) is not None:
        at = further
    return (at.report.removed, items) if at.report.removed * 2 > items else None


def step(tx: Transaction, account_id: int, import_: Import, phones: NDArray[np.int64]) -> Import | None:
    """Check the next members of the list, and remove those whose phone is not staged.

    A dry run only counts them.

    Args:
        import_: its `reached` is the last member that was checked.
        phones: all staged phones, ascending.

    Returns:
        The import after it; `None` when there were no more members.
    """
    if not import_.spec.dry_run:
        accounts.lock(tx, account_id)
    rows = tx.all(
        _Member,
        """
        SELECT contact.id, contact.phone, contact.stop_mask
        FROM (
            SELECT contact_id FROM membership
            WHERE account_id = :account_id AND list_id = :list_id AND contact_id > :reached
            ORDER BY contact_id LIMIT :most
        ) AS member CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.id = member.contact_id
        ORDER BY contact.id
        """,
        account_id=account_id,
        list_id=import_.list_id,
        reached=import_.reached,
        most=MEMBERS_AT_ONCE,
    )
    if not rows:
        return None
    found = np.fromiter((row.phone for row in rows), np.int64, len(rows))
    _, in_file = ascending.places(phones, found)
    masks = {row.id: row.stop_mask for row, stays in zip(rows, in_file.tolist(), strict=True) if not stays}
    report = imports.added(import_.report, Report(removed=len(masks)))
    if import_.spec.dry_run:
        return msgspec.structs.replace(import_, reached=rows[-1].id, report=report)
    assert import_.list_id is not None
    if masks:
        members.remove_many(tx, account_id, import_.list_id, masks)
        journal.write(
            tx,
            account_id,
            import_.id,
            Chunk(import_.rows_staged + rows[-1].id, 0, removed=journal.pack(sorted(masks))),
        )
    return imports.change(tx, import_, reached=rows[-1].id, report=report)
