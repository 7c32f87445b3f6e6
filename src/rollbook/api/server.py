"""The process that serves: uvicorn around the application, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
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
    database = open_database(settings, metrics)
    metrics.watch(database)
    log = Log(enabled=logging.getLogger().isEnabledFor(logging.INFO))
    try:
        _run(settings, database, metrics, log, started, make_app)
    finally:
        database.close()
        log.flush()


def _run(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    log: Log,
    started: Callable[[str], None],
    make_app: Callable[..., Any],
) -> None:
    config = uvicorn.Config(
        _placeholder,
        host=settings.host,
        port=settings.port,
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
        announcement = asyncio.create_task(_announce(server, started))
        await server.serve()
        announcement.cancel()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())


async def _announce(server: Server, started: Callable[[str], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")


async def _placeholder(scope: Any, receive: Any, send: Any) -> None:
    """Replaced before the first request; uvicorn wants an app when it is configured."""
