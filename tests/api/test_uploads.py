"""How many files may arrive at once, and for how long the disk has room for them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollbook.api.errors import ApiError
from rollbook.api.incoming import Request
from rollbook.api.uploads import LOOK_BYTES, Uploads
from rollbook.imports.spool import Spool
from tests.calls import ended, imported
from tests.conftest import cli
from tests.imports.desk import csv_of
from tests.servers import Service

FILE = csv_of(range(1, 4)).encode()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/rollbook.db"


def begun(service: Service, key: str, size_bytes: int) -> socket.socket:
    """A connection on which a part of a file was sent."""
    host, port = service.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST /api/imports HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    connection.sendall(f"{head}Content-Length: {size_bytes}\r\n\r\n".encode() + FILE[:9])
    return connection


def answered(api: httpx.Client, status: int) -> httpx.Response:
    """Send a file until it is answered so, a minute at most."""
    deadline = time.monotonic() + 60
    while (answer := api.post("/api/imports", content=FILE)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)
    return answer


def test_an_account_sends_only_so_many_files_at_once(url: str, spool: Path) -> None:
    service = Service(url, "--uploads-max", "2", "--spool-dir", str(spool), "--import-workers", "0")
    cli(url, "account", "create", "other")
    other = str(cli(url, "key", "create", "other", "--right", "write")["key"])
    with service.client() as api, service.client(other) as others:
        first, second = begun(service, service.key, len(FILE)), begun(service, service.key, len(FILE))
        refused = answered(api, 429)
        assert refused.json()["message"].startswith(
            "2 files of this account are on their way (--uploads-max)"
        )
        assert int(refused.headers["Retry-After"]) > 0
        assert others.post("/api/imports", content=FILE).status_code == 202
        assert api.post("/api/contacts/upsert", json={"contacts": [{"phone": 380_000_000_001}]}).is_success
        second.close()  # its place is free again, and nothing of it stays
        answered(api, 202)
        first.sendall(FILE[9:])
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 202 ")
        first.close()
        for _ in range(3):  # refused and failed ones give their places back, too
            assert api.post("/api/imports", content=FILE, params={"mode": "?"}).status_code == 422
            assert api.post("/api/imports", content=FILE, headers={"Content-Digest": "?"}).status_code == 400
        assert api.post("/api/imports", content=FILE).status_code == 202
    assert list((spool / "incoming").iterdir()) == []
    assert service.stop() == 0


def test_files_leave_room_on_the_disk(url: str, spool: Path, tmp_path: Path) -> None:
    floor = shutil.disk_usage(tmp_path).free - (2 << 30)
    service = Service(url, "--spool-free-bytes-min", str(max(floor, 0)), "--spool-dir", str(spool))
    with service.client() as api:
        with begun(service, service.key, 4 << 30) as connection:  # of which two would fit
            answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 507 ")
        assert b"retry-after: " in answer.lower()
        assert b"must stay free (--spool-free-bytes-min)" in answer
        assert ended(api, imported(api, FILE.decode())["id"])["state"] == "done"
    assert list((spool / "incoming").iterdir()) == []
    assert service.stop() == 0


def test_a_key_is_not_claimed_by_a_file_that_found_no_room(url: str, spool: Path) -> None:
    flags = ("--spool-dir", str(spool), "--import-workers", "0")
    headers = {"Idempotency-Key": "once"}
    service = Service(url, "--spool-free-bytes-min", str(1 << 60), *flags)
    key = service.key
    with service.client() as api:
        for refused in (
            api.post("/api/imports", headers=headers, content=FILE),
            api.post("/api/imports", headers=headers, content=iter([FILE])),
            api.post("/api/imports", headers=headers, files={"file": FILE}),
        ):
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (507, True)
        assert api.post("/api/groups", json={"name": "Customers"}).status_code == 201
    assert service.stop() == 0
    service = Service(url, *flags)
    with service.client(key) as api:
        taken = api.post("/api/imports", headers=headers, content=FILE)
        assert (taken.status_code, taken.headers.get("Idempotent-Replayed")) == (202, None)
    assert service.stop() == 0


def test_a_spool_that_cannot_be_made_is_no_fault_of_the_service(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    service = Service(url, "--spool-dir", str(tmp_path / "file" / "spool"), "--import-workers", "0")
    with service.client() as api:
        refused = api.post("/api/imports", content=FILE)
        assert (refused.status_code, refused.json()["errors"]) == (507, [])
        assert refused.json()["message"] == "The disk did not take the file: Not a directory."
    assert service.stop() == 0
    assert '"error":"The disk did not take the file: Not a directory."' in service.log()


class Filling(Spool):
    """A spool on a disk that others fill meanwhile."""

    room = 100

    def free_bytes(self) -> int:
        self.room -= 60
        return self.room


def test_a_disk_that_fills_up_is_noticed_while_a_file_arrives(tmp_path: Path) -> None:
    pieces = [b"x" * (LOOK_BYTES // 4)] * 12

    def arriving() -> Iterator[dict[str, Any]]:
        for piece in pieces:
            yield {"type": "http.request", "body": piece, "more_body": True}

    events = arriving()
    headers = [(b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send() -> None:
        request = Request(scope, receive, next(events))
        uploads = Uploads(Filling(tmp_path), 1 << 30, most=1, free_bytes_min=10)
        async with uploads.received(request, 1, hashed=False):
            pass

    with pytest.raises(ApiError, match="no room") as caught:
        asyncio.run(send())
    assert caught.value.status == 507
    assert len(list(events)) in range(1, 12)
    assert list((tmp_path / "incoming").iterdir()) == []
