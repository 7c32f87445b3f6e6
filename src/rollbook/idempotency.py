"""The first answer to a request, kept so that the same request again gets the same answer.

The rules are those of the IETF draft "The Idempotency-Key HTTP Header Field": the answer is stored in
the transaction of the change itself, so that there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from rollbook.db import Transaction
from rollbook.errors import IdempotencyMismatch

KEY_LENGTH_MAX = 255
PURGED_AT_ONCE_MAX = 100
"""Expired answers that one request removes, at most: more than it adds, and never a long pause."""


class Answer(msgspec.Struct, frozen=True):
    """An answer as it went out: HTTP status and JSON text (empty for none)."""

    status: int
    body: str
    replayed: bool = False


class _StoredAnswer(msgspec.Struct, frozen=True):
    fingerprint: str
    status: int
    body: str
    expired: bool


def once(
    tx: Transaction,
    account_id: int,
    *,
    key: str,
    fingerprint: str,
    keep_for: timedelta,
    perform: Callable[[Transaction], Answer],
) -> Answer:
    """Do `perform` unless this key did it before.

    Args:
        key: the caller's Idempotency-Key.
        fingerprint: of the request; the same key with another one is refused.
        keep_for: how long an answer is replayed.
        perform: makes the change and its answer, refusals included; it undoes what it refuses.

    Raises:
        IdempotencyMismatch: the key was used with a different request.
    """
    _purge(tx, account_id, keep_for)
    values = {"account_id": account_id, "key": key, "fingerprint": fingerprint, "now": tx.now}
    claim = """
        INSERT INTO idempotent_answer (account_id, idempotency_key, fingerprint, status, body, created_at)
        VALUES (:account_id, :key, :fingerprint, 0, '', :now)
        ON CONFLICT (account_id, idempotency_key) DO NOTHING
        RETURNING status
    """
    if tx.one(int, claim, **values) is None:
        stored = tx.one(
            _StoredAnswer,
            """
            SELECT fingerprint, status, body, created_at <= :cutoff AS expired FROM idempotent_answer
            WHERE account_id = :account_id AND idempotency_key = :key
            """,
            account_id=account_id,
            key=key,
            cutoff=tx.now - keep_for,
        )
        assert stored is not None
        if not stored.expired:
            if stored.fingerprint != fingerprint:
                raise IdempotencyMismatch
            return Answer(stored.status, stored.body, replayed=True)
    answer = perform(tx)
    tx.run(
        """
        UPDATE idempotent_answer
        SET fingerprint = :fingerprint, status = :status, body = :body, created_at = :now
        WHERE account_id = :account_id AND idempotency_key = :key
        """,
        status=answer.status,
        body=answer.body,
        **values,
    )
    return answer


def _purge(tx: Transaction, account_id: int, keep_for: timedelta) -> None:
    tx.run(
        """
        DELETE FROM idempotent_answer
        WHERE account_id = :account_id AND idempotency_key IN (
            SELECT idempotency_key FROM idempotent_answer
            WHERE account_id = :account_id AND created_at <= :cutoff
            ORDER BY created_at LIMIT :most
        )
        """,
        account_id=account_id,
        cutoff=tx.now - keep_for,
        most=PURGED_AT_ONCE_MAX,
    )
