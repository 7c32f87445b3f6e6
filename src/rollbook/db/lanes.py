"""Lanes: threads that run waiting jobs in batches, each thread on a connection of its own.

A lane never waits to fill a batch: it takes all jobs that wait. While one batch commits, the jobs of the
next one gather (group commit).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

from rollbook.db.waiting import Waiting, account_of
from rollbook.errors import RollbookError

Deliver = Callable[[Sequence["Job"]], None]


PATIENCE_SECONDS = 0.05
"""How long a batch may take before another thread of its lane runs the waiting jobs."""


class BatchFailed(Exception):
    """A batch failed as a whole: none of its jobs succeeded.

    Args:
        error: the error for each of its callers.
        again: whether running the batch again is safe and may succeed.
        attempts_max: the most attempts in all, where that is fewer than usual; 0 for the usual number.
    """

    def __init__(self, error: RollbookError, *, again: bool = False, attempts_max: int = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.attempts_max = attempts_max


class Taken(Exception):
    """A unique key refused a row. Only this job fails."""


class SetBased:
    """A function with a second form that handles many items at once.

    Jobs of one batch that call the same `SetBased` for the same account run as one call of `many`.

    Args:
        one: `one(tx, account_id, item)` returns a value or raises.
        many: `many(tx, account_id, items)` returns, in the order of `items`, a value or a
            `RollbookError` for each.
        one_statement: whether `many` handles these items with a single statement, which is a transaction
            by itself. `one` must then also use a single statement for each item.
    """

    def __init__(
        self,
        one: Callable[[Any, int, Any], Any],
        many: Callable[[Any, int, Sequence[Any]], list[Any]],
        *,
        one_statement: Callable[[Sequence[Any]], bool] = lambda _: False,
    ) -> None:
        self.one = one
        self.many = many
        self.one_statement = one_statement
        self.__name__ = one.__name__
        self.__doc__ = one.__doc__

    def __call__(self, tx: Any, account_id: int, item: Any) -> Any:
        return self.one(tx, account_id, item)


class Job:
    """One call that waits for a lane, and its outcome.

    Args:
        fn: called as `fn(tx, *args)`.
        args: the account id first. A call without an account belongs to the service itself.
        deliver: called once, when their outcome is certain, with all jobs of a batch that share it.
    """

    __slots__ = ("args", "deliver", "error", "fn", "seconds", "value", "waiter")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], deliver: Deliver, waiter: Any = None
    ) -> None:
        self.fn = fn
        self.args = args
        self.deliver = deliver
        self.waiter = waiter
        self.value: Any = None
        self.error: BaseException | None = None
        self.seconds = 0.0


class Runner(Protocol):
    """Runs the batches of one thread of a lane, usually on a connection."""

    def run(self, jobs: list[Job]) -> None:
        """Set the `value` or `error` of every job. An exception becomes the error of all of them."""

    def close(self) -> None:
        """Release the resources. Called in the thread when it ends."""


class Lane:
    """Threads that take waiting jobs in batches.

    One thread does the work, so that batches are large; the others stand by. When a batch takes longer than
    `PATIENCE_SECONDS` while jobs wait, another thread runs these jobs.

    Args:
        name: the name of the threads, for a debugger.
        make_runner: called once in each thread; must not fail.
        threads: the number of threads.
        batch_max: the most jobs in a batch.
        queue_max: jobs that may wait before `put` refuses more. The accounts share them; see `Waiting`.
        one_account: whether a batch may only have jobs of one account; called before each batch.
    """

    def __init__(
        self,
        name: str,
        make_runner: Callable[[], Runner],
        *,
        threads: int,
        batch_max: int,
        queue_max: int,
        one_account: Callable[[], bool] = lambda: False,
    ) -> None:
        self._waiting: Waiting[Job] = Waiting(queue_max)
        self._one_account = one_account
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        self._calls_for_help: SimpleQueue[bool] = SimpleQueue()
        self._make_runner = make_runner
        self._batch_max = batch_max
        self._batches = 0
        self._busy = False
        self._help_is_called = threads == 1
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._help if number else self._lead, name=f"{name}-{number}", daemon=True
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """The number of jobs that wait now."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Queue `job`.

        Raises:
            Busy: `queue_max` jobs wait already, or the queue of the job's account is full.
            Unavailable: the lane is closed.
        """
        self._waiting.put(job)
        # The job is queued before these checks. `_lead` marks itself idle or busy before it looks for jobs,
        # so either this thread or `_lead` notices the job.
        if self._idle:
            self._wake.put(None)
        if self._busy:
            self._call_for_help()

    def close(self) -> None:
        """Finish the queued jobs, then end the threads. Safe to call again."""
        if self._waiting.close():
            self._closed = True
            self._wake.put(None)
            for _ in self._threads[1:]:
                self._calls_for_help.put(False)
        for thread in self._threads:
            thread.join()

    def _lead(self) -> None:
        runner = self._make_runner()
        while batch := self._next():
            self._batches += 1
            self._busy = True
            if self._waiting:
                self._call_for_help()
            self._run(runner, batch)
            self._busy = False
        runner.close()

    def _next(self) -> list[Job]:
        """Wait for the next batch and return it; an empty list when the lane is closed."""
        while True:
            closed = self._closed  # read before the queue: jobs queued before the close are still run
            if batch := self._take():
                return batch
            if closed:
                return []
            self._idle = True
            if not self._waiting and not self._closed:
                self._wake.get()
            self._idle = False

    def _take(self) -> list[Job]:
        return self._waiting.take(self._batch_max, one_account=self._one_account())

    def _help(self) -> None:
        runner = self._make_runner()
        while self._calls_for_help.get():
            seen = self._batches
            time.sleep(PATIENCE_SECONDS)
            while self._busy and self._batches == seen:
                if batch := self._take():
                    self._help_is_called = len(self._threads) == 2  # a third may be needed beside this one
                    self._run(runner, batch)
                elif self._closed:
                    break
                else:
                    time.sleep(PATIENCE_SECONDS)
            self._help_is_called = False
            if self._busy and self._waiting:
                self._call_for_help()
        runner.close()

    def _call_for_help(self) -> None:
        if not self._help_is_called:
            self._help_is_called = True
            self._calls_for_help.put(True)

    def _run(self, runner: Runner, batch: list[Job]) -> None:
        try:
            runner.run(batch)
        except BaseException as error:
            reason = error.error if isinstance(error, BatchFailed) else error
            for job in batch:
                job.value, job.error = None, reason
        self._waiting.learn(batch)
        deliver(batch)


def deliver(jobs: Iterable[Job]) -> None:
    """Deliver jobs to their callers, with one call for all jobs that share a `deliver`."""
    waiting: dict[Deliver, list[Job]] = {}
    for job in jobs:
        waiting.setdefault(job.deliver, []).append(job)
    for hand_over, done in waiting.items():
        hand_over(done)


def calls(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group the jobs of a batch into calls; a group is answered by one call of `SetBased.many`.

    All jobs wait at the same time, so any order is correct. They are ordered by account, so that two batches
    never deadlock on accounts that they hold.
    """
    together: dict[tuple[Any, Any], list[Job]] = {}
    grouped: list[list[Job]] = []
    for job in jobs:
        if isinstance(job.fn, SetBased):
            group = together.setdefault((job.fn, job.args[0]), [])
            if not group:
                grouped.append(group)
            group.append(job)
        else:
            grouped.append([job])
    if len(grouped) > 1:
        grouped.sort(key=lambda group: account_of(group[0]))
    return grouped


def run_one(job: Job, tx: Any) -> None:
    """Run a single job. Its error is stored in the job, not raised.

    Raises:
        BatchFailed: the whole transaction failed, not only this job.
    """
    started = time.perf_counter()
    try:
        job.value, job.error = job.fn(tx, *job.args), None
    except BatchFailed:
        raise
    except Exception as error:
        job.value, job.error = None, error
    finally:
        job.seconds = time.perf_counter() - started


def run_many(jobs: Sequence[Job], tx: Any) -> None:
    """Run jobs that share a `SetBased` with one call.

    Raises:
        Exception: the error that `many` raised; no job has an outcome then.
    """
    fn = jobs[0].fn
    assert isinstance(fn, SetBased)
    started = time.perf_counter()
    outcomes = fn.many(tx, jobs[0].args[0], [job.args[1] for job in jobs])
    each = (time.perf_counter() - started) / len(jobs)
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.seconds = each
        if isinstance(outcome, RollbookError):
            job.value, job.error = None, outcome
        else:
            job.value, job.error = outcome, None


def wait_for(put: Callable[[Job], None], fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run `fn` through `put`, and wait in this thread until it returns or raises."""
    done = threading.Event()

    def wake(_: Sequence[Job]) -> None:
        done.set()

    job = Job(fn, args, wake)
    put(job)
    done.wait()
    if job.error is not None:
        raise job.error
    return job.value
