"""Questions about all accounts that a service asks again and again, as whether there is anything to do.

On one server that is one statement. Where accounts are on several machines it asks all of these, and fails
while one of them is away: then accounts are asked one after the other, and those that are away are passed
over (docs/decisions/0026).
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
"""How long accounts are asked one after the other, before those that follow wait for the next time."""


class Rounds(Generic[T]):
    """One such question.

    Args:
        question: `question(tx, account_id)` gives what it finds of an account, and for `None` of all.
        every_seconds: how often it is asked where the database is distributed; elsewhere each time.
        clock: gives seconds.
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
        """What there is now; nothing when it is too early to ask again. While a machine is away, of some of
        the accounts that have a key and are elsewhere, and of the others the next times.

        Raises:
            Unavailable: the whole database is away.
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
            with contextlib.suppress(NodeAway):  # it is asked again when its turn comes
                found += self._database.read(self._question, account_id)
            self._reached = account_id
            if self._clock() > until:
                break
        return found
