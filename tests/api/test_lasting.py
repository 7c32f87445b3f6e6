"""What outlives a request, and who may have how much of it: bearers, streams of events, exports, metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from rollbook import accounts
from rollbook.accounts import Account
from rollbook.api.errors import ApiError
from rollbook.api.gate import Gate
from rollbook.db import Database
from tests.api.test_crash import start
from tests.conftest import opened
from tests.servers import Postgres, Service

PATIENCE_SECONDS = 60
FILE = b"phone\n+380000000001\n"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_a_bearer_is_known_however_it_is_spelled(db: Database, alice: Account) -> None:
    key = db.write(accounts.create_key, account="alice").key
    asked: list[object] = []

    async def read(fn: Callable[..., Any], *args: Any) -> Any:
        asked.append(args)
        return db.read(fn, *args)

    gate = Gate("x" * 40, life_seconds=60, cache_seconds=60, read=read)
    first = asyncio.run(gate.verify(f"Bearer {key}"))
    for number in range(1, 50):
        for scheme in ("Bearer", "bearer", "BEARER:"):
            known = gate.known(f"{scheme} {' ' * number}{key}{' ' * number}")
            assert known is not None
            assert known.account_id == first.account_id
    assert len(asked) == 1
    assert gate.known(f"Basic {key}") is None
    for bearer in ("x" * 3_000, f"live_{'x' * 3_000}"):
        with pytest.raises(ApiError):
            asyncio.run(gate.verify(f"Bearer {bearer}"))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("claims", "right"),
    [
        ({"iat": 1}, True),
        ({"iat": 50}, True),
        ({"iat": 600}, False),
        ({"iat": "soon"}, False),
        ({"iat": None}, False),
        ({"exp": -5}, False),
    ],
    ids=str,
)
def test_a_clock_may_be_a_minute_ahead(
    db: Database, alice: Account, claims: dict[str, Any], right: bool
) -> None:
    made = db.write(accounts.create_key, account="alice")
    grant = db.read(accounts.grant_of_key, made.key)
    assert grant is not None

    async def read(fn: Callable[..., Any], *args: Any) -> Any:
        return db.read(fn, *args)

    gate = Gate("x" * 40, life_seconds=60, cache_seconds=60, read=read)
    now = int(time.time())
    shifted = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    token = {"iat": now, "exp": now + 600, "id": grant.account_id, "key": grant.key_id, **shifted}
    bearer = f"Bearer {jwt.encode(token, 'x' * 40, 'HS256')}"
    if right:
        assert asyncio.run(gate.verify(bearer)).key_id == grant.key_id
    else:
        with pytest.raises(ApiError) as refused:
            asyncio.run(gate.verify(bearer))
        assert refused.value.status == 401


@pytest.fixture(scope="module")
def service(postgres: Postgres) -> Iterator[Service]:
    url = postgres.create_database("lasting")
    flags = ("--auth-cache-seconds", "0.2", "--import-workers", "0", "--event-streams-per-account-max", "1")
    service, key = start(
        url, "", *flags, "--exports-per-account-max", "1", env={"ROLLBOOK_METRICS_TOKEN": "s3cret"}
    )
    service.key = key
    yield service
    assert service.stop() == 0
    postgres.drop_database("lasting")


def test_metrics_may_want_a_token(service: Service) -> None:
    for authorization in (
        "",
        "Bearer",
        "Bearer s3cre",
        "Bearer s3cretx",
        f"Bearer {service.key}",
        "Basic s3cret",
    ):
        refused = httpx.get(f"{service.url}/metrics", headers={"Authorization": authorization})
        assert refused.status_code == 401, authorization
        assert refused.json()["errors"] == []
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    answer = httpx.get(f"{service.url}/metrics", headers={"Authorization": "Bearer s3cret"})
    assert "rollbook_requests_total" in answer.text


def test_a_stream_of_events_ends_with_its_key_and_has_a_place(service: Service) -> None:
    with opened(service.database_url) as database:
        made = database.write(accounts.create_key, account="default")
        with service.client(made.key) as client:
            import_ = client.post("/api/imports", content=FILE, headers={"Content-Type": "text/csv"}).json()[
                "data"
            ]["id"]
            path = f"/api/imports/{import_}/events"
            with client.stream("GET", path) as stream:
                assert stream.headers["X-Accel-Buffering"] == "no"
                lines = stream.iter_lines()
                assert next(lines) == "event: waiting"
                refused = client.get(path)
                assert refused.status_code == 503
                assert refused.headers["Retry-After"] == "10"
                assert "1 streams of events" in refused.json()["message"]
                database.write(accounts.revoke_key, key_id=made.shown.id)
                rest = "\n".join(lines)
            assert "event: error" in rest
            assert "was revoked" in rest
        with service.client() as client, client.stream("GET", path) as stream:
            assert stream.status_code == 200


def test_an_export_that_is_killed_before_it_begins_is_tried_again_then_refused(
    service: Service, postgres: Postgres
) -> None:
    def exports() -> set[int]:
        listed = subprocess.run(
            ["pgrep", "-f", "-P", str(service.process.pid), "rollbook.exports"],
            capture_output=True,
            text=True,
            check=False,
        )
        return {int(pid) for pid in listed.stdout.split()}

    def new_one(killed: set[int]) -> bool:
        return bool(exports() - killed)

    answers: list[httpx.Response] = []

    def ask() -> None:
        with service.client() as client:
            answers.append(client.get("/api/contacts/export"))

    for kills, status in ((1, 200), (2, 503)):
        with psycopg.connect(postgres.url("lasting")) as other:
            other.execute("LOCK TABLE contact IN ACCESS EXCLUSIVE MODE")
            asks = threading.Thread(target=ask)
            asks.start()
            killed: set[int] = set()
            for _ in range(kills):
                until(partial(new_one, killed))
                [pid] = exports() - killed
                if not killed:
                    with service.client() as client:
                        busy = client.get("/api/contacts/export")
                    assert busy.status_code == 503
                    assert "1 exports" in busy.json()["message"]
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        asks.join(PATIENCE_SECONDS)
        answer = answers.pop()
        assert answer.status_code == status, answer.text
        if status == 503:
            assert answer.headers["Retry-After"] == "10"
            assert answer.json() == {
                "message": "The export was ended before it began; try again later.",
                "errors": [],
            }
