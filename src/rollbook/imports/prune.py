"""The end of an import that replaces: whoever the file does not name leaves the list."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from rollbook import accounts, members
from rollbook.db import Transaction
from rollbook.imports import jobs, journal
from rollbook.imports.jobs import Job, Report
from rollbook.imports.journal import Chunk

MEMBERS_AT_ONCE = 5_000


class _Member(msgspec.Struct, frozen=True):
    id: int
    phone: int
    stop_mask: int


def some(tx: Transaction, account_id: int, job: Job, phones: NDArray[np.int64]) -> Job | None:
    """Look at the next members of the list, and take out those whose phone is not staged.

    In a dry run this only counts.

    Args:
        job: `reached` is the last member that was looked at.
        phones: all that are staged, ascending.

    Returns:
        The import as it is then; `None` when there were no more members.
    """
    if not job.spec.dry_run:
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
        list_id=job.list_id,
        reached=job.reached,
        most=MEMBERS_AT_ONCE,
    )
    if not rows:
        return None
    found = np.fromiter((row.phone for row in rows), np.int64, len(rows))
    places = np.minimum(np.searchsorted(phones, found), len(phones) - 1)
    masks = {
        row.id: row.stop_mask
        for row, there in zip(rows, (phones[places] == found).tolist(), strict=True)
        if not there
    }
    report = jobs.added(job.report, Report(removed=len(masks)))
    if job.spec.dry_run:
        return msgspec.structs.replace(job, reached=rows[-1].id, report=report)
    assert job.list_id is not None
    if masks:
        members.remove_many(tx, account_id, job.list_id, masks)
        journal.write(
            tx,
            account_id,
            job.id,
            Chunk(job.rows_staged + rows[-1].id, 0, removed=journal.pack(sorted(masks))),
        )
    return jobs.change(tx, job, reached=rows[-1].id, report=report)
