"""Idempotency: stores the answer to a request, so that a repetition of the request gets the same answer.

The rules are those of the IETF draft "The Idempotency-Key HTTP Header Field". The answer is stored in
the transaction of the change itself, so that neither is ever stored without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from rollbook.db import Transaction
from rollbook.errors import IdempotencyMismatch

KEY_LENGTH_MAX = 255
PURGED_AT_ONCE_MAX = 100
"""One request removes at most this many expired answers: more than it adds, without a long pause."""


class Answer(msgspec.Struct, frozen=True):
    """An answer as it was sent: the HTTP status and the JSON text ("" for no body)."""

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
    """Call `perform`, or return the stored answer if the key was used before.

    Args:
        key: the caller's Idempotency-Key.
        fingerprint: the fingerprint of the request; the same key with another fingerprint is refused.
        keep_for: how long a stored answer is returned again.
        perform: makes the change and returns the answer. If it refuses the change, it undoes it and returns
            the refusal.

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
