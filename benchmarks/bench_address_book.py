"""A big address book beside a small one: what must not grow with the number of contacts.

One book of `Plan.members` contacts for each engine, loaded straight into the tables (see `book`), and in it:

- reading its list of everyone beside its list of few, over HTTP from one service;
- a page of contacts far behind beside the first page, of the book and of the list of everyone, likewise;
- stopping a thousand phones that are in ten lists each beside the same in a book of `SMALL` contacts, through
  the core;
- its size;
- deleting the list of everyone while another client creates lists.

And on a fresh database: attaching 200 contacts to 100 lists beside a bare INSERT of the same rows, by one
statement over the same driver: INSERT ... SELECT from two `json_each` or two `unnest`.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import apsw
import httpx
import psycopg

from benchmarks import book, load, sample
from benchmarks.book import Book, phone
from benchmarks.engines import Engine, Prepared, Running, serving
from benchmarks.load import NUMBER, traffic
from benchmarks.measure import Comparison, Figure, Plan, in_rounds, rounded
from rollbook import contacts, members, stop_list
from rollbook.contacts import NewContact
from rollbook.db import Database, open_database
from rollbook.db.sqlite import WAL_PAGES_MAX

READ = "read a list of all contacts"
PAGE = "page 10,000 of all contacts"
PAGE_OF_LIST = "page 10,000 of a list of all contacts"
STOP = "stop 1,000 phones that are in 10 lists each"
ATTACH = "attach 200 contacts to 100 lists"
SIZE = "database, of a million memberships with their contacts"
DELETE = "delete a list of all contacts: the answer"
WAIT = "while its members are removed: longest wait to create a list"
WAIT_MOST = "while its members are removed: 99 % wait less"
WAIT_BEFORE = "with nothing to remove: longest wait to create a list"
REMOVAL = "until its members are removed"

GOAL_OF_READ = 1.2
GOAL_OF_PAGE = 1.3
GOAL_OF_STOP = 3.0
GOAL_OF_ATTACH = 3.0
GOAL_OF_WAIT_MS = 250.0

SMALL = 10_000
"""Contacts of the small book."""

PAGE_CONTACTS = 50
PAGES_BEFORE = 10_000
STOPPED_AT_ONCE = stop_list.PHONES_MAX
TURNS_OF_A_ROUND = 5
"""What takes milliseconds is measured that often in a round, in turns; the median counts."""

WARM_UP = 2
"""Turns before that do not count."""

LISTS_ATTACHED = members.LISTS_AT_ONCE_MAX
CONTACTS_ATTACHED = members.CONTACTS_AT_ONCE_MAX
LOOK_SECONDS = 0.25
"""How often to look whether the members are gone."""


def run(plan: Plan, engine: Engine) -> list[Comparison | Figure]:
    """Measure as planned, and tell how the big book compares."""
    found: list[Comparison | Figure] = [_attach(plan, engine)]
    small = min(SMALL, plan.members // 2)
    with book.loaded(engine, plan.members) as big:
        found.append(Figure(SIZE, engine.name, book.megabytes(big) / big.memberships * 1e6, "MB"))
        with book.loaded(engine, small) as little:
            found.append(_stop(plan, engine, big, little))
        with serving(big.prepared, *engine.flags) as server:
            found += _read(plan, engine, big, server)
            found += _delete(plan, engine, big, server)
    return found


def _read(plan: Plan, engine: Engine, big: Book, server: Running) -> Iterator[Comparison]:
    connections = min(plan.connections)
    far = max(big.members - PAGES_BEFORE * PAGE_CONTACTS, big.members // 2)
    everyone = f"&groups%5B%5D={big.everyone}"

    def answers(path: str, number: int) -> float:
        requests = traffic(server.url, server.token, "GET", path, low=number, high=number)
        rate = load.drive(requests, connections=connections, seconds=plan.seconds, generator=plan.generator)
        return connections / rate * 1000

    def compared(
        what: str, ours: tuple[str, int], yardstick: str, theirs: tuple[str, int], goal: float
    ) -> Comparison:
        found = in_rounds(
            f"{what}, {engine.name}, {connections} connections",
            plan,
            {"ours": lambda: answers(*ours), "yardstick": lambda: answers(*theirs)},
            " ms",
        )
        return Comparison(
            what, yardstick, engine.name, connections, found["ours"], found["yardstick"], goal, " ms"
        )

    one = f"/api/groups/{NUMBER}"
    yield compared(READ, (one, big.everyone), f"a list of {book.FEW}", (one, big.few), GOAL_OF_READ)
    rows = "/api/contacts?page%5Blimit%5D="
    first, behind = f"{rows}{NUMBER}", f"{rows}{PAGE_CONTACTS}&page%5Bafter%5D={NUMBER}"
    yield compared(PAGE, (behind, far), "page 1", (first, PAGE_CONTACTS), GOAL_OF_PAGE)
    first, behind = f"{first}{everyone}", f"{behind}{everyone}"
    yield compared(PAGE_OF_LIST, (behind, far), "page 1", (first, PAGE_CONTACTS), GOAL_OF_PAGE)


def _stop(plan: Plan, engine: Engine, big: Book, small: Book) -> Comparison:
    with _opened(big.prepared) as in_big, _opened(small.prepared) as in_small:
        turns = [lambda: _stopped(in_big, big), lambda: _stopped(in_small, small)]
        _in_turns(turns, WARM_UP)
        for each in (big, small):
            book.settle(each)
        ours, theirs = _rounds(f"{STOP}, {engine.name}", plan, turns)
    yardstick = f"in a book of {small.members:,}"
    return Comparison(STOP, yardstick, engine.name, 0, ours, theirs, GOAL_OF_STOP, " ms")


def _stopped(database: Database, where: Book) -> float:
    """How long it takes to stop phones of a book; they are let go again."""
    numbers = where.in_many_lists
    phones = [phone(number) for number in random.sample(numbers, min(STOPPED_AT_ONCE, len(numbers)))]
    account_id, channels = where.prepared.account_id, ("sms",)
    started = time.perf_counter()
    stops = database.write(stop_list.add, account_id, phones=phones, channels=channels)
    taken = time.perf_counter() - started
    at_once = stop_list.REMOVED_AT_ONCE_MAX
    for first in range(0, len(stops), at_once):
        ids = [stop.id for stop in stops[first : first + at_once]]
        database.write(stop_list.remove, account_id, ids=ids, channels=channels)
    return taken * 1000


def _attach(plan: Plan, engine: Engine) -> Comparison:
    with engine.database(LISTS_ATTACHED) as prepared, _opened(prepared) as database:
        account_id, list_ids = prepared.account_id, list(prepared.list_ids)
        news = [NewContact(phone(number)) for number in range(CONTACTS_ATTACHED)]
        made = database.write(contacts.create_many, account_id, news)
        contact_ids = [each.id for each in made if isinstance(each, contacts.Contact)]
        with closing(_bare(prepared)) as bare:

            def ours() -> float:
                started = time.perf_counter()
                database.write(members.attach, account_id, contact_ids=contact_ids, list_ids=list_ids)
                taken = time.perf_counter() - started
                database.write(members.detach, account_id, contact_ids=contact_ids, list_ids=list_ids)
                bare.clean()
                return taken * 1000

            def theirs() -> float:
                started = time.perf_counter()
                bare.insert(account_id, list_ids, contact_ids)
                taken = time.perf_counter() - started
                bare.empty(account_id)
                bare.clean()
                return taken * 1000

            _in_turns([ours, theirs], WARM_UP)
            found = _rounds(f"{ATTACH}, {engine.name}", plan, [ours, theirs])
    return Comparison(ATTACH, "the bare INSERT of these rows", engine.name, 0, *found, GOAL_OF_ATTACH, " ms")


class _BareSqlite:
    """A connection with the durability of the service's writer."""

    def __init__(self, url: str) -> None:
        self._connection = apsw.Connection(url.removeprefix("sqlite:///"))
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
        self.close = self._connection.close

    def insert(self, account_id: int, list_ids: Sequence[int], contact_ids: Sequence[int]) -> None:
        """Put every contact into every list."""
        self._connection.execute(
            "INSERT INTO membership (account_id, list_id, contact_id) SELECT ?, list.value, contact.value "
            "FROM json_each(?) AS list CROSS JOIN json_each(?) AS contact",
            (account_id, json.dumps(list_ids), json.dumps(contact_ids)),
        )

    def empty(self, account_id: int) -> None:
        """Take all out again."""
        self._connection.execute("DELETE FROM membership WHERE account_id = ?", (account_id,))

    def clean(self) -> None:
        """Begin each turn with an empty log."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class _BarePostgresql:
    """A connection of its own; each statement is a transaction."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.close = self._connection.close

    def insert(self, account_id: int, list_ids: Sequence[int], contact_ids: Sequence[int]) -> None:
        """Put every contact into every list."""
        self._connection.execute(
            "INSERT INTO membership (account_id, list_id, contact_id) SELECT %s, list.id, contact.id "
            "FROM unnest(%s::bigint[]) AS list (id) CROSS JOIN unnest(%s::bigint[]) AS contact (id)",
            (account_id, list_ids, contact_ids),
        )

    def empty(self, account_id: int) -> None:
        """Take all out again."""
        self._connection.execute("DELETE FROM membership WHERE account_id = %s", (account_id,))

    def clean(self) -> None:
        """Begin each turn without dead rows."""
        self._connection.execute("VACUUM membership")


def _bare(prepared: Prepared) -> _BareSqlite | _BarePostgresql:
    sqlite = prepared.url.startswith("sqlite:")
    return _BareSqlite(prepared.url) if sqlite else _BarePostgresql(prepared.url)


def _delete(plan: Plan, engine: Engine, big: Book, server: Running) -> list[Figure]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=load.ANSWER_SECONDS_MAX) as client:
        started = time.perf_counter()
        before = _waits(client, lambda: time.perf_counter() - started < plan.rounds * plan.seconds)
        started = time.perf_counter()
        client.delete(f"/api/groups/{big.everyone}").raise_for_status()
        answered = time.perf_counter() - started
        waits = _waits(client, lambda: book.leftovers(big) > 0)
        removed = time.perf_counter() - started
    print(f"\n{REMOVAL}, {engine.name}: {removed:.1f} s, {len(waits):,} lists created meanwhile", flush=True)
    return [
        Figure(DELETE, engine.name, answered * 1000, "ms"),
        Figure(WAIT_BEFORE, engine.name, max(before), "ms"),
        Figure(WAIT, engine.name, max(waits), "ms", GOAL_OF_WAIT_MS),
        Figure(WAIT_MOST, engine.name, statistics.quantiles([*waits, *waits], n=100)[-1], "ms"),
        Figure(REMOVAL, engine.name, removed, "s"),
    ]


def _waits(client: httpx.Client, going_on: Callable[[], bool]) -> list[float]:
    """Milliseconds that each of many lists took to be created, one after another, while `going_on`."""
    waits: list[float] = []
    low, high = sample.NAME_NUMBERS
    while going_on() or not waits:
        until = time.perf_counter() + LOOK_SECONDS
        while time.perf_counter() < until:
            new = {"name": sample.NAME.format(number=random.randint(low, high))}
            started = time.perf_counter()
            client.post("/api/groups", json=new).raise_for_status()
            waits.append((time.perf_counter() - started) * 1000)
    return waits


def _rounds(title: str, plan: Plan, turns: Sequence[Callable[[], float]]) -> tuple[list[float], list[float]]:
    """Milliseconds of ours and of the yardstick, the median of each round, measured in turns."""
    print(f"\n{title}", flush=True)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(plan.rounds):
        for found, taken in zip((ours, theirs), _in_turns(turns, TURNS_OF_A_ROUND), strict=True):
            found.append(statistics.median(taken))
        told = f"ours {rounded(ours[-1])} ms, yardstick {rounded(theirs[-1])} ms"
        print(f"  round {number + 1}: {told}", flush=True)
    return ours, theirs


def _in_turns(turns: Sequence[Callable[[], float]], times: int) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in turns]
    for number in range(times):
        for index in range(len(turns)):
            chosen = (index + number) % len(turns)
            taken[chosen].append(turns[chosen]())
    return taken


@contextmanager
def _opened(prepared: Prepared) -> Iterator[Database]:
    database = open_database(prepared.url)
    try:
        yield database
    finally:
        database.close()


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
