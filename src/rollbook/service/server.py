"""The server process: runs uvicorn around the application, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn

from rollbook.api import app as application
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import CannotListen
from rollbook.imports.starter import ImportWorkers
from rollbook.logs import Log, set_up_logging
from rollbook.metrics import Metrics
from rollbook.service import workers
from rollbook.service.accepting import Acceptor, raise_descriptor_limit
from rollbook.service.connections import Bounds, Connections, Protocol
from rollbook.service.housekeeping import Housekeeper

BACKLOG = 2048

SWEEP_SECONDS = 0.5
"""How often connections that take too long are looked for."""

SHARE_SECONDS = 1.0
"""How often a worker writes its metrics for the other workers."""

COLLECT_AFTER = (50_000, 20, 100)
"""When the garbage collector looks for cycles. A few dozen requests in flight reach the interpreter's own
threshold of 700 objects; looking through them takes 8 % of the time, and they are not garbage."""


class Server(uvicorn.Server):
    """The server of uvicorn, with limits on connections; after a signal it exits with 0 once all is
    finished."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        def make() -> Protocol:
            return Protocol(self._connections, self.server_state, self.config.loaded_app)

        self.servers = [
            cast("Any", Acceptor(listening, self.config.backlog, make, self._connections))
            for listening in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


@dataclass(frozen=True)
class Parts:
    """The parts of a service.

    Args:
        open_database: opens and migrates the database.
        make_app: makes the application, as `app.build`; benchmarks add routes.
    """

    settings: Settings
    open_database: Callable[[Settings, Metrics], Database]
    make_app: Callable[..., Any] = application.build


def serve(parts: Parts, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was accepted and return.

    Args:
        started: called with the service's URL once it accepts requests.

    Raises:
        CannotListen: the address is not available.
        RollbookError: an error of `open_database`.
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
    connections = Connections(Bounds.of(parts.settings, raise_descriptor_limit()), metrics)
    config = uvicorn.Config(
        _placeholder,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=parts.settings.shutdown_seconds,
        backlog=BACKLOG,
    )
    server = Server(config, connections)

    async def main() -> None:
        config.load()
        config.loaded_app = parts.make_app(
            parts.settings, database, metrics, log, ending=lambda: server.should_exit
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        if lifeline is not None:
            asyncio.get_running_loop().add_reader(lifeline, lambda: server.handle_exit(signal.SIGTERM, None))
        beside = [
            asyncio.create_task(_beside(server, metrics, started)),
            asyncio.create_task(_sweep(connections)),
        ]
        housekeeper = Housekeeper(database, metrics)
        importing = ImportWorkers(parts.settings, database)
        await server.serve([address])
        for task in beside:
            task.cancel()
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
    """Report that the server accepts requests, then share its metrics as long as it runs."""
    while not server.started:
        await asyncio.sleep(0.01)
    started()
    while True:
        with contextlib.suppress(OSError):  # a full disk costs numbers, not answers
            metrics.share()
        await asyncio.sleep(SHARE_SECONDS)


async def _sweep(connections: Connections) -> None:
    """End connections that take too long."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.sweep(time.monotonic())


def _url(address: socket.socket) -> str:
    host, port = address.getsockname()[:2]
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, before anything else is touched."""
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
    """Replaced before the first request; uvicorn requires an app in its configuration."""
