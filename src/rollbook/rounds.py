"""Rounds: queries over all accounts that a service repeats, such as whether there is work to do.

On one server such a query is one statement. Where accounts are on several machines the statement needs all of
them, and fails while one does not answer. Then the accounts are queried one after the other, and those on the
missing machine are skipped (docs/decisions/0026).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from rollbook import accounts
from rollbook.db import Database, Transaction
from rollbook.errors import NodeAway

T = TypeVar("T")

TURNS_SECONDS = 2.0
"""How long one round queries account after account; the remaining accounts wait for the next round."""


class Rounds(Generic[T]):
    """One repeated query.

    Args:
        question: `question(tx, account_id)` returns what it finds in an account, or in all accounts for
            `None`.
        every_seconds: the time between two queries of a distributed database; others are queried each time.
        clock: returns seconds.
    """

    def __init__(
        self,
        database: Database,
        question: Callable[[Transaction, int | None], list[T]],
        *,
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._question = question
        self._every_seconds = every_seconds
        self._clock = clock
        self._next_at = 0.0
        self._reached = 0

    def ask(self) -> list[T]:
        """Run the query; returns nothing when it is too early to run it again.

        While a machine does not answer, only some of the accounts that have a key and are on other machines
        are queried; the rest follow in the next rounds.

        Raises:
            Unavailable: the whole database cannot be reached.
        """
        if not self._database.is_distributed:
            return self._database.read(self._question, None)
        if self._clock() < self._next_at:
            return []
        try:
            return self._database.read(self._question, None)
        except NodeAway:
            return self._in_turns()
        finally:
            self._next_at = self._clock() + self._every_seconds

    def _in_turns(self) -> list[T]:
        all_ids = self._database.read(accounts.with_keys)
        ids = [id for id in all_ids if id > self._reached] + [id for id in all_ids if id <= self._reached]
        found: list[T] = []
        until = self._clock() + TURNS_SECONDS
        for account_id in ids:
            with contextlib.suppress(NodeAway):  # the account is queried again when its turn comes
                found += self._database.read(self._question, account_id)
            self._reached = account_id
            if self._clock() > until:
                break
        return found
