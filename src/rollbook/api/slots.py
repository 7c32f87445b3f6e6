"""Places for answers that last, so that no account has all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rollbook.errors import Busy

RETRY_AFTER_SECONDS = 10


class Slots:
    """Places of one process.

    Args:
        what: they are for, in the plural.
        most: of all accounts together.
        most_of_one: of one account.
    """

    def __init__(self, what: str, most: int, most_of_one: int) -> None:
        self._what = what
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[int] = Counter()

    def check(self, account_id: int) -> None:
        """Nothing, if there is a place.

        Raises:
            Busy: there is none.
        """
        if self._taken[account_id] >= self._most_of_one:
            self._refuse(f"{self._most_of_one} {self._what}")
        if self._taken.total() >= self._most:
            self._refuse(f"{self._most} {self._what}")

    def take(self, account_id: int) -> None:
        """Take a place.

        Raises:
            Busy: there is none.
        """
        self.check(account_id)
        self._taken[account_id] += 1

    @contextmanager
    def taken(self, account_id: int) -> Iterator[None]:
        """Have a place for the length of the block.

        Raises:
            Busy: there is none.
        """
        self.take(account_id)
        try:
            yield
        finally:
            self.give_back(account_id)

    def give_back(self, account_id: int) -> None:
        """Let go of a place."""
        self._taken[account_id] -= 1
        if not self._taken[account_id]:
            del self._taken[account_id]

    def _refuse(self, taken: str) -> None:
        raise Busy(f"{taken} are under way; try again later.", retry_after_seconds=RETRY_AFTER_SECONDS)
