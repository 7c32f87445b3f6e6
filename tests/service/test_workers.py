"""Several workers behind one address, on PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter

import httpx
import pytest

from rollbook import accounts
from tests.api.test_crash import Load, names
from tests.conftest import opened
from tests.servers import Postgres, Service, run


@pytest.fixture
def url(postgres: Postgres) -> str:
    name = f"workers_{time.monotonic_ns()}"
    url = postgres.create_database(name)
    assert run("migrate", "--database-url", url).returncode == 0
    return url


def key_for(url: str) -> str:
    with opened(url) as database:
        database.write(accounts.create, name="alice")
        return database.write(accounts.create_key, account="alice").key


def workers_of(service: Service) -> list[int]:
    listed = subprocess.run(
        ["pgrep", "-P", str(service.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} ([\d.]+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_workers_share_the_load_and_are_counted_together(url: str) -> None:
    service = Service(url, "--workers", "3", "--duplicate-window-seconds", "0")
    key = key_for(url)
    assert len(workers_of(service)) == 3
    load = Load(service, key, "list")
    time.sleep(1.5)
    load.stop()
    assert load.created
    assert not load.refused
    kept = Counter(names(service, key))
    assert set(kept.values()) == {1}
    assert set(kept) == set(load.created)
    time.sleep(1.2)
    with service.client(key) as client:
        name = 'rollbook_requests_total{method="POST",route="/api/groups",status="201"}'
        assert metric(client, name) == len(load.created)
    prefixes = {
        line.split('"request_id":"')[1][:12] for line in service.log().splitlines() if "request_id" in line
    }
    assert len(prefixes) > 1, "only one worker answered"
    assert service.stop() == 0
    assert service.log().count("Traceback") == 0


def test_a_worker_that_dies_is_replaced(url: str) -> None:
    service = Service(url, "--workers", "2")
    key = key_for(url)
    before = workers_of(service)
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(set(workers_of(service)) - {before[0]}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(set(workers_of(service)) - {before[0]}) == 2
    for number in range(20):
        with service.client(key) as client:
            assert client.post("/api/groups", json={"name": f"list {number}"}).status_code == 201
    assert "another takes its place" in service.log()
    assert service.stop() == 0


def test_workers_end_with_the_process_that_watches_them(url: str) -> None:
    service = Service(url, "--workers", "2")
    left = workers_of(service)
    service.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in left)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_sigint_stops_all_of_them(url: str) -> None:
    service = Service(url, "--workers", "2")
    service.process.send_signal(signal.SIGINT)
    assert service.stop() == 0


def test_workers_that_cannot_start_are_reported(url: str, postgres: Postgres) -> None:
    done = run("serve", "--workers", "2", "--port", "0", "--database-url", postgres.url("nothing_there"))
    assert done.returncode == 1
    assert "has no database nothing_there" in done.stderr
    done = run("serve", "--workers", "2", "--port", "0")
    assert done.returncode == 1
    assert "--workers needs PostgreSQL" in done.stderr
