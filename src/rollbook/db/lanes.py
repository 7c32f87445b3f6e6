"""Lanes: threads that run waiting jobs in batches, each thread on a connection of its own.

A lane never waits to fill a batch: it takes what is there. While one batch commits, the next one
gathers by itself (group commit).
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
"""How long a batch may take before another thread of its lane goes ahead with what waits."""


class BatchFailed(Exception):
    """A batch cannot go on as a whole: no job of it succeeded.

    Args:
        error: what each of its callers gets.
        again: running the batch once more is safe and may work.
        attempts_max: how often it is worth running in all, where that is less than usual; 0: as usual.
    """

    def __init__(self, error: RollbookError, *, again: bool = False, attempts_max: int = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        self.attempts_max = attempts_max


class Taken(Exception):
    """A unique key refused a row. Only this job is concerned."""


class SetBased:
    """A function that also comes in a form for many at once.

    Jobs of one batch that call the same `SetBased` for the same account run as one `many`.

    Args:
        one: `one(tx, account_id, item)` returns a value or raises.
        many: `many(tx, account_id, items)` returns, in the order of `items`, a value or a
            `RollbookError` for each.
        one_statement: whether `many` does these items with a single statement, which is a transaction
            by itself. `one` must then do each with a single statement too.
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
    """One call that waits for a lane, and what came of it.

    Args:
        fn: called as `fn(tx, *args)`.
        args: the account first. A call about none is one of the service itself.
        deliver: called once with all jobs of a batch that share it, when their outcome is certain.
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
    """What one thread of a lane runs its batches on: usually a connection."""

    def run(self, jobs: list[Job]) -> None:
        """Set every job's `value` or `error`; raising fails all of them with what was raised."""

    def close(self) -> None:
        """Called in the thread when it ends."""


class Lane:
    """Threads that take waiting jobs in batches.

    One thread does the work, so that batches are large; the others look on. When a batch takes longer than
    `PATIENCE_SECONDS` while jobs wait, one of them goes ahead with those.

    Args:
        name: of the threads, for a debugger.
        make_runner: called once in each thread; must not fail.
        threads: how many.
        batch_max: jobs in a batch, at most.
        queue_max: jobs that may wait before `put` refuses. The accounts share them, see `Waiting`.
        one_account: whether a batch has jobs of one account only; asked before each.
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
        """Jobs waiting now."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Queue `job`.

        Raises:
            Busy: `queue_max` jobs wait already, or its account has no room left.
            Unavailable: the lane is closed.
        """
        self._waiting.put(job)
        # First the job, then these looks; `_lead` says that it is idle, or busy, and looks for jobs then: one
        # of them sees it.
        if self._idle:
            self._wake.put(None)
        if self._busy:
            self._call_for_help()

    def close(self) -> None:
        """Finish what was queued, then end the threads. Safe to call again."""
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
        """The next batch, when there is one; none at the end."""
        while True:
            closed = self._closed  # before the look: what is queued comes before the end
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
    """Hand each job back to whoever waits for it, one call for all that share a `deliver`."""
    waiting: dict[Deliver, list[Job]] = {}
    for job in jobs:
        waiting.setdefault(job.deliver, []).append(job)
    for hand_over, done in waiting.items():
        hand_over(done)


def calls(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group the jobs of a batch into calls: those that one `SetBased.many` can answer together.

    All of them wait at the same time, so any order among them is a true one: by account, so that two
    batches never hold accounts that the other one waits for.
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
    """Run a single job; its error is kept, not raised.

    Raises:
        BatchFailed: the transaction is lost, not only this job.
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
    """Answer jobs that share a `SetBased` with one call.

    Raises:
        Exception: whatever `many` raised; then no job was answered.
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
    """Run `fn` through `put` and wait in this thread for what it returns or raises."""
    done = threading.Event()

    def wake(_: Sequence[Job]) -> None:
        done.set()

    job = Job(fn, args, wake)
    put(job)
    done.wait()
    if job.error is not None:
        raise job.error
    return job.value
