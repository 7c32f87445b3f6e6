"""The database goes away and comes back; the queue is full."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import apsw
import pytest

from tests.api.test_crash import Load, names, start
from tests.conftest import cli
from tests.servers import Postgres, Service, run

pytestmark = pytest.mark.not_on_citus("stop a server of their own")


def test_connections_recover_after_postgresql_restarts() -> None:
    postgres = Postgres()
    try:
        service, key = start(postgres.url(), "")
        with service.client(key) as client:
            made = client.post("/api/groups", json={"name": "before"}).json()["data"]
            for mode in (signal.SIGINT, signal.SIGQUIT):
                postgres.stop(mode)
                for answer in (
                    client.post("/api/groups", json={"name": "meanwhile"}),
                    client.get(f"/api/groups/{made['id']}"),
                    client.get("/api/groups"),
                    client.get("/readyz"),
                ):
                    assert answer.status_code == 503, answer.text
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert set(answer.json()) == {"message", "errors"}
                assert client.get("/healthz").status_code == 200
                postgres.start()
                assert client.get(f"/api/groups/{made['id']}").json()["data"] == made
                assert client.post("/api/groups", json={"name": f"after {mode.name}"}).status_code == 201
                assert client.get("/readyz").status_code == 200
        assert names(service, key) == ["after SIGQUIT", "after SIGINT", "before"]
        assert service.stop() == 0
        assert service.log().count("The PostgreSQL server at its socket cannot be reached. ") == 2
        assert service.log().count("The PostgreSQL server is reached again.") == 2
        assert '"error":"The PostgreSQL server at its socket cannot be reached."' in service.log()
    finally:
        postgres.remove()


def test_a_restart_under_load_answers_only_201_and_503() -> None:
    postgres = Postgres()
    try:
        service, key = start(postgres.url(), "")
        load = Load(service, key, "list")
        time.sleep(0.7)
        postgres.stop()
        time.sleep(0.3)
        postgres.start()
        before = len(load.created)
        time.sleep(0.7)
        load.stop()
        assert len(load.created) > before
        assert set(load.refused) == {503}
        kept = Counter(names(service, key))
        assert set(kept.values()) == {1}
        assert set(load.created) <= set(kept)
        assert service.stop() == 0
    finally:
        postgres.remove()


def test_a_full_queue_answers_503_and_leaves_room_for_other_accounts(tmp_path: Path) -> None:
    path = tmp_path / "rollbook.db"
    url = f"sqlite:///{path}"
    flags = ("--write-queue-max", "4", "--write-batch-max", "1", "--busy-timeout-seconds", "100")
    service, key = start(url, "", *flags)
    cli(url, "account", "create", "quiet")
    quiet = str(cli(url, "key", "create", "quiet")["key"])
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")  # another process writes, so that the queue fills
    answers: list[tuple[str, int, str | None]] = []

    def create(key: str, number: int) -> None:
        with service.client(key) as client:
            answer = client.post("/api/groups", json={"name": f"list {number}"})
            answers.append((key, answer.status_code, answer.headers.get("Retry-After")))

    threads = [threading.Thread(target=create, args=(key, number)) for number in range(12)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(answers) < 9 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(answers) == {(key, 503, "1")}
    beside = threading.Thread(target=create, args=(quiet, 1))
    beside.start()
    with service.client(key) as client:
        assert client.get("/api/groups").json()["total"] == 0
        while 'rollbook_queue_depth{queue="write"} 3.0' not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    other.execute("COMMIT")
    other.close()
    for thread in (*threads, beside):
        thread.join()
    assert (quiet, 201, None) in answers  # half of the room is for the others
    stored = [status for asked, status, _ in answers if asked == key and status == 201]
    assert 2 <= len(stored) <= 3
    assert len(names(service, key)) == len(stored)
    assert len(answers) == 13
    assert service.stop() == 0


def test_another_process_that_holds_the_database_makes_503(tmp_path: Path) -> None:
    path = tmp_path / "rollbook.db"
    service, key = start(f"sqlite:///{path}", "", "--busy-timeout-seconds", "0.2")
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with service.client(key) as client:
        answer = client.post("/api/groups", json={"name": "Customers"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        other.execute("COMMIT")
        other.close()
        assert client.post("/api/groups", json={"name": "Customers"}).status_code == 201
    assert service.stop() == 0


def test_two_services_on_one_embedded_database_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rollbook.db"
    service = Service(url)
    second = run("serve", "--database-url", url, "--port", "0")
    assert second.returncode == 1
    assert "Another rollbook serves" in second.stderr
    assert service.stop() == 0
