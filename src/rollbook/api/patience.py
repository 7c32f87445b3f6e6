"""Limits how long requests wait for the database, and refuses them at once while it is stuck.

A database that is frozen does not break a connection and does not answer. Without a limit, every request
would wait until it recovers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from rollbook.db import Job, Transaction
from rollbook.errors import Unavailable

SWEEP_SECONDS = 0.25
"""How often requests that have waited too long are looked for."""

RETRY_AFTER_SECONDS = 5


class Patience:
    """The requests that wait for one lane of the database. Used in the event loop only.

    Args:
        seconds: how long a request may wait.
        enqueue: puts a job into the lane's queue.
        unsure: a sentence that the error adds for requests whose time is up.
    """

    def __init__(self, seconds: float, enqueue: Callable[[Job], None], unsure: str) -> None:
        self._seconds = seconds
        self._enqueue = enqueue
        self._unsure = unsure
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[Any], tuple[float, Job]] = {}
        """Every job in the lane, the oldest first, including those whose time is up."""
        self._answered_at = 0.0
        self._probe: asyncio.Future[Any] | None = None
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Put a job into the lane; the future gets its outcome.

        Raises:
            Unavailable: the lane has answered nothing for as long as a request may wait.
            Busy: its queue is full.
        """
        self.check()
        return self._begun(fn, args)

    def check(self) -> None:
        """Raise if requests need not wait, because the lane does not answer.

        Raises:
            Unavailable: see `run`.
        """
        if self._waiting and self._quiet(time.monotonic()) > self._seconds:
            raise Unavailable(
                f"The database has not answered for {self._seconds:g} seconds; nothing was done.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    def _begun(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        job = Job(fn, args, self._deliver, future)
        self._enqueue(job)
        self._waiting[future] = time.monotonic(), job
        return future

    def _quiet(self, now: float) -> float:
        """For how many seconds requests have waited and none was answered."""
        since, _ = next(iter(self._waiting.values()))
        return now - max(since, self._answered_at)

    def _deliver(self, jobs: Sequence[Job]) -> None:
        self._loop.call_soon_threadsafe(self._settle, jobs)

    def _settle(self, jobs: Sequence[Job]) -> None:
        self._answered_at = time.monotonic()
        for job in jobs:
            future: asyncio.Future[Any] = job.waiter
            self._waiting.pop(future, None)
            if future.done():  # the client went away, or its time was up
                continue
            if job.error is not None:
                future.set_exception(job.error)
            else:
                future.set_result(job.value)

    def _sweep(self) -> None:
        self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if not self._waiting:
            return
        now = time.monotonic()
        if self._quiet(now) > self._seconds / 2:
            self._see_whether_it_answers()
        for future, (since, job) in self._waiting.items():
            if now - since <= self._seconds:
                break
            if not future.done():
                job.fn = _too_late  # if it has not begun, it does nothing
                future.set_exception(
                    Unavailable(
                        f"The database did not answer within {self._seconds:g} seconds{self._unsure}.",
                        retry_after_seconds=RETRY_AFTER_SECONDS,
                    )
                )

    def _see_whether_it_answers(self) -> None:
        """Put a small job into the lane. A single job may well take that long while others beside it are
        answered, so a lane with a free thread is not one that is stuck."""
        if self._probe is not None and self._probe in self._waiting:
            return
        try:
            self._probe = self._begun(_answer, ())
        except Unavailable:
            return  # its queue is full, which is not an answer either
        self._probe.add_done_callback(_heard)


def _answer(tx: Transaction) -> int | None:
    return tx.one(int, "SELECT 1")


def _too_late(tx: Transaction, *args: Any) -> None:
    raise Unavailable("Nobody waits for this any more.")


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
