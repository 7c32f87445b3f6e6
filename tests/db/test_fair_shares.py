"""An account that floods a lane holds nobody else up. Counted, not timed: what runs before whoever comes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from rollbook import accounts, lists
from rollbook.accounts import Account
from rollbook.db import Database, EngineLimits, Job, Transaction, open_database
from rollbook.db.waiting import BATCH_SECONDS, NEIGHBOR_SECONDS, SHARED_BATCH_SECONDS, Waiting
from rollbook.errors import Busy
from rollbook.lists import NewList

BATCH = 16
FLOOD = 200
FLOODER, QUIET, OTHER = 1, 2, 3


def plain(*_: object) -> None:
    """What a job calls."""


def heavy(*_: object) -> None:
    """What a job calls that takes long."""


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def job(account: int, number: int = 0, fn: object = plain, seconds: float = 0.0) -> Job:
    assert callable(fn)
    made = Job(fn, (account, number), lambda _: None)
    made.seconds = seconds
    return made


def waiting(most: int = 10_000, *flood: Job) -> Waiting[Job]:
    queue: Waiting[Job] = Waiting(most, clock=Clock())
    for each in flood:
        queue.put(each)
    return queue


def accounts_in(batch: Sequence[Job]) -> list[int]:
    return [each.args[0] for each in batch]


def test_where_accounts_are_on_several_machines_a_batch_has_one_of_them() -> None:
    queue = waiting(100, *[job(account, number) for number in range(3) for account in (FLOODER, QUIET, 0)])
    taken = [queue.take(2, one_account=True) for _ in range(6)]
    assert [accounts_in(batch) for batch in taken] == [
        [FLOODER, FLOODER], [QUIET, QUIET], [0, 0], [FLOODER], [QUIET], [0]
    ]  # fmt: skip
    assert queue.take(2, one_account=True) == []
    assert len(queue) == 0


def test_whoever_comes_is_in_the_next_batch() -> None:
    queue = waiting(10_000, *[job(FLOODER, number) for number in range(5000)])
    for number in range(20):
        queue.put(job(QUIET, number))
        batch = queue.take(BATCH)
        assert len(batch) == BATCH
        assert accounts_in(batch).count(QUIET) == 1


def test_accounts_that_all_have_enough_waiting_get_alike_much() -> None:
    every = [job(account, number) for account in (FLOODER, QUIET, OTHER) for number in range(500)]
    queue = waiting(10_000, *every)
    taken = accounts_in([each for _ in range(30) for each in queue.take(BATCH)])
    assert {taken.count(account) for account in (FLOODER, QUIET, OTHER)} == {160}


def test_within_an_account_the_first_come_is_the_first_served() -> None:
    queue = waiting()
    for number in range(300):
        queue.put(job((FLOODER, FLOODER, QUIET)[number % 3], number))
    taken: list[Job] = []
    while batch := queue.take(7):
        taken += batch
    assert len(taken) == 300
    assert len(queue) == 0
    for account in (FLOODER, QUIET):
        numbers = [each.args[1] for each in taken if each.args[0] == account]
        assert numbers == sorted(numbers)


def test_an_account_alone_has_whole_batches() -> None:
    """Group commit is as it was."""
    queue = waiting(10_000, *[job(FLOODER, number) for number in range(600)])
    assert [len(queue.take(256)) for _ in range(3)] == [256, 256, 88]


def test_a_batch_for_several_accounts_is_short() -> None:
    seconds = SHARED_BATCH_SECONDS / 4
    queue = waiting(10_000, *[job(FLOODER, number) for number in range(5000)])
    queue.learn([job(FLOODER, seconds=seconds), job(QUIET, seconds=seconds)])
    assert len(queue.take(256)) == 256  # nobody else uses the lane
    queue.put(job(QUIET))
    batch = queue.take(256)
    assert sorted(accounts_in(batch)) == [FLOODER, FLOODER, FLOODER, QUIET]
    assert accounts_in(queue.take(256)) == [FLOODER] * 4  # whoever comes next need not wait for long


def test_an_account_that_was_not_seen_for_long_is_no_neighbor() -> None:
    clock = Clock()
    queue: Waiting[Job] = Waiting(10_000, clock=clock)
    queue.learn([job(FLOODER, seconds=SHARED_BATCH_SECONDS)])
    for number in range(600):
        queue.put(job(FLOODER, number))
    queue.put(job(QUIET))
    assert accounts_in(queue.take(256)) == [FLOODER, QUIET]
    assert accounts_in(queue.take(256)) == [FLOODER]
    clock.now = NEIGHBOR_SECONDS + 1
    assert len(queue.take(256)) > BATCH_SECONDS / SHARED_BATCH_SECONDS / 2


def test_long_jobs_run_one_by_one_beside_others_and_starve_nobody() -> None:
    queue = waiting(10_000, *[job(FLOODER, number, heavy) for number in range(50)])
    queue.learn([job(FLOODER, fn=heavy, seconds=1.0), job(QUIET, seconds=0.0001)])
    taken: list[list[int]] = []
    for number in range(20):
        queue.put(job(QUIET, number))
        taken.append(accounts_in(queue.take(256)))
    assert max(batch.count(FLOODER) for batch in taken) == 1
    assert sum(batch.count(FLOODER) for batch in taken) >= 9
    assert sum(batch.count(QUIET) for batch in taken) >= 10
    for one, next_one in itertools.pairwise(taken):
        assert QUIET in one + next_one


@pytest.mark.parametrize("most", [1, 2, 7, 4096])
def test_one_account_cannot_fill_the_queue(most: int) -> None:
    queue = waiting(most)
    for number in range(max(1, (most + 1) // 2)):
        queue.put(job(FLOODER, number))
    with pytest.raises(Busy):
        queue.put(job(FLOODER))
    if most > 1:
        queue.put(job(QUIET))
    queue.take(most)
    queue.put(job(FLOODER))


@pytest.fixture
def narrow(url: str) -> Iterator[Database]:
    """A database with one writer and small batches."""
    database = open_database(url, EngineLimits(write_batch_max=BATCH, writer_threads=1), create=True)
    database.migrate()
    yield database
    database.close()


def test_beside_a_flood_a_change_is_stored_with_the_next_commit(narrow: Database) -> None:
    flooder, quiet = (narrow.write(accounts.create, name=name) for name in ("flooder", "quiet"))
    held, free = threading.Event(), threading.Event()
    delivered: list[Job] = []
    all_done = threading.Event()

    def hold(tx: Transaction) -> None:
        held.set()
        assert free.wait(60)

    def deliver(jobs: Sequence[Job]) -> None:
        delivered.extend(jobs)
        if len(delivered) == FLOOD + 2:
            all_done.set()

    def create(account: Account, number: int) -> Job:
        made = Job(lists.create, (account.account_id, NewList(f"list {number}")), deliver)
        narrow.enqueue_write(made)
        return made

    narrow.enqueue_write(Job(hold, (), deliver))
    assert held.wait(60)
    flood = [create(flooder, number) for number in range(FLOOD)]
    change = create(quiet, 0)
    free.set()
    assert all_done.wait(60)
    assert [each.error for each in (*flood, change)] == [None] * (FLOOD + 1)
    assert delivered.index(change) <= BATCH  # `hold`, and its own batch
    mine = [each for each in delivered if each in flood]
    assert mine == flood
