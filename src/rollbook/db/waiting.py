"""Jobs that wait for a lane: each account has a queue of its own, and they take turns
(docs/decisions/0024)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from rollbook.errors import Busy, Unavailable

BATCH_SECONDS = 0.5
"""What a batch may take, by what such jobs took before, while one account has the lane for itself."""

SHARED_BATCH_SECONDS = 0.002
"""The same while several accounts use the lane. Whoever comes waits for the batch under way and for its own
one: about as long as a commit takes, each."""

NEIGHBOR_SECONDS = 10.0
"""How long after its last job an account counts as one that uses the lane."""

COSTS_KNOWN_MAX = 4096
"""Pairs of account and function of which it is remembered how long a job took."""


class Waits(Protocol):
    """What a queue knows of a job; `seconds` is what it took, once it ran."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    seconds: float


J = TypeVar("J", bound=Waits)


def account_of(job: Waits) -> int:
    """The account that a job is about, which comes first in its arguments; 0 for a job about none."""
    args = job.args
    return args[0] if args and type(args[0]) is int else 0


class Waiting(Generic[J]):
    """A queue for each account. Within one, the first to come is the first served. The accounts take turns, a
    job each turn: whoever sends little is in the next batch, however much others have waiting.

    Args:
        most: jobs that may wait, of all accounts together.
        clock: gives seconds.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[int, deque[J]] = {}
        self._turns: deque[int] = deque()
        self._count = 0
        self._closed = False
        self._costs: dict[tuple[int, object], float] = {}
        self._served: dict[int, float] = {}
        self._pruned_at = 0.0

    def __len__(self) -> int:
        return self._count

    def put(self, job: J) -> None:
        """Queue a job.

        An account may have as many waiting as there is room left: alone it fills half, and others find room.

        Raises:
            Busy: too many wait already.
            Unavailable: it was closed.
        """
        account = account_of(job)
        with self._lock:
            if self._closed:
                raise Unavailable("The service is shutting down.")
            room = self._most - self._count
            queue = self._queues.get(account)
            if room <= 0 or (account and queue is not None and len(queue) >= room):
                raise Busy("The service is behind with its work; try again.")
            if queue is None:
                queue = self._queues[account] = deque()
                self._turns.append(account)
            queue.append(job)
            self._count += 1

    def take(self, most: int, *, one_account: bool = False) -> list[J]:
        """The jobs of the next batch: at least one when any waits, and no more than fit into its time.

        Args:
            most: how many.
            one_account: of whoever's turn it is, and no other's.
        """
        batch: list[J] = []
        with self._lock:
            if not self._turns:
                return batch
            budget = self._budget()
            first = self._turns[0]
            while self._turns and len(batch) < most:
                account = self._turns[0]
                if one_account and account != first:
                    break
                queue = self._queues[account]
                budget -= self._costs.get(_kind(account, queue[0]), 0.0)
                if batch and budget < 0:
                    break  # its turn is the first of the next batch
                batch.append(queue.popleft())
                if not queue:
                    self._turns.popleft()
                    del self._queues[account]
                elif not one_account:
                    self._turns.rotate(-1)
            if one_account and self._turns and self._turns[0] == first:
                self._turns.rotate(-1)
            self._count -= len(batch)
        return batch

    def learn(self, jobs: Sequence[J]) -> None:
        """Remember what these jobs took: at once what took longer than before, by half what took less."""
        costs = self._costs
        if len(costs) > COSTS_KNOWN_MAX:
            costs.clear()
        for job in jobs:
            kind = _kind(account_of(job), job)
            before = costs.get(kind, 0.0)
            costs[kind] = max(job.seconds, (before + job.seconds) / 2)

    def close(self) -> bool:
        """Take no more jobs; those that wait are still to be taken. False when it was closed before."""
        with self._lock:
            closed, self._closed = self._closed, True
        return not closed

    def _budget(self) -> float:
        """What the next batch may take; notes which accounts it is for."""
        now = self._clock()
        for account in self._turns:
            if account:
                self._served[account] = now
        if now - self._pruned_at > 1:
            self._pruned_at = now
            self._served = {
                account: at for account, at in self._served.items() if now - at <= NEIGHBOR_SECONDS
            }
        return SHARED_BATCH_SECONDS if len(self._served) > 1 else BATCH_SECONDS


def _kind(account: int, job: Waits) -> tuple[int, object]:
    """What is taken to take alike. A closure is made anew for each call; its code is not."""
    fn = getattr(job.fn, "func", job.fn)
    return account, getattr(fn, "__code__", fn)
