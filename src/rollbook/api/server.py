"""The process that serves: uvicorn around the application, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rollbook.api import app as application
from rollbook.api import ending, workers
from rollbook.api.housekeeping import Housekeeper
from rollbook.api.import_workers import ImportWorkers
from rollbook.api.metrics import Metrics
from rollbook.api.observe import Log, set_up_logging
from rollbook.api.streaming import CONNECTION
from rollbook.api.wire import ErrorBody
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import CannotListen

TARGET_BYTES_MAX = 512 * 1024
"""Of a request target; bulk calls put thousands of ids in the query."""

PATH_BYTES_MAX = 8 * 1024
"""Of the path in it, which the parser reads."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: more than a reverse proxy in front keeps its own (60 s)."""

BACKLOG = 2048

SHARE_SECONDS = 1.0
"""How often a worker writes its metrics where the others find them."""

COLLECT_AFTER = (50_000, 20, 100)
"""When the garbage collector looks for cycles: the interpreter's own threshold of 700 objects is reached
by a few dozen requests in flight, which cost 8 % of the time to look through, and are no garbage."""


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
        super().connection_made(cast("asyncio.Transport", OneWrite(transport)))

    def on_response_complete(self) -> None:
        cast("OneWrite", self.transport).flush()
        super().on_response_complete()

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > TARGET_BYTES_MAX:
            raise httptools.HttpParserError("The request target is too long.")
        self.url += url

    def on_headers_complete(self) -> None:
        path, _, query = self.url.partition(b"?")
        if len(path) > PATH_BYTES_MAX:
            raise httptools.HttpParserError("The request path is too long.")
        self.url = path
        scope = cast("dict[str, Any]", self.scope)
        super().on_headers_complete()
        scope["query_string"] = query.partition(b"#")[0]
        scope[CONNECTION] = self.cycle

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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        ending.ending = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


@dataclass(frozen=True)
class Parts:
    """What a service is made of.

    Args:
        open_database: opens and migrates it.
        make_app: as `app.build`; benchmarks add routes.
    """

    settings: Settings
    open_database: Callable[[Settings, Metrics], Database]
    make_app: Callable[..., Any] = application.build


def serve(parts: Parts, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was accepted and return.

    Args:
        started: called with the service's URL once it takes requests.

    Raises:
        CannotListen: the address cannot be had.
        RollbookError: whatever `open_database` raises.
    """
    settings = parts.settings
    set_up_logging(settings.log_level)
    with _bound(settings.host, settings.port) as address:
        if settings.workers == 1:
            _serve_here(parts, address, Metrics(), lambda: started(_url(address)))
            return
        parts.open_database(settings, Metrics()).close()
        with tempfile.TemporaryDirectory(prefix="rollbook-metrics-") as folder:

            def work(ready: Callable[[], None], lifeline: int) -> None:
                _serve_here(parts, address, Metrics(Path(folder)), ready, lifeline)

            workers.supervise(settings.workers, work, lambda: started(_url(address)))


def _serve_here(
    parts: Parts,
    address: socket.socket,
    metrics: Metrics,
    started: Callable[[], None],
    lifeline: int | None = None,
) -> None:
    log = Log(enabled=logging.getLogger().isEnabledFor(logging.INFO))
    database = parts.open_database(parts.settings, metrics)
    metrics.watch(database)
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
        timeout_graceful_shutdown=parts.settings.shutdown_seconds,
        backlog=BACKLOG,
    )
    server = Server(config)

    async def main() -> None:
        config.load()
        config.loaded_app = parts.make_app(parts.settings, database, metrics, log)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        if lifeline is not None:
            asyncio.get_running_loop().add_reader(lifeline, lambda: server.handle_exit(signal.SIGTERM, None))
        beside = asyncio.create_task(_beside(server, metrics, started))
        housekeeper = Housekeeper(database, metrics)
        importing = ImportWorkers(parts.settings, database)
        await server.serve([address])
        beside.cancel()
        importing.close()
        housekeeper.close()

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(main())
    finally:
        database.close()
        with contextlib.suppress(OSError):
            metrics.share()
        log.flush()


async def _beside(server: Server, metrics: Metrics, started: Callable[[], None]) -> None:
    """Tell that the server takes requests, then share its metrics as long as it does."""
    while not server.started:
        await asyncio.sleep(0.01)
    started()
    while True:
        with contextlib.suppress(OSError):  # a full disk costs numbers, not answers
            metrics.share()
        await asyncio.sleep(SHARE_SECONDS)


def _url(address: socket.socket) -> str:
    host, port = address.getsockname()[:2]
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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


async def _placeholder(scope: Any, receive: Any, send: Any) -> None:
    """Replaced before the first request; uvicorn wants an app when it is configured."""
