"""Taking connections, when the operating system has no descriptor left for one too.

The event loop's own way is silent then: it closes what comes, or stops to listen for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable
from typing import Any

from rollbook.service.connections import Connections
from rollbook.service.refusals import error_answer

ACCEPTS_A_TURN = 8
"""Connections that are taken before the others have their turn."""

PAUSE_SECONDS = 0.1
"""How long nothing is taken after that failed."""

TAKEN_BYTES = 65_536
"""What is read of a request that cannot be answered otherwise."""

OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

Listening = Callable[[], asyncio.Protocol]


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as it may allow itself; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Acceptor:
    """Takes the connections of a socket, as `asyncio.Server` does.

    Args:
        listening: bound, not listening yet.
        make: makes the protocol of a connection.
    """

    def __init__(
        self, listening: socket.socket, backlog: int, make: Listening, connections: Connections
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._make = make
        self._connections = connections
        self._opening: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._spare = _nothing_open()
        listening.setblocking(False)
        listening.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    async def wait_closed(self) -> None:
        """Nothing is waited for: who is connected is known elsewhere."""

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                taken, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._failed(error)
                return
            task = self._loop.create_task(self._open(taken))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, taken: socket.socket) -> None:
        try:
            taken.setblocking(False)
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._make, taken)
        except OSError:
            taken.close()  # it went away meanwhile

    def _failed(self, error: OSError) -> None:
        """Make room, or tell the one who waits longest that there is none; then go on."""
        self._connections.not_accepted(error)
        short = error.errno in OUT_OF_DESCRIPTORS and not self._opening
        if short and not self._connections.let_go_of_idle("descriptors"):
            self._tell_one()
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _tell_one(self) -> None:
        if self._spare is None:
            self._spare = _nothing_open()
            return
        os.close(self._spare)
        with contextlib.suppress(OSError):
            taken, _ = self._listening.accept()
            with taken:
                taken.setblocking(False)
                taken.send(
                    error_answer(503, "The service has no descriptor left for a connection; try again.")
                )
        self._spare = _nothing_open()


def _nothing_open() -> int | None:
    """A descriptor to be given up when one is needed; `None` when there is none left."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
