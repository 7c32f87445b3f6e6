"""What anybody can do to the port without a key: too much, too slowly, too often, and never reading."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.servers import Postgres, Service

PATIENCE_SECONDS = 60
"""How long a test waits for what must come."""

CONNECTIONS_MAX = 30

HEADERS = b"The headers of a request may have 100 lines and 65536 bytes."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with little patience."""
    service = Service(
        f"sqlite:///{tmp_path_factory.mktemp('connections')}/rollbook.db",
        *("--header-seconds", "1", "--slow-seconds", "1", "--connections-max", str(CONNECTIONS_MAX)),
    )
    yield service
    assert service.stop() == 0
    assert not [line for line in service.log().splitlines() if "Traceback" in line]


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the service ends the connection."""
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def answer_to(service: Service, *pieces: bytes) -> bytes:
    with connect(service) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return rest_of(connection)


def told(answer: bytes, status: int) -> str:
    """The message of an answer in the one form of errors."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"x-request-id: " in head
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    found = json.loads(body)
    assert set(found) == {"message", "errors"}
    assert found["errors"] == []
    return str(found["message"])


def works(service: Service) -> bool:
    with service.client() as client:
        return client.get("/api/groups").status_code == 200


def metric(service: Service, name: str) -> float:
    with service.client() as client:
        found = re.search(rf"^{re.escape(name)} ([\d.]+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


GET = b"GET /healthz HTTP/1.1\r\nHost: here\r\n"
CHUNKED = b"POST /api/auth/login HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
TOO_LARGE = {
    "one header": GET + b"X: " + b"x" * 2_000_000 + b"\r\n\r\n",
    "one header without an end": GET + b"X: " + b"x" * 100_000,
    "the name of a header": GET + b"x" * 100_000,
    "many headers": GET + b"".join(b"X-%d: x\r\n" % number for number in range(1000)) + b"\r\n",
    "headers just beyond the bytes": GET
    + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 7000) for number in range(10))
    + b"\r\n",
    "what follows the chunks": CHUNKED.replace(b"{}\r\n", b"{}\r\n0\r\nX: " + b"x" * 1_000_000),
    "what is said of a chunk": CHUNKED.replace(b"2\r\n{}", b"2;" + b"x" * 1_000_000),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_headers_beyond_their_bounds_are_refused(service: Service, name: str) -> None:
    assert told(answer_to(service, TOO_LARGE[name]), 431).encode() == HEADERS
    assert works(service)


def test_headers_within_their_bounds_are_taken(service: Service) -> None:
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 600) for number in range(97))
    for head in (GET + lines, GET + b"X: " + b"x" * 60_000 + b"\r\n"):
        assert answer_to(service, head + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


MALFORMED = {
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/0.9 by name": b"GET /healthz HTTP/0.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 by name": b"GET /healthz HTTP/2.0\r\n\r\n",
    "HTTP/3 by name": b"GET /healthz HTTP/3\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "CONNECT": b"CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n",
    "a method in small letters": b"get /healthz http/1.1\r\n\r\n",
    "no path": b"GET http://here HTTP/1.1\r\nHost: here\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\n\r\n",
    "a query that is not ASCII": b"GET /healthz?a=\xff HTTP/1.1\r\n\r\n",
    "NUL": b"GET /\0 HTTP/1.1\r\n\r\n",
    "a length that is no number": b"POST /api/groups HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    "a length below 0": b"POST /api/groups HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a length beyond 64 bits": b"POST /api/groups HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "two lengths": b"POST /api/groups HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a chunk of no size": CHUNKED.replace(b"2\r\n", b"x\r\n"),
    "a header without a colon": GET + b"X\r\n\r\n",
    "a space in a header's name": GET + b"X Y: z\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_gets_the_one_form_of_errors(service: Service, name: str) -> None:
    assert told(answer_to(service, MALFORMED[name]), 400)
    assert works(service)


def test_the_body_of_a_request_that_asks_for_an_upgrade_is_no_request(service: Service) -> None:
    """As Java's own client sends every request. The body is refused, but it ends where it says."""
    body = GET + b"X-Smuggled: yes\r\n\r\n"
    head = (
        b"POST /api/groups HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer %b\r\nConnection: Upgrade, "
        b"HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n" % service.key.encode()
    )
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    last = GET + b"Connection: close\r\n\r\n"
    for pieces in (
        (head + b"Content-Length: %d\r\n\r\n" % len(body) + body + last,),
        (head + b"Transfer-Encoding: chunked\r\n\r\n", chunked[:20], chunked[20:] + last),
    ):
        answer = answer_to(service, *pieces)
        first, second = answer.split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"400 ")
        assert b"Upgrade" in first
        assert second.startswith(b"200 ")


def test_a_head_that_does_not_come_ends_the_connection(service: Service) -> None:
    message = "The request's head did not come within 1 seconds."
    with connect(service) as silent, connect(service) as begun, connect(service) as again:
        begun.sendall(GET)
        again.sendall(GET + b"\r\n" + b"POST /")
        assert rest_of(silent) == b""
        assert told(rest_of(begun), 408) == message
        first, second = rest_of(again).split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200 ")
        assert told(b"HTTP/1.1 " + second, 408) == message
    assert metric(service, 'rollbook_connections_ended_total{reason="slow_head"}') >= 3
    assert "connection ended (slow_head)" in service.log()


def test_a_head_that_drips_gets_no_more_time(service: Service) -> None:
    with connect(service) as connection:
        found = b""
        connection.settimeout(0.05)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not found and time.monotonic() < deadline:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"\r\n" if found == b"" else b"x")
            with contextlib.suppress(TimeoutError):
                found = connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_outlives_the_time_of_a_head(service: Service) -> None:
    ended = metric(service, 'rollbook_connections_ended_total{reason="slow_head"}')
    with connect(service) as used, connect(service):
        used.sendall(GET + b"\r\n")
        assert used.recv(65536).startswith(b"HTTP/1.1 200 ")
        until(lambda: metric(service, 'rollbook_connections_ended_total{reason="slow_head"}') > ended)
        used.sendall(GET + b"Connection: close\r\n\r\n")
        assert rest_of(used).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_hardly_comes_is_cut_off_and_changes_nothing(service: Service) -> None:
    bearer = b"Authorization: Bearer %b\r\n" % service.key.encode()
    heads = {
        "JSON": b"POST /api/groups HTTP/1.1\r\n" + bearer + b"Content-Length: 100\r\n\r\n",
        "a file": b"POST /api/imports HTTP/1.1\r\n" + bearer + b"Content-Length: 100000\r\n\r\n",
        "chunks": b"POST /api/groups HTTP/1.1\r\n" + bearer + b"Transfer-Encoding: chunked\r\n\r\n2\r\n",
    }
    with ExitStack() as stack:
        sent = {name: stack.enter_context(connect(service)) for name in heads}
        for name, connection in sent.items():
            connection.sendall(heads[name] + b"{")
        for connection in sent.values():
            assert told(rest_of(connection), 408).endswith("500 bytes a second; nothing was changed.")
    with service.client() as client:
        assert client.get("/api/imports").json()["data"] == []
        assert client.get("/api/groups").json()["total"] <= 1


def test_a_body_after_its_answer_is_not_waited_for(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"POST /api/groups HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{")
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = rest_of(connection)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert answer.count(b"HTTP/1.1") == 1


def test_silent_connections_make_room_for_those_that_ask(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(4 * CONNECTIONS_MAX):
            stack.enter_context(connect(service))
        assert works(service)
        assert metric(service, "rollbook_connections") <= CONNECTIONS_MAX + 1
    assert metric(service, 'rollbook_connections_ended_total{reason="idle_at_limit"}') > 2 * CONNECTIONS_MAX


def test_a_client_that_never_reads_is_cut_off(service: Service) -> None:
    name = 'rollbook_connections_ended_total{reason="slow_reader"}'
    before = metric(service, name)
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n" * 8)
        until(lambda: metric(service, name) > before)
    assert works(service)


def test_requests_ahead_of_their_answers_are_bounded(service: Service) -> None:
    assert (
        answer_to(service, (GET + b"\r\n") * 80 + GET + b"Connection: close\r\n\r\n").count(b"200 OK") == 81
    )
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert answer_to(service, (GET + b"\r\n") * 5000).count(b"200 OK") <= 101
    assert works(service)


def test_a_full_service_says_so_and_takes_connections_again(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", "--connections-max", "5")
    with ExitStack() as stack:
        busy = []

        def answer() -> bytes:
            with contextlib.suppress(ConnectionResetError):
                return answer_to(service, GET + b"Connection: close\r\n\r\n")
            return b""

        def full() -> bool:
            busy.append(stack.enter_context(connect(service)))
            busy[-1].sendall(GET)
            return answer().startswith(b"HTTP/1.1 503 ")

        until(full)
        refused = answer()
        assert told(refused, 503) == "The service has as many connections as it takes; try again."
        assert b"retry-after: 1" in refused
        busy[0].sendall(b"Connection: close\r\n\r\n")
        assert rest_of(busy[0]).startswith(b"HTTP/1.1 ")
    until(lambda: answer().startswith(b"HTTP/1.1 200 "))
    assert "connection ended (limit)" in service.log()
    assert service.stop() == 0


def any_is_told(waiting: list[socket.socket], text: bytes) -> bool:
    for connection in select.select(waiting, [], [], 0.1)[0]:
        with contextlib.suppress(ConnectionResetError):
            if text in connection.recv(65536):
                return True
    return False


def test_every_descriptor_that_may_be_had_is_had_and_none_left_is_told(tmp_path: Path) -> None:
    soft, hard = 256, 4096

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    service = Service(f"sqlite:///{tmp_path}/rollbook.db", preexec=few)
    pid = service.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)
    with service.client() as client:
        assert client.get("/readyz").status_code == 200
        silent: list[socket.socket] = []
        for begun in (b"", GET):
            failures = metric(service, "rollbook_accept_failures_total")
            silent.clear()
            with ExitStack() as stack:
                silent += [stack.enter_context(connect(service)) for _ in range(3)]
                taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
                most = [number for number in range(hard) if number not in taken][5]  # leaves five
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
                for connection in silent:
                    connection.sendall(begun)
                for _ in range(40):
                    silent.append(stack.enter_context(connect(service)))
                    silent[-1].sendall(begun)
                if begun:
                    until(partial(any_is_told, silent, b"no descriptor left"))
                else:
                    until(lambda: "a connection cannot be accepted: Too many open files" in service.log())
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
                until(lambda: works(service))
                assert metric(service, "rollbook_accept_failures_total") > failures
    assert service.stop() == 0
    assert "Traceback" not in service.log()


def test_every_worker_has_the_bounds(postgres: Postgres) -> None:
    service = Service(
        postgres.create_database("bounded_workers"),
        "--workers",
        "2",
        "--header-seconds",
        "1",
        "--headers-max",
        "20",
    )
    try:
        lines = b"".join(b"X-%d: x\r\n" % number for number in range(30))
        for _ in range(6):
            assert "20 lines" in told(answer_to(service, GET + lines + b"\r\n"), 431)
        with ExitStack() as stack:
            all_begun = [stack.enter_context(connect(service)) for _ in range(6)]
            for begun in all_begun:
                begun.sendall(GET)
            for begun in all_begun:
                assert told(rest_of(begun), 408)
        name = 'rollbook_connections_ended_total{reason="large_head"}'
        until(lambda: metric(service, name) == 6)
    finally:
        assert service.stop() == 0
        postgres.drop_database("bounded_workers")


def test_bounds_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="--connections-max must be at least 1"):
        Service(f"sqlite:///{tmp_path}/rollbook.db", "--connections-max", "0")
