"""Exports as answers: written by a process of their own, sent as fast as the client reads.

The process holds the database's snapshot. The pipe from it is the queue: when the client is slow, the pipe is
full and the process waits. When the client goes away, the process is ended (docs/decisions/0022).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from falcon.asgi import Request, Response

from rollbook.api.slots import Slots
from rollbook.errors import Unavailable
from rollbook.exports import Export
from rollbook.exports.order import UNAVAILABLE, ExportOrder

CHUNK_BYTES = 1 << 16
"""The largest chunk that is sent at once; a pipe holds as much."""

STALL_SECONDS = 60.0
"""How long a client may read nothing: it holds a snapshot, and with it all rows that were replaced since."""

FIRST_SECONDS = 60.0
"""How long an export may take until its first bytes: before them, the client has no answer at all."""

RETRY_AFTER_SECONDS = 10

CONNECTION = "rollbook.connection"
"""The key of a request's cycle in its scope, set by the server: it knows whether the client is still
there."""

_log = logging.getLogger("rollbook")


class ExportBroke(Exception):
    """An export ended before it was complete. The connection is then cut off, so that the client notices."""


class KilledBeforeItBegan(Exception):
    """A signal ended an export before its first byte."""


class Exporter:
    """Starts exports, a limited number at a time.

    Args:
        slots: the places for exports under way.
        bytes_per_second: the least that a client must read, on average over `STALL_SECONDS`.
    """

    def __init__(self, database_url: str, slots: Slots, bytes_per_second: float) -> None:
        self._database_url = database_url
        self._slots = slots
        self.bytes_per_second = bytes_per_second

    async def send(self, account_id: int, req: Request, resp: Response, export: Export, name: str) -> None:
        """Send an export as the answer.

        Args:
            name: the name of the file, without the suffix of its format.

        Raises:
            Busy: too many exports are under way.
            Unavailable: the database is unreachable.
        """
        if req.method != "HEAD":
            resp.stream = await self._begun(req, ExportOrder(self._database_url, account_id, export))
        resp.content_type = export.media_type
        resp.set_header("Content-Disposition", f'attachment; filename="{name}{export.suffix}"')

    async def _begun(self, req: Request, order: ExportOrder) -> _File:
        self._slots.take(order.account_id)
        try:
            return await self._file(req, order)
        except KilledBeforeItBegan:
            pass  # killed by a person, or for its memory: try once more
        except BaseException:
            self._slots.give_back(order.account_id)
            raise
        try:
            return await self._file(req, order)
        except KilledBeforeItBegan as error:
            self._slots.give_back(order.account_id)
            raise Unavailable(
                "The export was ended before it began; try again later.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from error
        except BaseException:
            self._slots.give_back(order.account_id)
            raise

    async def _file(self, req: Request, order: ExportOrder) -> _File:
        file = _File(self, order.account_id, req.scope.get(CONNECTION), req.context.request_id)
        try:
            await asyncio.wait_for(file.begin(order), FIRST_SECONDS)
        except TimeoutError:
            await file.end()
            raise Unavailable(
                f"The database gave nothing of the export within {FIRST_SECONDS:g} seconds.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from None
        except BaseException:
            await file.end()
            raise
        return file

    def ended(self, account_id: int) -> None:
        """Note that an export is no longer under way."""
        self._slots.give_back(account_id)


class _File:
    """An export that is being sent: chunks of bytes, one after another.

    Args:
        connection: the cycle of the request, where the server has one.
    """

    def __init__(self, exporter: Exporter, account_id: int, connection: Any, request_id: str) -> None:
        self._exporter = exporter
        self._account_id = account_id
        self._connection = connection
        self._request_id = request_id
        self._first = b""
        self._begun = False
        self._process: Process | None = None
        self._stderr: asyncio.Task[bytes] | None = None
        self._gone: asyncio.Task[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._taking_since = 0.0
        self._taking_seconds = 0.0  # how long the client took in the current window
        self._taken_bytes = 0
        self._closed = False

    async def begin(self, order: ExportOrder) -> None:
        """Start the process, and wait for its first bytes: until then an error can still become an error
        answer."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rollbook.exports", stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=CHUNK_BYTES
        )
        assert process.stdin is not None
        assert process.stderr is not None
        self._stderr = asyncio.create_task(process.stderr.read())
        if self._connection is not None:
            self._gone = asyncio.create_task(self._watch(process))
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            await process.stdin.drain()
        self._first = await self._read()
        self._begun = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        now = time.monotonic()
        if self._stall is not None:
            self._stall.cancel()
            self._taking_seconds += now - self._taking_since
            if self._taking_seconds >= STALL_SECONDS:
                if self._taken_bytes < self._exporter.bytes_per_second * self._taking_seconds:
                    self._stalled("little")
                self._taking_seconds, self._taken_bytes = 0.0, 0
        chunk, self._first = self._first, b""
        chunk = chunk or await self._read()
        if not chunk:
            raise StopAsyncIteration
        self._taken_bytes += len(chunk)
        self._taking_since = time.monotonic()
        self._stall = asyncio.get_running_loop().call_later(STALL_SECONDS, self._stalled)
        return chunk

    async def _read(self) -> bytes:
        """The next chunk; empty at the end, or when the client is gone."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        if chunk := await process.stdout.read(CHUNK_BYTES):
            return chunk
        status = await process.wait()
        if status == 0 or (self._gone is not None and self._gone.done()):
            return b""
        assert self._stderr is not None
        error = (await self._stderr).decode(errors="replace")
        if status == UNAVAILABLE:
            raise Unavailable(error)
        if status < 0 and not self._begun:
            raise KilledBeforeItBegan
        raise ExportBroke(f"the export of request {self._request_id} ended with {status}: {error}")

    async def close(self) -> None:
        """End the export at any point, and release its place."""
        if not self._closed:
            self._closed = True
            await self.end()
            self._exporter.ended(self._account_id)

    async def end(self) -> None:
        """End the process."""
        if self._stall is not None:
            self._stall.cancel()
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
        for task in (self._gone, self._stderr):
            if task is not None:
                task.cancel()

    async def _watch(self, process: Process) -> None:
        """End the process when the client goes away."""
        while (await self._connection.receive())["type"] != "http.disconnect":
            pass
        _kill(process)

    def _stalled(self, how_much: str = "nothing") -> None:
        _log.warning(
            "a client took %s of an export for %.0f seconds; it is ended",
            how_much,
            STALL_SECONDS,
            extra={"request_id": self._request_id},
        )
        if self._process is not None:
            _kill(self._process)
        if self._connection is not None:
            self._connection.transport.abort()


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
