"""Sandboxes: deletes everything that was created with test keys."""

from __future__ import annotations

from rollbook import accounts, counts
from rollbook.db import Transaction

TABLES = (
    "membership",
    "field_value",
    "contact",
    "stop_list",
    "contact_field",
    "contact_list",
    "leftover",
    "verification",
    "idempotent_answer",
    "import_job",
    "import_chunk",
)
"""The tables with an account's data; `wipe` deletes the rows of a sandbox from them."""


def wipe(tx: Transaction, *, name: str) -> int:
    """Delete everything in an account's sandbox; its test keys stay.

    Args:
        name: the name of the account.

    Returns:
        The number of contact lists that were deleted.

    Raises:
        NotFound: there is no account with that name.
    """
    sandbox_id = accounts.named(tx, name).sandbox_id
    accounts.lock(tx, sandbox_id)
    lists = tx.one(
        int, "SELECT count(*) FROM contact_list WHERE account_id = :account_id", account_id=sandbox_id
    )
    for table in TABLES:
        tx.run(f"DELETE FROM {table} WHERE account_id = :account_id", account_id=sandbox_id)
    counts.clear(tx, sandbox_id)
    return lists or 0
