"""What is gone from the API but still has rows: members of deleted lists, values of deleted fields.

Deleting a list of ten million members at once would hold up every other change for minutes. So the list goes
at once, its members become leftovers, and whoever serves removes those in chunks (docs/decisions/0014).
Readers never see them: see `shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from rollbook import accounts
from rollbook.db import Rows, Transaction

Kind = Literal["list", "field"]

CHUNK_ROWS = 5_000
"""Rows removed in one transaction, at most: some 10 to 100 ms."""

# Up to the last row of the chunk, not IN the chunk: without statistics PostgreSQL takes a list to have one
# row and reads the chunk anew for each (5,000 rows then took a minute).
_CHUNK = {
    "list": """
        DELETE FROM membership WHERE account_id = :account_id AND list_id = :id AND contact_id <= (
            SELECT max(contact_id) FROM (
                SELECT contact_id FROM membership WHERE account_id = :account_id AND list_id = :id
                ORDER BY contact_id LIMIT :most
            ) AS chunk
        )
    """,
    "field": """
        DELETE FROM field_value WHERE account_id = :account_id AND field_id = :id
          AND (search_key, contact_id) <= (
            SELECT search_key, contact_id FROM (
                SELECT search_key, contact_id FROM field_value
                WHERE account_id = :account_id AND field_id = :id
                ORDER BY search_key, contact_id LIMIT :most
            ) AS chunk
            ORDER BY search_key DESC, contact_id DESC LIMIT 1
        )
    """,
}
_LEFT = {
    "list": "SELECT 1 FROM membership WHERE account_id = :account_id AND list_id = :id LIMIT 1",
    "field": "SELECT 1 FROM field_value WHERE account_id = :account_id AND field_id = :id LIMIT 1",
}


class Leftover(msgspec.Struct, frozen=True):
    """A list or a field that still has rows."""

    account_id: int
    kind: Kind
    id: int


def shown(kind: Kind, column: str) -> str:
    """SQL: the list or field in `column` is not a deleted one. There are hardly ever any, which makes this
    cheaper than a look at each list or field."""
    return (
        f"{column} NOT IN (SELECT leftover.id FROM leftover "
        f"WHERE leftover.account_id = :account_id AND leftover.kind = '{kind}')"
    )


def leave(tx: Transaction, account_id: int, kind: Kind, ids: Sequence[int]) -> None:
    """Note that the rows of some lists or fields are to be removed."""
    if ids:
        tx.run(
            f"""
            INSERT INTO leftover (account_id, kind, id)
            SELECT :account_id, :kind, gone.id FROM {tx.rows("gone", id="bigint")} WHERE TRUE
            ON CONFLICT (account_id, kind, id) DO NOTHING
            """,
            account_id=account_id,
            kind=kind,
            gone=Rows(id=list(ids)),
        )


def remove_all(tx: Transaction, account_id: int, kind: Kind, id: int) -> None:
    """Remove what a list or field of `CHUNK_ROWS` at most has. The caller holds the account."""
    tx.run(_CHUNK[kind], account_id=account_id, id=id, most=CHUNK_ROWS)


def first(tx: Transaction) -> Leftover | None:
    """Something to remove, of any account; `None` when there is nothing."""
    return tx.one(Leftover, "SELECT account_id, kind, id FROM leftover LIMIT 1")


def remove_some(tx: Transaction, account_id: int, found: Leftover) -> bool:
    """Remove one chunk of it.

    Returns:
        Whether there is more of it.
    """
    accounts.lock(tx, account_id)
    tx.run(_CHUNK[found.kind], account_id=account_id, id=found.id, most=CHUNK_ROWS)
    if tx.one(int, _LEFT[found.kind], account_id=account_id, id=found.id) is not None:
        return True
    tx.run(
        "DELETE FROM leftover WHERE account_id = :account_id AND kind = :kind AND id = :id",
        account_id=account_id,
        kind=found.kind,
        id=found.id,
    )
    return False
