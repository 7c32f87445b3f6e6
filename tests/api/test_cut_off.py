"""What the service has seen of a body that is cut off, byte for byte: see test_cut_bodies.py, too."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.calls import PHONE, ended
from tests.conftest import Live
from tests.imports.desk import csv_of

UPSERT = json.dumps({"contacts": [{"phone": PHONE + number} for number in range(40)]}).encode()
FILE = csv_of(range(1, 41)).encode()
FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    + FILE
    + b'\r\n--edge\r\nContent-Disposition: form-data; name="mode"\r\n\r\nadd\r\n--edge--\r\n'
)
BODIES: Mapping[str, tuple[str, str, bytes]] = {
    # The JSON is whole early on: only its length tells that something is missing.
    "json": ("/api/contacts/upsert", "application/json", UPSERT + b" " * 9000),
    "file": ("/api/imports?phone_check=possible", "text/csv", FILE),
    "form": ("/api/imports?phone_check=possible", "multipart/form-data; boundary=edge", FORM),
}
ENDS = ("close", "half-close")


def chunked(body: bytes) -> bytes:
    """A body as chunks, seven of them and the last one."""
    size = len(body) // 7 + 1
    pieces = [body[place : place + size] for place in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def head(live: Live, key: str, name: str, *more: str, method: str = "POST") -> bytes:
    """The head of a request, but for what tells the length of its body."""
    path, media, _ = BODIES[name]
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {live.service.url.removeprefix('http://')}",
        f"Authorization: Bearer {key}",
        f"Content-Type: {media}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n"


UPGRADE = (
    "Connection: Upgrade, HTTP2-Settings, close",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
)
"""What curl --http2 sends."""


@contextmanager
def connected(live: Live) -> Iterator[socket.socket]:
    """A connection to the service."""
    host, port = live.service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def end(connection: socket.socket, how: str) -> None:
    """End a connection in the middle of a request."""
    if how == "half-close":
        connection.shutdown(socket.SHUT_WR)
        assert not connection.recv(1 << 16).startswith(b"HTTP/1.1 2")


def logged(live: Live, request_id: str) -> None:
    """Wait until a request is in the log, a minute at most."""
    deadline = time.monotonic() + 60
    while f'"{request_id}"' not in live.service.log():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_cut_off_changes_nothing(live: Live, name: str, framing: str) -> None:
    key = live.new_key()
    path, media, body = BODIES[name]
    sent = chunked(body) if framing == "chunks" else body
    length = "Transfer-Encoding: chunked" if framing == "chunks" else f"Content-Length: {len(body)}"
    cuts = [len(sent) * tenth // 10 for tenth in range(1, 10)]
    cuts += [len(sent) - 5, len(sent) - 1]
    for how in ENDS:
        for cut in cuts:
            request_id = f"cut-{live.engine}-{name}-{framing}-{how}-{cut}"
            with connected(live) as connection:
                more = (length, f"X-Request-Id: {request_id}", "Idempotency-Key: once")
                connection.sendall(head(live, key, name, *more) + b"\r\n" + sent[:cut])
                end(connection, how)
            logged(live, request_id)
    for line in live.service.log().splitlines():
        if f"cut-{live.engine}-{name}-{framing}" in line:
            assert json.loads(line)["status"] == 400
            assert "cut off" in json.loads(line)["error"]
    with live.client(key) as api:
        assert api.get("/api/imports").json()["data"] == []
        assert api.get("/api/contacts").json()["total"] == 0
        headers = {"Content-Type": media, "Idempotency-Key": "once"}
        again = api.post(path, content=body, headers=headers)
        assert again.status_code in (200, 202), again.text
        assert "Idempotent-Replayed" not in again.headers
        if name != "json":
            ended(api, again.json()["data"]["id"])
        assert api.get("/api/contacts").json()["total"] == 40


def answer_to(live: Live, request: bytes) -> bytes:
    """What a request that goes out byte by byte as it is gets, to the end of the connection."""
    with connected(live) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(
    ("name", "lengths", "sent"),
    [
        pytest.param("form", ("Content-Length: {}",), FORM[: FORM.index(b"\r\n--edge--")], id="no end"),
        pytest.param("form", ("Content-Length: {}",), FORM[:-4], id="half of the last boundary"),
        pytest.param("form", ("Content-Length: {}",), FORM[:200], id="middle of the file"),
        pytest.param("form", ("Content-Length: {}",), FORM[:40], id="middle of a head"),
        pytest.param("file", ("Content-Length: {}", "Transfer-Encoding: chunked"), FILE, id="length, chunks"),
        pytest.param("file", ("Transfer-Encoding: chunked", "Content-Length: {}"), FILE, id="chunks, length"),
        pytest.param("file", ("Content-Length: {}", "Content-Length: 9"), FILE, id="two lengths"),
        pytest.param("file", ("Transfer-Encoding: chunked",), b"5\r\nphone\r\nzz\r\n", id="no chunk"),
        pytest.param("file", ("Transfer-Encoding: gzip",), FILE, id="no way to tell the end"),
        pytest.param("json", ("Content-Length: 12", "Transfer-Encoding: chunked"), b"0\r\n\r\n{}", id="both"),
        pytest.param("file", (), FILE, id="no length"),
        pytest.param("file", ("Content-Length: 0, {}",), FILE, id="list of lengths"),
        pytest.param("file", (*UPGRADE, "Content-Length: {}"), FILE, id="upgrade, length"),
        pytest.param("file", (*UPGRADE, "Transfer-Encoding: chunked"), chunked(FILE), id="upgrade, chunks"),
        pytest.param("json", (*UPGRADE, "Content-Length: {}"), UPSERT, id="upgrade, JSON"),
    ],
)
def test_a_body_that_is_not_whole_is_refused(
    live: Live, name: str, lengths: tuple[str, ...], sent: bytes
) -> None:
    key = live.new_key()
    told = [each.format(len(sent)) for each in lengths]
    answer = answer_to(live, head(live, key, name, *told, "Connection: close") + b"\r\n" + sent)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]).keys() == {"message", "errors"}
    with live.client(key) as api:
        assert api.get("/api/imports").json()["data"] == []
        assert api.get("/api/contacts").json()["total"] == 0


def test_a_header_upgrade_that_nobody_means_is_left_out(live: Live) -> None:
    key = live.new_key()
    more = ("Upgrade: h2c", f"Content-Length: {len(UPSERT)}", "Connection: close")
    answer = answer_to(live, head(live, key, "json", *more) + b"\r\n" + UPSERT)
    assert answer.startswith(b"HTTP/1.1 200 ")
    with live.client(key) as api:
        assert api.get("/api/contacts", headers={"Connection": "Upgrade", "Upgrade": "h2c"}).is_success


def test_a_client_that_was_told_to_go_on_and_goes_away(live: Live) -> None:
    key = live.new_key()
    with connected(live) as connection:
        more = (f"Content-Length: {len(FILE)}", "Expect: 100-continue", "X-Request-Id: expecting")
        connection.sendall(head(live, key, "file", *more) + b"\r\n")
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(FILE[: len(FILE) // 2])
    logged(live, "expecting")
    with live.client(key) as api:
        assert api.get("/api/imports").json()["data"] == []


def test_what_comes_behind_the_last_boundary_must_come_too(live: Live) -> None:
    key = live.new_key()
    with connected(live) as connection:
        more = (f"Content-Length: {len(FORM) + 100}", "X-Request-Id: behind")
        connection.sendall(head(live, key, "form", *more) + b"\r\n" + FORM + b" " * 50)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1 << 16)
    logged(live, "behind")
    with live.client(key) as api:
        assert api.get("/api/imports").json()["data"] == []
