"""Leftovers: rows that deleted lists and fields left, which are hidden at once and removed in chunks.

Deleting a list of ten million members at once would hold up every other change for minutes. So the list is
deleted at once, its members become leftovers, and a service removes them in chunks (docs/decisions/0014).
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
"""At most this many rows are removed in one transaction, which takes 10 to 100 ms."""

SOME_MAX = 100
"""One call of `some` returns at most this many leftovers."""

# A chunk begins after the last row of the chunk before and ends with its own last row. Its rows are not
# deleted with IN: without statistics PostgreSQL assumes that a list has one row, and reads the chunk again
# for each (5,000 rows then took a minute). Nor does a chunk begin with the first row: that would walk over
# all rows that were removed but not vacuumed yet.
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
    """The key of a row of a list or field, in the order in which its rows are removed."""

    key: str
    id: int


class Leftover(msgspec.Struct, frozen=True):
    """A list or a field that still has rows."""

    account_id: int
    kind: Kind
    id: int


def shown(kind: Kind, column: str) -> str:
    """SQL: the list or field in `column` is not deleted. There are hardly ever any leftovers, so this costs
    less than looking up each list or field."""
    return (
        f"{column} NOT IN (SELECT leftover.id FROM leftover "
        f"WHERE leftover.account_id = :account_id AND leftover.kind = '{kind}')"
    )


def leave(tx: Transaction, account_id: int, kind: Kind, ids: Sequence[int]) -> None:
    """Record that the rows of lists or fields have to be removed."""
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
    """Remove all rows of a list or field that has at most `CHUNK_ROWS`. The caller holds the account."""
    _remove_chunk(tx, Leftover(account_id, kind, id), _RowKey("", 0))


def some(tx: Transaction, account_id: int | None = None) -> list[Leftover]:
    """The leftovers of an account, or of all accounts; `SOME_MAX` at most."""
    where, named = ("WHERE account_id = :account_id", {"account_id": account_id}) if account_id else ("", {})
    return tx.all(
        Leftover,
        f"""
        SELECT account_id, kind, id FROM leftover {where} ORDER BY account_id, kind, id LIMIT {SOME_MAX}
        """,
        **named,
    )


def remove_some(tx: Transaction, account_id: int, found: Leftover) -> bool:
    """Remove one chunk of a leftover.

    Returns:
        Whether it may have more rows.
    """
    accounts.lock(tx, account_id)
    row = "account_id = :account_id AND kind = :kind AND id = :id"
    named = {"account_id": account_id, "kind": found.kind, "id": found.id}
    reached = tx.one(
        _RowKey, f"SELECT reached_key AS key, reached_id AS id FROM leftover WHERE {row}", **named
    )  # fmt: skip
    if reached is None:  # another service removed it
        return False
    last = _remove_chunk(tx, found, reached)
    if last is None:
        tx.run(f"DELETE FROM leftover WHERE {row}", **named)
        return False
    sql = f"UPDATE leftover SET reached_key = :last_key, reached_id = :last_id WHERE {row}"
    tx.run(sql, last_key=last.key, last_id=last.id, **named)
    return True


def _remove_chunk(tx: Transaction, found: Leftover, reached: _RowKey) -> _RowKey | None:
    """Remove the chunk after `reached`. Returns its last row, or `None` when no row was left."""
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
