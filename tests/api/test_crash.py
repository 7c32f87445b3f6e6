"""What was answered survives: kill -9 under load, a full disk, a COMMIT that fails."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from rollbook import accounts
from tests.conftest import opened
from tests.servers import Postgres, Service, run

pytestmark = pytest.mark.not_on_citus("kill a server of their own, or let a trigger refuse a commit")

CLIENTS = 16


class Load:
    """Clients that create lists until told to stop, and what each request was answered."""

    def __init__(self, service: Service, key: str, label: str) -> None:
        self.created: list[str] = []
        self.refused: Counter[int] = Counter()
        self._service = service
        self._key = key
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{label} {number}",)) for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop and wait."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, label: str) -> None:
        number = 0
        with self._service.client(self._key) as client:
            while not self._stop.is_set():
                number += 1
                name = f"{label} {number}"
                try:
                    answer = client.post("/api/groups", json={"name": name, "description": "d" * 200})
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    self.created.append(name)
                else:
                    self.refused[answer.status_code] += 1


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of its own that is as durable as PostgreSQL is by default."""
    server = Postgres()
    yield server
    server.remove()


def start(url: str, key: str, *flags: str, **more: Any) -> tuple[Service, str]:
    service = Service(url, "--duplicate-window-seconds", "0", *flags, **more)
    if not (key or service.key):
        with opened(url) as database:
            database.write(accounts.create, name="default")
            key = database.write(accounts.create_key, account="default").key
    return service, key or service.key


def names(service: Service, key: str) -> list[str]:
    found: list[str] = []
    after: int | None = 0
    with service.client(key) as client:
        while after is not None:
            page = client.get("/api/groups", params={"page[limit]": 500, "page[after]": after}).json()
            found += [row["name"] for row in page["data"]]
            after = page["next"]
    return found


@pytest.mark.parametrize("killed", ["sqlite", "postgresql", "postgresql with its server"])
def test_every_list_that_was_answered_201_survives_kill_9_once(
    killed: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    postgres: Postgres | None = None
    url = f"sqlite:///{tmp_path}/rollbook.db"
    if killed != "sqlite":
        postgres = request.getfixturevalue("own_postgres")
        url = postgres.url()
    key, answered = "", []
    for turn in range(3):
        service, key = start(url, key)
        load = Load(service, key, f"turn {turn}")
        time.sleep(0.7 + turn / 3)
        if postgres and "server" in killed:
            postgres.kill()
        service.kill()
        load.stop()
        assert len(load.created) > 20
        answered += load.created
        if postgres and "server" in killed:
            postgres.start()
    service, key = start(url, key)
    kept = Counter(names(service, key))
    assert set(kept.values()) == {1}
    assert set(answered) <= set(kept)
    assert len(kept) - len(answered) <= 3 * CLIENTS, "more was kept than was in flight"
    assert service.stop() == 0


def test_a_full_disk_answers_no_201_and_loses_nothing(tmp_path: Path) -> None:
    """The file size limit stands for a full disk: the write-ahead log cannot grow past it."""
    url = f"sqlite:///{tmp_path}/rollbook.db"
    assert run("migrate", "--database-url", url).returncode == 0
    limit = 600 * 1024

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    service, key = start(url, "", preexec=small_disk)
    load = Load(service, key, "list")
    deadline = time.monotonic() + 60
    while not load.refused and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    load.stop()
    assert load.created
    assert set(load.refused) == {503}
    created = list(load.created)
    with service.client(key) as client:
        for number in range(1000):  # a batch of many did not fit; one alone may, a few times
            answer = client.post("/api/groups", json={"name": f"small {number}"})
            if answer.status_code != 201:
                break
            created.append(f"small {number}")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "disk full" in answer.json()["message"]
        assert client.get("/healthz").status_code == 200
    assert sorted(names(service, key)) == sorted(created), "reads go on, and see what was answered"
    service.kill()
    service, key = start(url, key)
    assert sorted(names(service, key)) == sorted(created)
    with service.client(key) as client:
        assert client.post("/api/groups", json={"name": "one more"}).status_code == 201
    assert service.stop() == 0


def test_a_commit_that_fails_on_postgresql_answers_no_201(postgres: Postgres) -> None:
    """A deferred constraint makes COMMIT itself fail, after every statement succeeded."""
    url = postgres.create_database("commit_fails")
    service, key = start(url, "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'disk_full'; END $$
        """)
        connection.execute("""
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON contact_list
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
        """)
        with service.client(key) as client:
            for _ in range(3):
                answer = client.post("/api/groups", json={"name": "Customers"})
                assert answer.status_code == 503
                assert "Retry-After" in answer.headers
            assert client.get("/api/groups").json()["total"] == 0
            connection.execute("DROP TRIGGER refuse ON contact_list")
            assert client.post("/api/groups", json={"name": "Customers"}).status_code == 201
    assert service.stop() == 0


def test_sigterm_finishes_what_was_accepted_and_exits_with_0(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rollbook.db"
    service, key = start(url, "")
    load = Load(service, key, "list")
    time.sleep(0.7)
    assert service.stop() == 0
    load.stop()
    assert not load.refused
    service, key = start(url, key)
    kept = names(service, key)
    assert set(load.created) <= set(kept)
    assert len(kept) - len(load.created) <= CLIENTS
    assert service.stop() == 0
