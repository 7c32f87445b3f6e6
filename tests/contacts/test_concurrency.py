"""Many threads change the same contacts in the same lists; nobody is refused, and no count drifts.

`SOAK_SECONDS=60 .venv/bin/pytest tests/contacts/test_concurrency.py -s` does it for longer.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from rollbook import contacts, lists, members, sandbox, stop_list, upserts, verify
from rollbook.accounts import Account
from rollbook.channels import CHANNELS
from rollbook.contacts import ContactChange, NewContact
from rollbook.db import Database, Transaction
from rollbook.errors import AlreadyExists, NotFound, UnknownIds
from rollbook.lists import ListChange, NewList, Stats
from rollbook.search import PageRequest, Search
from tests.conftest import opened
from tests.length import sized

SECONDS = sized(1, 3, "SOAK_SECONDS")
THREADS = 16
PHONES = range(380_000_000_001, 380_000_000_051)
LISTS = 3
SPARE_PHONES = range(380_000_000_101, 380_000_000_111)
"""Of contacts that come and go."""

Work = Callable[[Database, random.Random], str]


class _Kept(msgspec.Struct):
    list_id: int
    items: int
    members: int


_KEPT = """
    SELECT contact_list.id AS list_id, contact_list.items, count(membership.contact_id) AS members
    FROM contact_list LEFT JOIN membership
      ON membership.account_id = contact_list.account_id AND membership.list_id = contact_list.id
    WHERE contact_list.account_id = :account_id
    GROUP BY contact_list.id, contact_list.items
"""


def _kept(tx: Transaction, account_id: int) -> tuple[list[_Kept], list[verify.Drift]]:
    return tx.all(_Kept, _KEPT, account_id=account_id), verify.recount(tx, account_id)


@pytest.fixture
def command_line(db: Database, url: str) -> Iterator[Database | None]:
    """The database as a command on the side has it open, where that may be."""
    if db.embedded:
        yield None
        return
    with opened(url) as another:
        yield another


@contextmanager
def services(db: Database, url: str) -> Iterator[list[Database]]:
    """The databases that services would have open: an embedded one has exactly one service."""
    if db.embedded:
        yield [db]
        return
    with opened(url) as another:
        yield [db, another]


def soak(databases: list[Database], work: Work, watch: Callable[[Database], None]) -> Counter[str]:
    """Let `THREADS` threads do `work` until the time is up, and look on.

    Returns:
        How often each thing was done.
    """
    done: list[Counter[str]] = [Counter() for _ in range(THREADS)]
    failed: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def run(number: int) -> None:
        chance = random.Random(number)
        try:
            while time.monotonic() < end and not failed:
                done[number][work(databases[number % len(databases)], chance)] += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end and not failed:
        for database in databases:
            watch(database)
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    total = sum(done, Counter[str]())
    print(f"\n{databases[0].engine}: {total.total()} in {SECONDS} s: {dict(total.most_common())}")
    return total


def assert_exact(database: Database, account_id: int) -> None:
    kept, drift = database.read(_kept, account_id)
    assert drift == []
    assert [each.items for each in kept] == [each.members for each in kept]


@pytest.mark.sized
@pytest.mark.timeout(120 + 3 * SECONDS)
def test_counts_stay_exact_while_many_attach_detach_stop_and_unstop(
    db: Database, alice: Account, url: str
) -> None:
    account_id = alice.account_id
    list_ids = [db.write(lists.create, account_id, NewList(f"list {n}")).id for n in range(LISTS)]
    made = db.write(upserts.upsert_many, account_id, [NewContact(phone) for phone in PHONES])
    contact_ids = [each.id for each in made if isinstance(each, upserts.Outcome)]
    assert len(contact_ids) == len(PHONES)

    def work(database: Database, chance: random.Random) -> str:
        some = chance.sample(contact_ids, chance.randint(1, len(contact_ids)))
        of = chance.sample(list_ids, chance.randint(1, LISTS))
        channels = chance.sample(list(CHANNELS), chance.randint(1, len(CHANNELS)))
        what = chance.choice(["attach", "detach", "stop", "unstop"])
        if what == "attach":
            database.write(members.attach, account_id, contact_ids=some, list_ids=of)
        elif what == "detach":
            database.write(members.detach, account_id, contact_ids=some, list_ids=of)
        elif what == "stop":
            phones = chance.sample(PHONES, len(some))
            database.write(stop_list.add, account_id, phones=phones, channels=channels)
        else:
            rows = database.read(stop_list.find, account_id, Search(page=PageRequest(limit=len(PHONES)))).rows
            ids = [row.id for row in chance.sample(rows, len(rows) // 2)]
            database.write(stop_list.remove, account_id, ids=ids, channels=channels)
        return what

    with services(db, url) as databases:
        done = soak(databases, work, lambda database: assert_exact(database, account_id))
        assert set(done) == {"attach", "detach", "stop", "unstop"}
        for database in databases:
            assert_exact(database, account_id)


@pytest.mark.sized
@pytest.mark.timeout(120 + 3 * SECONDS)
def test_counts_stay_exact_while_contacts_and_lists_come_and_go_too(
    db: Database, alice: Account, url: str, command_line: Database | None
) -> None:
    """Every writer at once, of two accounts; refusals that a caller can expect are the only ones."""
    accounts_of = [alice.account_id, alice.sandbox_id]
    for account_id in accounts_of:
        for n in range(LISTS):
            db.write(lists.create, account_id, NewList(f"list {n}"))

    def known(database: Database, account_id: int) -> tuple[list[int], list[int]]:
        found = database.read(lists.find, account_id, Search()).rows
        rows = database.read(
            lambda tx, account_id: tx.all(
                int, "SELECT id FROM contact WHERE account_id = :account_id", account_id=account_id
            ),
            account_id,
        )
        return [each.id for each in found], rows

    def work(database: Database, chance: random.Random) -> str:
        account_id = chance.choice(accounts_of)
        list_ids, contact_ids = known(database, account_id)
        of = chance.sample(list_ids, min(len(list_ids), 2))
        phones = chance.sample(SPARE_PHONES, 3)
        what = chance.choice(list(doing))
        try:
            doing[what](database, chance, account_id, of, contact_ids, phones)
        except (NotFound, AlreadyExists, UnknownIds):
            return f"{what} refused"  # another thread was quicker
        return what

    def change_phone(
        database: Database,
        chance: random.Random,
        account_id: int,
        of: list[int],
        ids: list[int],
        phones: list[int],
    ) -> None:
        if ids:
            change = ContactChange(phones[0], tuple(of))
            database.write(contacts.update, account_id, chance.choice(ids), change)

    doing: dict[str, Callable[[Database, random.Random, int, list[int], list[int], list[int]], object]] = {
        "create": lambda d, r, a, of, ids, phones: d.write(
            contacts.create, a, NewContact(phones[0], tuple(of))
        ),
        "upsert": lambda d, r, a, of, ids, phones: d.write(
            upserts.upsert_many, a, [NewContact(phone, tuple(of)) for phone in phones]
        ),
        "change phone": change_phone,
        "delete": lambda d, r, a, of, ids, phones: d.write(
            contacts.delete_many, a, contact_ids=r.sample(ids, len(ids) // 3), list_ids=of[:1]
        ),
        "delete list": lambda d, r, a, of, ids, phones: [d.write(lists.delete, a, id) for id in of[:1]],
        "create list": lambda d, r, a, of, ids, phones: d.write(
            lists.create, a, NewList(f"list {r.randrange(LISTS)}", None, r.random() < 0.5)
        ),
        "rename list": lambda d, r, a, of, ids, phones: [
            d.write(lists.update, a, id, ListChange(f"list {r.randrange(LISTS)}")) for id in of[:1]
        ],
        "attach": lambda d, r, a, of, ids, phones: d.write(
            members.attach, a, contact_ids=ids[:5], list_ids=of
        ),
        "detach": lambda d, r, a, of, ids, phones: d.write(
            members.detach, a, contact_ids=ids[:5], list_ids=of
        ),
        "stop": lambda d, r, a, of, ids, phones: d.write(
            stop_list.add, a, phones=phones, channels=r.sample(list(CHANNELS), 2)
        ),
        "unstop": lambda d, r, a, of, ids, phones: d.write(
            stop_list.remove,
            a,
            ids=[row.id for row in d.read(stop_list.find, a, Search()).rows],
            channels=r.sample(list(CHANNELS), 2),
        ),
        "wipe": lambda d, r, a, of, ids, phones: (
            (command_line or d).write(sandbox.wipe, name="alice") if r.random() < 0.1 else None
        ),
    }

    def watch(database: Database) -> None:
        for account_id in accounts_of:
            assert_exact(database, account_id)

    with services(db, url) as databases:
        done = soak(databases, work, watch)
        assert set(done) >= {"create", "upsert", "attach", "stop", "unstop", "delete"}
        for database in databases:
            watch(database)
        for account_id in accounts_of:
            found = db.read(lists.find, account_id, Search()).rows
            assert sum(each.is_default for each in found) <= 1


def test_two_services_never_create_the_same_contact_twice(db: Database, alice: Account, url: str) -> None:
    """Sixteen threads upsert the same fifty phones into the same list at the same moment."""
    list_id = db.write(lists.create, alice.account_id, NewList("Customers")).id
    start = threading.Barrier(THREADS)
    created: Counter[str] = Counter()
    lock = threading.Lock()

    with services(db, url) as databases:

        def run(number: int) -> None:
            start.wait()
            database = databases[number % len(databases)]
            outcomes = database.write(upserts.add_phones, alice.account_id, list_id, list(PHONES))
            with lock:
                created.update(each.result for each in outcomes if isinstance(each, upserts.Outcome))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert created == {"created": len(PHONES), "unchanged": (THREADS - 1) * len(PHONES)}
    stats = db.read(lists.stats, alice.account_id, list_id)
    assert stats == Stats(list_id, len(PHONES), 0, 0, 0, 0, 0)
    assert_exact(db, alice.account_id)
