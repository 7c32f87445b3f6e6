"""Many jobs, one COMMIT: each succeeds or fails by itself, and none is told more than is true."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from rollbook import accounts, lists, search
from rollbook.accounts import Account
from rollbook.db import Database, EngineLimits, Job, Observer, SetBased, Transaction, open_database
from rollbook.db.lanes import BatchFailed
from rollbook.errors import AlreadyExists, Busy, NotFound, RollbookError, Unavailable
from rollbook.lists import ContactList, ListChange, NewList
from tests.servers import Postgres


class Commits(Observer):
    """Remembers how many jobs each COMMIT had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def committed(self, jobs: int, seconds: float) -> None:
        assert seconds >= 0
        self.sizes.append(jobs)


class Batch:
    """Runs jobs in one batch: holds the only writer while they queue up."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs: list[Job] = []
        self._done = threading.Semaphore(0)

    def add(self, fn: Callable[..., Any], *args: Any) -> Job:
        """Queue a job for the batch."""
        self.jobs.append(Job(fn, args, self._deliver))
        return self.jobs[-1]

    def run(self) -> None:
        """Run them and wait for all outcomes."""
        held, free = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> None:
            held.set()
            free.wait(10)

        self.database.enqueue_write(Job(hold, (), self._deliver))
        held.wait(10)
        for job in self.jobs:
            self.database.enqueue_write(job)
        free.set()
        for _ in range(len(self.jobs) + 1):
            assert self._done.acquire(timeout=20)

    def _deliver(self, jobs: Sequence[Job]) -> None:
        for _ in jobs:
            self._done.release()


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def single(url: str, commits: Commits) -> Any:
    """A database with one writer, so that what queues up is one batch."""
    database = open_database(url, EngineLimits(writer_threads=1), commits, create=True)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def account(single: Database) -> Account:
    return single.write(accounts.create, name="alice")


def fail(tx: Transaction, account_id: int) -> None:
    tx.run("UPDATE contact_list SET description = 'touched' WHERE account_id = :a", a=account_id)
    raise ZeroDivisionError


def test_jobs_of_a_batch_share_a_commit_and_fail_alone(
    single: Database, account: Account, commits: Commits
) -> None:
    a = account.account_id
    first = single.write(lists.create, a, NewList("first"))
    commits.sizes.clear()
    batch = Batch(single)
    created = [batch.add(lists.create, a, NewList(f"list {number}")) for number in range(10)]
    again = batch.add(lists.create, a, NewList("list 3"))
    broken = batch.add(fail, a)
    renamed = batch.add(lists.update, a, first.id, ListChange("renamed"))
    taken = batch.add(lists.update, a, first.id, ListChange("list 5"))
    unknown = batch.add(lists.delete, a, 999_999)
    batch.run()
    assert [job.error for job in created] == [None] * 10
    assert isinstance(again.error, AlreadyExists)
    assert isinstance(broken.error, ZeroDivisionError)
    assert (renamed.error, renamed.value.name) == (None, "renamed")
    assert isinstance(taken.error, AlreadyExists)
    assert isinstance(unknown.error, NotFound)
    assert commits.sizes == [1, 15]
    found = single.read(lists.find, a, search.Search())
    assert {row.name for row in found.rows} == {"renamed", *(f"list {n}" for n in range(10))}
    assert all(row.description is None for row in found.rows)


def test_of_equal_names_in_a_batch_the_first_in_line_wins(single: Database, account: Account) -> None:
    batch = Batch(single)
    jobs = [batch.add(lists.create, account.account_id, NewList("same")) for _ in range(5)]
    batch.run()
    assert [job.error is None for job in jobs] == [True, False, False, False, False]


def test_of_new_default_lists_in_a_batch_the_last_one_stays(single: Database, account: Account) -> None:
    batch = Batch(single)
    for number in range(5):
        batch.add(lists.create, account.account_id, NewList(f"list {number}", None, number in (1, 3)))
    batch.run()
    assert [job.value.is_default for job in batch.jobs] == [False, True, False, True, False]
    found = single.read(lists.find, account.account_id, search.Search())
    assert [row.name for row in found.rows if row.is_default] == ["list 3"]


def test_a_set_based_call_that_fails_is_done_one_by_one(single: Database, account: Account) -> None:
    def one(tx: Transaction, account_id: int, number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        made: ContactList = lists.create(tx, account_id, NewList(f"list {number}"))
        return made.id

    def many(tx: Transaction, account_id: int, numbers: Sequence[int]) -> list[int | RollbookError]:
        return [one(tx, account_id, number) for number in numbers]

    for alone in (True, False):
        together = SetBased(one, many)
        batch = Batch(single)
        jobs = [batch.add(together, account.account_id, number) for number in range(5)]
        other = None if alone else batch.add(lists.create, account.account_id, NewList("other"))
        batch.run()
        assert [type(job.error) for job in jobs if job.error] == [ZeroDivisionError]
        assert other is None or other.error is None
        for row in single.read(lists.find, account.account_id, search.Search()).rows:
            single.write(lists.delete, account.account_id, row.id)


def test_when_the_whole_transaction_fails_nobody_is_told_that_it_worked(
    single: Database, account: Account
) -> None:
    def lose(tx: Transaction) -> None:
        raise BatchFailed(Unavailable("The disk is gone."))

    batch = Batch(single)
    jobs = [batch.add(lists.create, account.account_id, NewList(f"list {number}")) for number in range(3)]
    jobs.append(batch.add(lose))
    batch.run()
    assert [str(job.error) for job in jobs] == ["The disk is gone."] * 4
    assert [job.value for job in jobs] == [None] * 4
    assert single.read(lists.find, account.account_id, search.Search()).total == 0
    assert single.write(lists.create, account.account_id, NewList("list 1")).name == "list 1"


@pytest.mark.parametrize("work", ["write", "read"])
def test_a_full_queue_refuses_and_changes_nothing(url: str, work: str) -> None:
    limits = EngineLimits(write_queue_max=2, read_queue_max=2, writer_threads=1, reader_threads=1)
    database = open_database(url, limits, create=True)
    database.migrate()
    enqueue = database.enqueue_write if work == "write" else database.enqueue_read
    held, free, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def hold(tx: Transaction) -> None:
        held.set()
        free.wait(10)

    def deliver(jobs: Sequence[Job]) -> None:
        for _ in jobs:
            done.release()

    enqueue(Job(hold, (), deliver))
    held.wait(10)
    for _ in range(2):
        enqueue(Job(lambda tx: None, (), deliver))
    assert (database.writes_waiting, database.reads_waiting) == ((2, 0) if work == "write" else (0, 2))
    with pytest.raises(Busy):
        enqueue(Job(lambda tx: None, (), deliver))
    free.set()
    for _ in range(3):
        assert done.acquire(timeout=10)
    assert database.writes_waiting + database.reads_waiting == 0
    database.close()


def test_close_finishes_what_was_accepted(single: Database, account: Account, url: str) -> None:
    jobs = [
        Job(lists.create, (account.account_id, NewList(f"list {number}")), lambda jobs: None)
        for number in range(200)
    ]
    for job in jobs:
        single.enqueue_write(job)
    single.close()
    assert all(job.error is None and job.value.id for job in jobs)
    database = open_database(url, create=True)
    assert database.read(lists.find, account.account_id, search.Search()).total == 200
    database.close()


def test_writers_that_wait_for_each_other_crosswise_both_succeed(url: str) -> None:
    """Two transactions lock the same two rows in opposite order: one is the deadlock's victim and runs again."""
    database = open_database(url, EngineLimits(writer_threads=2, write_batch_max=1), create=True)
    database.migrate()
    account_id = database.write(accounts.create, name="alice").account_id
    ids = [database.write(lists.create, account_id, NewList(f"list {number}")).id for number in range(2)]
    meeting = threading.Barrier(2, timeout=2)
    runs: list[str] = []

    def cross(tx: Transaction, first: int, second: int, label: str) -> None:
        runs.append(label)
        describe(tx, first, label)
        with contextlib.suppress(threading.BrokenBarrierError):  # one writer, or the victim's second run
            meeting.wait()
        describe(tx, second, label)

    def describe(tx: Transaction, list_id: int, text: str) -> None:
        """Without the account's lock, which would keep the two apart."""
        tx.run(
            "UPDATE contact_list SET description = :text WHERE account_id = :account_id AND id = :list_id",
            account_id=account_id,
            list_id=list_id,
            text=text,
        )

    threads = [
        threading.Thread(target=database.write, args=(cross, *order, label))
        for order, label in ((ids, "one"), (ids[::-1], "two"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = database.read(lists.find, account_id, search.Search()).rows
    assert {row.description for row in found} in ({"one"}, {"two"})
    if database.engine == "postgresql":
        assert len(runs) > 2, "there was no deadlock to recover from"
    database.close()


@pytest.mark.not_on_citus("put a trigger on a table, which Citus does not take on a distributed one")
@pytest.mark.parametrize("change", ["a single statement", "a transaction"])
def test_a_connection_that_breaks_during_its_commit_is_told_as_uncertain(
    postgres: Postgres, change: str
) -> None:
    """A deferred trigger ends the server's side of the connection in the middle of the COMMIT."""
    url = postgres.create_database(f"breaks_{change.replace(' ', '_')}")
    database = open_database(url, EngineLimits(writer_threads=1), create=True)
    database.migrate()
    account_id = database.write(accounts.create, name="alice").account_id
    made = database.write(lists.create, account_id, NewList("before"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
        """)
        connection.execute("""
            CREATE CONSTRAINT TRIGGER leave AFTER INSERT OR UPDATE ON contact_list
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION leave()
        """)
        broken: Callable[[], object] = {
            "a single statement": lambda: database.write(lists.create, account_id, NewList("after")),
            "a transaction": lambda: database.write(
                lists.update, account_id, made.id, ListChange(name="after")
            ),
        }[change]
        with pytest.raises(Unavailable, match="may or may not be stored"):
            broken()
        connection.execute("DROP TRIGGER leave ON contact_list")
    assert database.write(lists.create, account_id, NewList("later")).name == "later"
    assert {row.name for row in database.read(lists.find, account_id, search.Search()).rows} == {
        "before",
        "later",
    }
    database.close()
