"""A fresh database on either engine for each measurement, and servers on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import psycopg

from benchmarks import sample
from rollbook import accounts, lists
from rollbook.db import open_database
from rollbook.lists import NewList
from tests.servers import Postgres, Service

ENGINES = ("sqlite", "postgresql")

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
"""PostgreSQL as it comes; said aloud because the tests switch it off."""

ACCOUNT = "benchmark"


@dataclass(frozen=True)
class Prepared:
    """A migrated database with an account.

    Args:
        key: of the account, with every right.
        list_ids: the ids of its lists, without gaps.
    """

    url: str
    account_id: int
    key: str
    list_ids: range


@dataclass(frozen=True)
class Running:
    """A server that answers, and a token for it."""

    url: str
    token: str
    process_id: int


class Engine(ABC):
    """Where databases are made.

    Attributes:
        version: of SQLite or of PostgreSQL, in words.
        flags: with which the service is started on a machine that is its own.
    """

    name: str
    version: str
    flags: tuple[str, ...] = ()

    @abstractmethod
    def database(self, lists_wanted: int = 0) -> AbstractContextManager[Prepared]:
        """A fresh database with so many lists; it is gone afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing running and nothing on disk."""


class Sqlite(Engine):
    """Files in the temporary folder, which must be on a disk (see `report.fsync_microseconds`)."""

    name = "sqlite"
    version = f"SQLite {apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})"

    @contextmanager
    def database(self, lists_wanted: int = 0) -> Iterator[Prepared]:
        """See `Engine.database`."""
        folder = Path(tempfile.mkdtemp(prefix="rollbook-bench-"))
        try:
            yield _prepare(f"sqlite:///{folder}/rollbook.db", lists_wanted)
        finally:
            shutil.rmtree(folder)

    def close(self) -> None:
        """Each database is gone already."""


class Postgresql(Engine):
    """Databases on a server of our own, with the settings that PostgreSQL comes with."""

    name = "postgresql"
    flags = ("--workers", os.environ.get("WORKERS", str(os.cpu_count() or 1)))

    def __init__(self) -> None:
        self.server = Postgres(*DURABLE)
        self._made = 0
        with psycopg.connect(self.server.url()) as connection:
            self.version = f"PostgreSQL {connection.info.parameter_status('server_version')}"

    @contextmanager
    def database(self, lists_wanted: int = 0) -> Iterator[Prepared]:
        """See `Engine.database`. Dropping it makes a checkpoint, so each one begins alike."""
        self._made += 1
        name = f"bench_{self._made}"
        url = self.server.create_database(name)
        try:
            yield _prepare(url, lists_wanted)
        finally:
            self.server.drop_database(name)

    def close(self) -> None:
        self.server.remove()


@contextmanager
def opened(name: str) -> Iterator[Engine]:
    """An engine by its name."""
    engine: Engine = Sqlite() if name == "sqlite" else Postgresql()
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def serving(prepared: Prepared, *flags: str, module: str = "rollbook") -> Iterator[Running]:
    """`rollbook serve` in a process of its own, with its defaults but for `flags`; its log goes to a file."""
    service = Service(prepared.url, *flags, module=module)
    try:
        with service.client(prepared.key) as client:
            answer = client.post("/api/auth/login", json={"api_key": prepared.key}).raise_for_status()
        yield Running(service.url, answer.json()["bearer"], service.process.pid)
    finally:
        status = service.stop()
    assert status == 0, f"the server ended with {status}: {service.log()[-2000:]}"


def _prepare(url: str, lists_wanted: int) -> Prepared:
    database = open_database(url, create=True)
    try:
        database.migrate()
        account_id = database.write(accounts.create, name=ACCOUNT).account_id
        made = database.write(accounts.create_key, account=ACCOUNT, rights=accounts.RIGHTS)
        low = sample.NAME_NUMBERS[0]
        news = [
            NewList(sample.NAME.format(number=low + index), sample.DESCRIPTION)
            for index in range(lists_wanted)
        ]
        created = database.write(lists.create_many, account_id, news) if news else []
        ids = [each.id for each in created if isinstance(each, lists.ContactList)]
        list_ids = range(min(ids), max(ids) + 1) if ids else range(0)
        assert len(list_ids) == lists_wanted
        return Prepared(url, account_id, made.key, list_ids)
    finally:
        database.close()
