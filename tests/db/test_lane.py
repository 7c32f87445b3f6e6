"""The threads that run waiting jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from rollbook.db.lanes import Job, Lane
from rollbook.errors import Unavailable


class Runner:
    """Runs each job, and remembers which thread did."""

    def __init__(self) -> None:
        self.closed = False

    def run(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.fn(None)
            job.value = threading.current_thread().name

    def close(self) -> None:
        self.closed = True


class Outcomes:
    """Jobs handed back, in order."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._changed = threading.Condition()

    def deliver(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            self.jobs += jobs
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[Job]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.jobs) >= count, timeout=20)
            return list(self.jobs)


def lane(runners: list[Runner], threads: int) -> Lane:
    def make() -> Runner:
        runners.append(Runner())
        return runners[-1]

    return Lane("test", make, threads=threads, batch_max=4, queue_max=1000)


def nothing(_: object) -> None:
    """A job that is done at once."""


def stuck(until: threading.Event) -> Callable[[object], None]:
    def wait(_: object) -> None:
        assert until.wait(20)

    return wait


@pytest.mark.parametrize("threads", [2, 3])
def test_a_slow_batch_does_not_hold_up_the_others(threads: int) -> None:
    runners: list[Runner] = []
    outcomes, free = Outcomes(), threading.Event()
    work = lane(runners, threads)
    work.put(Job(stuck(free), (), outcomes.deliver))
    time.sleep(0.02)
    for _ in range(3):
        for _ in range(10):
            work.put(Job(nothing, (), outcomes.deliver))
        time.sleep(0.15)
    helped = outcomes.wait_for(30)
    assert {job.value for job in helped} <= {"test-1", "test-2"}
    free.set()
    assert outcomes.wait_for(31)[-1].value == "test-0"
    work.close()
    assert [runner.closed for runner in runners] == [True] * threads


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pause", [0, 0.06, 0.2])
def test_whatever_is_queued_is_done_before_the_end(threads: int, pause: float) -> None:
    """Also what a helper takes in the moment when the lane is closed."""
    runners: list[Runner] = []
    outcomes, free = Outcomes(), threading.Event()
    work = lane(runners, threads)
    work.put(Job(stuck(free), (), outcomes.deliver))
    time.sleep(0.02)
    for _ in range(50):
        work.put(Job(nothing, (), outcomes.deliver))
    closing = threading.Thread(target=work.close)
    closing.start()
    time.sleep(pause)
    free.set()
    closing.join(20)
    assert not closing.is_alive()
    assert len(outcomes.jobs) == 51
    assert all(job.error is None for job in outcomes.jobs)
    with pytest.raises(Unavailable):
        work.put(Job(nothing, (), outcomes.deliver))
    work.close()


def test_one_thread_does_the_work_while_it_is_quick() -> None:
    runners: list[Runner] = []
    outcomes = Outcomes()
    work = lane(runners, 3)
    for number in range(200):
        work.put(Job(nothing, (), outcomes.deliver))
        if number % 20 == 0:
            time.sleep(0.001)
    assert {job.value for job in outcomes.wait_for(200)} == {"test-0"}
    work.close()


def test_a_runner_that_raises_fails_its_jobs_and_goes_on() -> None:
    class Broken(Runner):
        def run(self, jobs: list[Job]) -> None:
            if jobs[0].args:
                raise ZeroDivisionError
            super().run(jobs)

    outcomes = Outcomes()
    work = Lane("test", Broken, threads=1, batch_max=1, queue_max=10)
    work.put(Job(nothing, (1,), outcomes.deliver))
    work.put(Job(nothing, (), outcomes.deliver))
    first, second = outcomes.wait_for(2)
    assert isinstance(first.error, ZeroDivisionError)
    assert (second.error, second.value) == (None, "test-0")
    work.close()
