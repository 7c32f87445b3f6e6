"""Places for long answers, limited so that no account can take all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rollbook.errors import Busy

RETRY_AFTER_SECONDS = 10


class Slots:
    """The places of one process.

    Args:
        what: what they are for, in the plural, for messages.
        most: the number of places for all accounts together.
        most_of_one: the number of places for one account.
    """

    def __init__(self, what: str, most: int, most_of_one: int) -> None:
        self._what = what
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[int] = Counter()

    def check(self, account_id: int) -> None:
        """Check that a place is free.

        Raises:
            Busy: no place is free.
        """
        if self._taken[account_id] >= self._most_of_one:
            self._refuse(f"{self._most_of_one} {self._what}")
        if self._taken.total() >= self._most:
            self._refuse(f"{self._most} {self._what}")

    def take(self, account_id: int) -> None:
        """Take a place.

        Raises:
            Busy: no place is free.
        """
        self.check(account_id)
        self._taken[account_id] += 1

    @contextmanager
    def taken(self, account_id: int) -> Iterator[None]:
        """Take a place for the length of the block.

        Raises:
            Busy: no place is free.
        """
        self.take(account_id)
        try:
            yield
        finally:
            self.give_back(account_id)

    def give_back(self, account_id: int) -> None:
        """Release a place."""
        self._taken[account_id] -= 1
        if not self._taken[account_id]:
            del self._taken[account_id]

    def _refuse(self, taken: str) -> None:
        raise Busy(f"{taken} are under way; try again later.", retry_after_seconds=RETRY_AFTER_SECONDS)
