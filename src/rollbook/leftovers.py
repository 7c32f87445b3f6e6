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

SOME_MAX = 100
"""Leftovers that one look finds, at most."""

# A chunk goes from behind the last row of the chunk before to its own last row. Not IN the chunk: without
# statistics PostgreSQL takes a list to have one row and reads the chunk anew for each (5,000 rows then took a
# minute). And not from the beginning: it would walk over all that was removed and not yet vacuumed.
_LAST = {
    "list": """
        SELECT '' AS key, contact_id AS id FROM (
            SELECT contact_id FROM membership
            WHERE account_id = :account_id AND list_id = :id AND contact_id > :reached_id
            ORDER BY contact_id LIMIT :most
        ) AS chunk ORDER BY contact_id DESC LIMIT 1
    """,
    "field": """
        SELECT search_key AS key, contact_id AS id FROM (
            SELECT search_key, contact_id FROM field_value
            WHERE account_id = :account_id AND field_id = :id
              AND (search_key, contact_id) > (:reached_key, :reached_id)
            ORDER BY search_key, contact_id LIMIT :most
        ) AS chunk ORDER BY search_key DESC, contact_id DESC LIMIT 1
    """,
}
_REMOVE = {
    "list": """
        DELETE FROM membership WHERE account_id = :account_id AND list_id = :id
          AND contact_id > :reached_id AND contact_id <= :last_id
    """,
    "field": """
        DELETE FROM field_value WHERE account_id = :account_id AND field_id = :id
          AND (search_key, contact_id) > (:reached_key, :reached_id)
          AND (search_key, contact_id) <= (:last_key, :last_id)
    """,
}


class _RowKey(msgspec.Struct, frozen=True):
    """A row of a list or field, by what its rows are ordered by."""

    key: str
    id: int


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
            INSERT INTO leftover (account_id, kind, id, reached_key, reached_id)
            SELECT :account_id, :kind, gone.id, '', 0 FROM {tx.rows("gone", id="bigint")} WHERE TRUE
            ON CONFLICT (account_id, kind, id) DO NOTHING
            """,
            account_id=account_id,
            kind=kind,
            gone=Rows(id=list(ids)),
        )


def remove_all(tx: Transaction, account_id: int, kind: Kind, id: int) -> None:
    """Remove what a list or field of `CHUNK_ROWS` at most has. The caller holds the account."""
    _remove_chunk(tx, Leftover(account_id, kind, id), _RowKey("", 0))


def some(tx: Transaction, account_id: int | None = None) -> list[Leftover]:
    """What is to be removed of an account, or of any; `SOME_MAX` of it at most."""
    where, named = ("WHERE account_id = :account_id", {"account_id": account_id}) if account_id else ("", {})
    return tx.all(
        Leftover,
        f"""
        SELECT account_id, kind, id FROM leftover {where} ORDER BY account_id, kind, id LIMIT {SOME_MAX}
        """,
        **named,
    )


def remove_some(tx: Transaction, account_id: int, found: Leftover) -> bool:
    """Remove one chunk of it.

    Returns:
        Whether there may be more of it.
    """
    accounts.lock(tx, account_id)
    row = "account_id = :account_id AND kind = :kind AND id = :id"
    named = {"account_id": account_id, "kind": found.kind, "id": found.id}
    reached = tx.one(
        _RowKey, f"SELECT reached_key AS key, reached_id AS id FROM leftover WHERE {row}", **named
    )  # fmt: skip
    if reached is None:  # another service was here
        return False
    last = _remove_chunk(tx, found, reached)
    if last is None:
        tx.run(f"DELETE FROM leftover WHERE {row}", **named)
        return False
    sql = f"UPDATE leftover SET reached_key = :last_key, reached_id = :last_id WHERE {row}"
    tx.run(sql, last_key=last.key, last_id=last.id, **named)
    return True


def _remove_chunk(tx: Transaction, found: Leftover, reached: _RowKey) -> _RowKey | None:
    """Remove the chunk behind `reached`; its last row, or `None` when there was nothing."""
    values: dict[str, object] = {"account_id": found.account_id, "id": found.id, "reached_id": reached.id}
    if found.kind == "field":
        values["reached_key"] = reached.key
    last = tx.one(_RowKey, _LAST[found.kind], most=CHUNK_ROWS, **values)
    if last is not None:
        values["last_id"] = last.id
        if found.kind == "field":
            values["last_key"] = last.key
        tx.run(_REMOVE[found.kind], **values)
    return last
