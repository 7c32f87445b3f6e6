"""A database that is there, and answers nothing: requests end, and all is well once it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import psycopg
import pytest

from tests.api.test_crash import names, start
from tests.servers import Postgres, Service

pytestmark = pytest.mark.not_on_citus("freeze the processes of the server")

PATIENCE_SECONDS = 60
NAME = "frozen"
SECONDS = 3


class Frozen(NamedTuple):
    """A service whose database can be stopped."""

    service: Service
    key: str
    freeze: Callable[[], None]
    thaw: Callable[[], None]
    workers: bool


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one process", "workers"])
def frozen(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[Frozen]:
    stopped: list[int] = []

    def freeze() -> None:
        stopped.extend(postgres.freeze(NAME))
        assert len(stopped) >= 3

    def thaw() -> None:
        postgres.thaw(stopped)
        stopped.clear()

    url = postgres.create_database(NAME)
    service, key = start(url, "", "--request-seconds", str(SECONDS), *request.param)
    try:
        yield Frozen(service, key, freeze, thaw, bool(request.param))
    finally:
        thaw()
        assert service.stop() == 0
        postgres.drop_database(NAME)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_requests_to_a_frozen_database_end_and_it_recovers(frozen: Frozen) -> None:
    service, key = frozen.service, frozen.key
    answers: dict[str, httpx.Response] = {}

    def ask(name: str, method: str, path: str, body: object = None) -> None:
        with service.client(key) as client:
            answers[name] = client.request(method, path, json=body)

    with service.client(key) as client:
        made = client.post("/api/groups", json={"name": "before"}).json()["data"]["id"]
        assert client.get(f"/api/groups/{made}").status_code == 200
        assert client.get("/readyz").status_code == 200
        frozen.freeze()
        asked = [
            threading.Thread(target=ask, args=each)
            for each in (
                ("write", "POST", "/api/groups", {"name": "meanwhile"}),
                ("other write", "POST", "/api/groups", {"name": "meanwhile too"}),
                ("read", "GET", "/api/groups"),
                ("point read", "GET", f"/api/groups/{made}"),
                ("export", "GET", "/api/contacts/export"),
                ("ready", "GET", "/readyz"),
                ("healthy", "GET", "/healthz"),
            )
        ]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join(PATIENCE_SECONDS)
        assert answers.pop("healthy").status_code == 200
        assert answers.pop("ready").json()["message"].startswith("The database ")
        assert answers.pop("export").status_code in (200, 503)  # a new connection may be had
        assert len(answers) == 4
        for name, answer in answers.items():
            assert answer.status_code == 503, (name, answer.text)
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["errors"] == []
            told = answer.json()["message"]
            assert told.startswith("The database ")
            # A worker that has not seen the key yet asks for that first: a read, which stores nothing.
            unsure = "may or may not be stored" in told
            assert unsure == ("write" in name) or (frozen.workers and not unsure)

        refused: list[bool] = []

        def at_once(method: str, path: str, body: object = None) -> bool:
            answer = client.request(method, path, json=body and {"name": f"try {len(refused)}"})
            assert answer.status_code == 503
            refused.append("nothing was done" in answer.json()["message"])
            return refused[-1]

        until(lambda: at_once("GET", "/api/groups"))
        until(lambda: at_once("POST", "/api/groups", {"name": "at once"}))
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        frozen.thaw()
        until(lambda: client.get("/readyz").status_code == 200)
        until(lambda: client.post("/api/groups", json={"name": "after"}).status_code in (201, 422))
        until(lambda: client.get(f"/api/groups/{made}").status_code == 200)
        assert client.get("/readyz").status_code == 200
    kept = names(service, key)
    assert {"before", "after"} <= set(kept)
    assert len(kept) == len(set(kept))
    for number, nothing_was_done in enumerate(refused):
        assert not (nothing_was_done and f"try {number}" in kept)


def test_a_read_that_takes_long_is_not_a_frozen_database(frozen: Frozen, postgres: Postgres) -> None:
    """While one waits, others are answered: nobody else is refused."""
    service, key = frozen.service, frozen.key
    with service.client(key) as client, psycopg.connect(postgres.url(NAME)) as other:
        assert client.get("/api/groups").status_code == 200
        other.execute("LOCK TABLE stop_list IN ACCESS EXCLUSIVE MODE")
        found: list[int] = []

        def wait() -> None:
            with service.client(key) as waiting:
                found.append(waiting.get("/api/stoplist").status_code)

        waits = threading.Thread(target=wait)
        waits.start()
        while waits.is_alive():
            answer = client.get("/api/groups")  # it may share the batch of the one that waits
            assert "has not answered" not in answer.text
        assert found == [503]
        other.rollback()
        until(lambda: client.get("/api/stoplist").status_code == 200)
