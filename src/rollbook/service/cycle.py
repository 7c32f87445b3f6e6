"""One request to the application and its answer, and the connection that carries both.

The application is called through ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html). Each of its
failures becomes an error in the common form, as long as nothing was sent.
"""

from __future__ import annotations

import asyncio
import http
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from rollbook.api.errors import ErrorBody

Application = Callable[[Any, Any, Any], Awaitable[None]]
Event = dict[str, Any]

HELD_BYTES_MAX = 64 * 1024
"""How much of a body may wait unread by the application: beyond that, reading pauses."""

WHOLE_BYTES_MAX = 64 * 1024
"""The largest body that is joined with its head into one piece."""

FAILED = "The service failed; the log has the details under this request id."

_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that would end a header, or cut it."""

_BODILESS = (204, 304)
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in http.HTTPStatus
}

_log = logging.getLogger("rollbook")


class Connection(asyncio.Protocol, ABC):
    """The sending side of a connection."""

    transport: Any

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.written = 0
        """How many bytes of answers were written."""
        self.common_head = b""
        """The header lines that every answer has."""
        self.read_paused = False
        self.writable: asyncio.Event | None = None
        """Set when more can be sent; waited for while the client does not read."""

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still there: the loop notices before the application does."""
        if not self.transport.is_closing():
            self.written += len(data)
            self.transport.write(data)

    def pause_reading(self) -> None:
        """Stop reading for now."""
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    @abstractmethod
    def answered(self) -> None:
        """Called when the answer to the current request is sent."""

    @abstractmethod
    def over(self, cycle: Cycle) -> None:
        """Called when the application is done with a request."""


class Cycle:
    """A request and its answer.

    The head of an answer is sent together with the first piece of its body: two writes are two system calls
    and two packets, a fifth of a short request's time (docs/decisions/0006-one-write-an-answer.md).

    Args:
        scope: the scope of ASGI.
        keep_alive: whether the connection stays open afterwards.
        expects_continue: whether the client waits for permission to send the body.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_connection",
        "_head",
        "_more_body",
        "_news",
        "_rest",
        "_scope",
        "_waiting",
        "disconnected",
        "keep_alive",
        "response_complete",
        "response_started",
        "task",
        "waiting_for_100_continue",
    )

    def __init__(
        self, connection: Connection, scope: Event, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self._connection = connection
        self._scope = scope
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_continue
        self.task: asyncio.Task[None] | None = None
        """The task that runs it."""
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._body = b""
        self._more_body = True
        self._news = False  # set when there is something to receive
        self._waiting: asyncio.Event | None = None
        self._head = b""
        self._chunked = False
        self._rest = 0  # bytes of the answer's body that are still to be sent

    @property
    def transport(self) -> Any:
        """The transport of the connection."""
        return self._connection.transport

    # The body of the request

    def take(self, piece: bytes) -> None:
        """Add the next bytes of the request's body."""
        if self.response_complete:
            return
        self._body = self._body + piece if self._body else piece
        if len(self._body) > HELD_BYTES_MAX:
            self._connection.pause_reading()
        self._tell()

    def end(self) -> None:
        """Note that the request's body is complete."""
        if not self.response_complete:
            self._more_body = False
            self._tell()

    def gone(self) -> None:
        """Note that the client is gone."""
        if not self.response_complete:
            self.disconnected = True
        self._tell()

    def _tell(self) -> None:
        self._news = True
        if self._waiting is not None:
            self._waiting.set()

    # The application

    async def run(self, application: Application) -> None:
        """Let the application answer the request."""
        try:
            await application(self._scope, self.receive, self.send)
        except BaseException as error:
            self._fail(error)
        else:
            if not (self.response_complete or self.disconnected):
                self._fail(RuntimeError("the application returned without a whole answer"))
        finally:
            self._connection.over(self)

    async def receive(self) -> Event:
        """The next event: bytes of the body, or that the client is gone or answered."""
        connection = self._connection
        if self.waiting_for_100_continue:
            self.waiting_for_100_continue = False
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            connection.resume_reading()
            while not self._news:
                if self._waiting is None:
                    self._waiting = asyncio.Event()
                self._waiting.clear()
                await self._waiting.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": self._more_body}

    async def send(self, event: Event) -> None:
        """Send the head of the answer, or bytes of its body.

        Raises:
            RuntimeError: the event is not allowed now, or the body does not have the length in its head.
        """
        if (writable := self._connection.writable) is not None and not self.disconnected:
            await writable.wait()
        if self.disconnected:
            return
        kind = event["type"]
        if not self.response_started and kind == "http.response.start":
            self._begin(event["status"], event["headers"])
        elif self.response_started and not self.response_complete and kind == "http.response.body":
            self._go_on(event.get("body", b""), event.get("more_body", False))
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}.")

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if _UNFIT.search(b"\t".join([part for header in headers for part in header])):
            raise RuntimeError("A header holds a control character.")
        lines = [_STATUS_LINES[status], self._connection.common_head]
        has_length = closes = False
        for name, value in headers:
            if name == b"content-length":
                self._rest, has_length = int(value), True
            elif name == b"connection":
                closes = value.lower() == b"close"
            lines.append(b"%b: %b\r\n" % (name, value))
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if not has_length and status not in _BODILESS and self._scope["method"] != "HEAD":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        self.response_started, self.waiting_for_100_continue = True, False

    def _go_on(self, body: bytes, more: bool) -> None:
        if self._scope["method"] == "HEAD":
            body = b""
            self._rest = 0
        elif self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = piece if more else piece + b"0\r\n\r\n"
        else:
            self._rest -= len(body)
            if self._rest < 0 or (self._rest and not more):
                raise RuntimeError("The body has another length than its Content-Length.")
        if self._head and len(body) <= WHOLE_BYTES_MAX:
            body, self._head = self._head + body, b""
        elif self._head:
            self._flush()
        if body:
            self._connection.write(body)
        if not more:
            self.response_complete = True
            self._tell()
            if not self.keep_alive:
                self.transport.close()
            self._connection.answered()

    def _flush(self) -> None:
        """Send a head that is not followed by a body yet."""
        if self._head:
            head, self._head = self._head, b""
            self._connection.write(head)

    def _fail(self, error: BaseException) -> None:
        """Log a failure of the application, and answer with an error if nothing was sent."""
        request_id = os.urandom(8).hex()
        _log.error("unforeseen error", exc_info=error, extra={"request_id": request_id})
        if self.disconnected:
            return
        if self.response_started:
            self._flush()
            self.transport.close()
            return
        body = msgspec.json.encode(ErrorBody(FAILED, []))
        self._begin(
            500,
            [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"x-request-id", request_id.encode()),
                (b"connection", b"close"),
            ],
        )
        self._go_on(body, more=False)
