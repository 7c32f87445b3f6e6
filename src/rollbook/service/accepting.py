"""Accepts connections, even when the operating system has no file descriptor left.

The event loop's own way fails silently then: it closes new connections, or stops listening for good.
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
"""How many connections are accepted before the existing ones get their turn."""

PAUSE_SECONDS = 0.1
"""How long to wait after a connection could not be accepted."""

TAKEN_BYTES = 65_536
"""How much is read of a request that can only be refused."""

OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

Listening = Callable[[], asyncio.Protocol]


def raise_descriptor_limit() -> int:
    """Raise the descriptor limit of this process as far as the system allows, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Acceptor:
    """Accepts the connections of a socket, as `asyncio.Server` does.

    Args:
        listening: the socket, bound but not listening yet.
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
        """Accept no more connections."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    async def wait_closed(self) -> None:
        """Return at once: open connections are known elsewhere."""

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
            taken.close()  # the client went away meanwhile

    def _failed(self, error: OSError) -> None:
        """Make room, or refuse the client that has waited longest; then continue."""
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
    """A descriptor to give up when one is needed; `None` when there is none left."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
