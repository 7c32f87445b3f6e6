"""The load generator that is always there: HTTP/1.1 with keep-alive on uvloop, and next to no parsing.

It runs in a process of its own (see `load.drive`); one of them sends several times what the service
answers.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import uvloop

LENGTH = b"\r\ncontent-length: "


class LoadFailed(Exception):
    """The server did not answer every request with 2xx; no rate may be told from such a run."""


@dataclass(frozen=True)
class Traffic:
    """Requests to one server, alike but for one number.

    Args:
        host, port: of the server.
        before, after: the request's bytes around the number.
        low, high: the number's range, both included.
    """

    host: str
    port: int
    before: bytes
    after: bytes
    low: int
    high: int


def run(requests: Traffic, connections: int, seconds: float) -> float:
    """Keep a server busy and return its answers a second.

    Raises:
        LoadFailed: an answer that is not 2xx, or none at all.
    """
    return uvloop.run(_run(requests, connections, seconds))


async def _run(requests: Traffic, connections: int, seconds: float) -> float:
    client = _Client(requests)
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(client.connection, requests.host, requests.port)
    started = time.perf_counter()
    for connection in client.connections:
        connection.send()
    done, _ = await asyncio.wait([client.failed], timeout=seconds)
    taken = time.perf_counter() - started
    for connection in client.connections:
        connection.end()
    if done:
        raise LoadFailed(client.failed.result())
    answers = sum(connection.answers for connection in client.connections)
    if not answers:
        raise LoadFailed(f"no answer in {seconds} s")
    return answers / taken


class _Client:
    """The connections, and what went wrong on any of them."""

    def __init__(self, requests: Traffic) -> None:
        self._requests = requests
        self._span = requests.high - requests.low + 1
        self.connections: list[_Connection] = []
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection(self) -> _Connection:
        """A new connection."""
        self.connections.append(_Connection(self))
        return self.connections[-1]

    def request(self) -> bytes:
        """The next request."""
        number = self._requests.low + int(random.random() * self._span)
        return b"%b%d%b" % (self._requests.before, number, self._requests.after)

    def fail(self, why: str) -> None:
        """End the run."""
        if not self.failed.done():
            self.failed.set_result(why)


class _Connection(asyncio.Protocol):
    """Sends a request as soon as the last one was answered."""

    _transport: asyncio.Transport

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._received = b""
        self._ended = False
        self.answers = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self) -> None:
        """Send the next request."""
        self._transport.write(self._client.request())

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head = data.find(b"\r\n\r\n")
        at = data.find(LENGTH, 0, head + 2)
        if (
            head < 0
            or at < 0
            or len(data) < head + 4 + int(data[at + len(LENGTH) : data.find(b"\r", at + 2)])
        ):
            self._received = data
            return
        self._received = b""
        if data[9:10] != b"2":
            self._client.fail(f"not every request was answered with 2xx: {data.decode()}")
            return
        if not self._ended:
            self.answers += 1
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended:
            self._client.fail(f"the server closed a connection: {exc}")

    def end(self) -> None:
        """Send nothing more."""
        self._ended = True
        self._transport.abort()
