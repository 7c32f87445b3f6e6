"""The process that serves: uvicorn around the application, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rollbook.api import app as application
from rollbook.api.observe import Log, Metrics, set_up_logging
from rollbook.api.wire import ErrorBody
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import CannotListen

TARGET_BYTES_MAX = 512 * 1024
"""Of a request target; bulk calls put thousands of ids in the query."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: more than a reverse proxy in front keeps its own (60 s)."""

BACKLOG = 2048


class OneWrite:
    """A transport that sends the head of an answer together with its body.

    uvicorn writes them one after the other: two system calls and two packets for every answer, which
    is a fifth of a short request's time (docs/decisions/0006-one-write-an-answer.md).
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold the head of a final answer until its body comes; send anything else at once."""
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self.flush()
            self._head = data
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data)

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is held, then close."""
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with long request targets, one write an answer, and the one form of errors.

    The URL parser counts in 16 bits: of a target over 64 KiB it sees only a part. So the query is
    split off before the target is parsed.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > TARGET_BYTES_MAX:
            raise httptools.HttpParserError("The request target is too long.")
        self.url += url

    def on_headers_complete(self) -> None:
        path, _, query = self.url.partition(b"?")
        if len(path) > 8192:
            raise httptools.HttpParserError("The request path is too long.")
        self.url = path
        scope = self.scope
        super().on_headers_complete()
        scope["query_string"] = query.partition(b"#")[0]

    def send_400_response(self, msg: str) -> None:
        body = msgspec.json.encode(ErrorBody(msg, []))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (os.urandom(8).hex().encode(), len(body), body)
        )
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, which after a signal exits with 0 once everything is finished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def serve(
    settings: Settings,
    open_database: Callable[[Settings, Metrics], Database],
    started: Callable[[str], None],
    make_app: Callable[..., Any] = application.build,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was accepted and return.

    Args:
        open_database: opens and migrates it.
        started: called with the service's URL once it listens.
        make_app: as `app.build`; benchmarks add routes.
    """
    set_up_logging(settings.log_level)
    metrics = Metrics()
    log = Log(enabled=logging.getLogger().isEnabledFor(logging.INFO))
    with _bound(settings.host, settings.port) as address:
        database = open_database(settings, metrics)
        metrics.watch(database)
        try:
            _run(settings, database, metrics, log, address, started, make_app)
        finally:
            database.close()
            log.flush()


def _run(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    log: Log,
    address: socket.socket,
    started: Callable[[str], None],
    make_app: Callable[..., Any],
) -> None:
    config = uvicorn.Config(
        _placeholder,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        backlog=BACKLOG,
    )
    server = Server(config)

    async def main() -> None:
        config.load()
        config.loaded_app = make_app(settings, database, metrics, log)
        announcement = asyncio.create_task(_announce(server, address, started))
        await server.serve([address])
        announcement.cancel()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the address, before anything else is touched."""
    try:
        [(family, kind, protocol, _, place), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        address = socket.socket(family, kind, protocol)
        try:
            address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address.bind(place)
        except BaseException:
            address.close()
            raise
    except OSError as error:
        raise CannotListen(host, port, error.strerror or str(error)) from error
    return address


async def _announce(server: Server, address: socket.socket, started: Callable[[str], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = address.getsockname()[:2]
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")


async def _placeholder(scope: Any, receive: Any, send: Any) -> None:
    """Replaced before the first request; uvicorn wants an app when it is configured."""
