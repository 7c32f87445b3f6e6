"""Jobs that wait for a lane: each account has its own queue, and the accounts take turns
(docs/decisions/0024)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from rollbook.errors import Busy, Unavailable

BATCH_SECONDS = 0.5
"""The expected duration of a batch, estimated from former jobs, while only one account uses the lane."""

SHARED_BATCH_SECONDS = 0.002
"""The same while several accounts use the lane. A new job waits for the running batch and for its own one,
each of which takes about as long as a commit."""

NEIGHBOR_SECONDS = 10.0
"""How long after its last job an account still counts as using the lane."""

COSTS_KNOWN_MAX = 4096
"""The most pairs of account and function whose job durations are remembered."""


class Waits(Protocol):
    """The part of a job that a queue uses; `seconds` is its duration after it ran."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    seconds: float


J = TypeVar("J", bound=Waits)


def account_of(job: Waits) -> int:
    """The account of a job, which is its first argument; 0 for a job without an account."""
    args = job.args
    return args[0] if args and type(args[0]) is int else 0


class Waiting(Generic[J]):
    """A queue for each account, first in, first out. The accounts take turns with one job each, so an account
    that sends little is in the next batch, however many jobs of others wait.

    Args:
        most: the most jobs that may wait, of all accounts together.
        clock: returns seconds.
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

        An account may have as many waiting jobs as there is free room. So a single account fills half of the
        queue, and room remains for others.

        Raises:
            Busy: too many jobs wait already.
            Unavailable: the queue was closed.
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
        """Take the jobs of the next batch: at least one if any waits, and no more than fit into its time.

        Args:
            most: the most jobs to take.
            one_account: take only jobs of the account whose turn it is.
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
                    break  # the next batch begins with this account
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
        """Update the remembered durations: a longer one is adopted at once, a shorter one by half."""
        costs = self._costs
        if len(costs) > COSTS_KNOWN_MAX:
            costs.clear()
        for job in jobs:
            kind = _kind(account_of(job), job)
            before = costs.get(kind, 0.0)
            costs[kind] = max(job.seconds, (before + job.seconds) / 2)

    def close(self) -> bool:
        """Refuse further jobs; waiting jobs can still be taken. Returns False if it was closed before."""
        with self._lock:
            closed, self._closed = self._closed, True
        return not closed

    def _budget(self) -> float:
        """The time for the next batch. Also records which accounts use the lane."""
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
    """The key of jobs with similar durations. A closure is created anew for each call, but its code is
    not."""
    fn = getattr(job.fn, "func", job.fn)
    return account, getattr(fn, "__code__", fn)
