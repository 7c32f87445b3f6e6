"""Limits on connections: the size and time of a head, the pace of a body and of a reader, their number.

Anyone who can reach the port can use up all of these without a key, so no limit depends on one. One sweep
over all connections checks the times, instead of a timer for each: a request costs no timer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from rollbook.api.streaming import CONNECTION
from rollbook.config import Settings
from rollbook.metrics import Metrics
from rollbook.service.cycle import Application, Connection, Cycle
from rollbook.service.refusals import Refused, error_answer

TARGET_BYTES_MAX = 512 * 1024
"""The longest request target; bulk calls put thousands of ids in the query."""

PATH_BYTES_MAX = 8 * 1024
"""The longest path in a request target; the parser reads it."""

PIPELINED_MAX = 100
"""How many requests of a connection may wait while one is answered."""

HEADS_BYTES_MAX = 64 * 1024 * 1024
"""The total size of all incomplete heads."""

ANSWERS_BYTES_MAX = 128 * 1024 * 1024
"""The total size of all answers that wait for their readers."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: more than a reverse proxy in front keeps its own (60 s)."""

LINGER_SECONDS = 2.0
"""How long further bytes from a refused client are read and dropped: a connection that is closed at once,
with unread bytes, loses the answer."""

LINGERING_MAX = 64
"""How many connections beyond the limit get an answer that says so."""

TELL_SECONDS = 10.0
"""The log reports the same trouble once in this time."""

ASGI = {"version": "3.0", "spec_version": "2.3"}

FRAMING = (b"content-length", b"transfer-encoding")
"""Headers that define the length of a body."""

_log = logging.getLogger("rollbook")


@dataclass(frozen=True)
class Bounds:
    """The limits on connections.

    Args:
        connections: how many there may be at once.
        header_bytes: the total size of a request's headers.
        headers: the number of header lines.
        header_seconds: the time from the connection, or the first byte of a further request, to the end of
            the head.
        bytes_per_second: the slowest pace at which a body may arrive and an answer may be read; 0 for no
            limit.
        slow_seconds: the time over which that pace is measured.
    """

    connections: int
    header_bytes: int
    headers: int
    header_seconds: float
    bytes_per_second: float
    slow_seconds: float

    @classmethod
    def of(cls, settings: Settings, descriptors: int) -> Bounds:
        """The limits of a process with that many descriptors: a connection may need a second one, for a
        file."""
        return cls(
            max(1, min(settings.connections_max, (descriptors - 100) // 2)),
            settings.header_bytes_max,
            settings.headers_max,
            settings.header_seconds,
            settings.transfer_bytes_per_second_min,
            settings.slow_seconds,
        )


class Connections:
    """The state that the connections of a process share."""

    def __init__(self, bounds: Bounds, metrics: Metrics) -> None:
        self.bounds = bounds
        self.idle: dict[Protocol, None] = {}
        """Connections that wait for the first byte of a request, the longest wait first."""
        self.slow: dict[Protocol, None] = {}
        """Connections whose answer waits for the reader, the longest wait first."""
        self.all: set[Protocol] = set()
        self.heads_bytes = 0
        self._metrics = metrics
        self._told: dict[str, float] = {}
        self._headers: list[tuple[bytes, bytes]] = []
        self._head = b""

    def common_head(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The header lines that every answer has; the server makes a new list each second."""
        if headers is not self._headers:
            self._headers = headers
            self._head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self._head

    def ended(self, reason: str, message: str) -> None:
        """Count a connection that is ended, and log the first of many."""
        self._metrics.ended(reason)
        now = time.monotonic()
        if now - self._told.get(reason, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[reason] = now
            _log.warning("connection ended (%s): %s", reason, message)

    def not_accepted(self, error: OSError) -> None:
        """Count a connection that could not be accepted, and log the first of many."""
        self._metrics.accept_failed()
        now = time.monotonic()
        if now - self._told.get("accept", -TELL_SECONDS) >= TELL_SECONDS:
            self._told["accept"] = now
            _log.error(
                "a connection cannot be accepted: %s; %d are open",
                error.strerror or error,
                len(self.all),
            )

    def let_go_of_idle(self, reason: str = "idle_at_limit") -> bool:
        """Close the connection that has been idle the longest; False if none is idle."""
        for connection in self.idle:
            del self.idle[connection]
            self.ended(reason, "another one needs its place")
            connection.transport.abort()
            return True
        return False

    def admit(self, connection: Protocol) -> None:
        """Accept a new connection, or refuse it because there are too many."""
        self.all.add(connection)
        self.idle[connection] = None
        self._metrics.connections = len(self.all)
        most = self.bounds.connections
        if len(self.all) <= most:
            return
        first = next(iter(self.idle))
        if first is not connection:
            self.let_go_of_idle()
            return
        del self.idle[connection]
        if len(self.all) > most + LINGERING_MAX:
            self.ended("limit", f"{most} are open")
            connection.transport.abort()
        else:
            connection.refuse(503, "The service has as many connections as it takes; try again.", "limit")

    def forget(self, connection: Protocol) -> None:
        """Forget a connection that is closed."""
        self.all.discard(connection)
        self.idle.pop(connection, None)
        self.slow.pop(connection, None)
        self._metrics.connections = len(self.all)

    def make_room_for_answers(self) -> None:
        """End the slowest readers while too many bytes wait for readers."""
        waiting = {connection: connection.unsent for connection in self.slow}
        total = sum(waiting.values())
        for connection, size in waiting.items():
            if total <= ANSWERS_BYTES_MAX:
                return
            total -= size
            self.slow.pop(connection, None)
            self.ended("slow_reader", "too many answers wait to be read")
            connection.transport.abort()

    def sweep(self, now: float) -> None:
        """End connections that take too long.

        Args:
            now: the time of `time.monotonic`.
        """
        for connection in list(self.all):
            connection.look_at(now)


IDLE, HEAD, BODY, WHOLE = range(4)
"""How much of a request has arrived: nothing, a part of its head, its head, all of it."""


class Pace:
    """Measures whether something progresses quickly enough, each time it is checked."""

    __slots__ = ("_at", "_since")

    def __init__(self) -> None:
        self._since: float | None = None
        self._at = 0

    def rest(self) -> None:
        """Stop measuring: no progress is expected now."""
        self._since = None

    def too_slow(self, done: int, now: float, bounds: Bounds) -> bool:
        """Whether less was done in `slow_seconds` than required."""
        if self._since is None:
            self._since, self._at = now, done
        elif now - self._since >= bounds.slow_seconds:
            if done - self._at < bounds.bytes_per_second * (now - self._since):
                return True
            self._since, self._at = now, done
        return False


class Protocol(Connection):
    """HTTP on one connection, with limits, long request targets, and errors in their common form.

    The URL parser counts in 16 bits: of a target over 64 KiB it sees only a part. So the query is split off
    before the target is parsed.
    """

    def __init__(self, connections: Connections, server: ServerState, application: Application) -> None:
        super().__init__(asyncio.get_running_loop())
        self._shared = connections
        self._server = server
        self._application = application
        self._parser = _parser_for(self)
        self._pipeline: deque[Cycle] = deque()
        self._cycle: Cycle | None = None
        self._address: dict[str, Any] = {}
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._bounds = connections.bounds
        self._stage = IDLE
        self._since = time.monotonic()
        self._unread = 0  # bytes that arrived since the last event of the parser
        self._held = 0  # how many of them count against HEADS_BYTES_MAX
        self._framing: list[tuple[bytes, bytes]] = []
        self._body_bytes = 0
        self._coming = Pace()
        self._going = Pace()
        self._refused_at: float | None = None
        self._used = False
        self._body_follows = False  # although the parser reports that the message ends with its head

    # The connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._address = {
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "http",
        }
        self._server.connections.add(cast("Any", self))
        self._shared.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hold(0)
        self._shared.forget(self)
        self._server.connections.discard(cast("Any", self))
        if self._cycle is not None:
            self._cycle.gone()
        super().resume_writing()
        del self._parser  # it and this connection refer to each other

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        if self._stage == IDLE:
            self._shared.idle.pop(self, None)
            self._stage = HEAD
            if self._used:  # the time of the first request starts with the connection
                self._since = time.monotonic()
        self._unread += len(data)
        try:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                self._read_otherwise(data, error)
            if self._stage in (HEAD, BODY):
                self._bound_what_is_unread()
        except Refused as refused:
            self.refuse(refused.status, refused.message, refused.reason)

    def _read_otherwise(self, data: bytes, error: Exception) -> None:
        """Ignore a request to upgrade: what follows its head is read as if it had not asked for it.

        Raises:
            Refused: the parser failed for another reason.
        """
        while isinstance(error, httptools.HttpParserUpgrade):
            data = data[error.args[0] :]
            self._read_on()
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as further:
                error = further
            else:
                return
        if isinstance(error.__context__, Refused):
            raise error.__context__ from None
        raise Refused(400, "Invalid HTTP request received.", "malformed") from None

    def _read_on(self) -> None:
        """Start a new parser: the old one would not read what follows as a body. The new one gets the length
        of that body."""
        self._parser = _parser_for(self)
        if self._body_follows:
            framing = [name + b": " + value for name, value in self._framing]
            self._parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", b""]))
            self._body_follows = False

    def _bound_what_is_unread(self) -> None:
        if self._stage == BODY and self._unread == 0:
            self._hold(0)
            return
        if self._unread - len(self._url) > self._bounds.header_bytes:
            raise self._too_large()
        self._hold(self._unread)
        if self._shared.heads_bytes > HEADS_BYTES_MAX:
            raise Refused(503, "The service is behind with its work; try again.", "limit")

    def _hold(self, size: int) -> None:
        self._shared.heads_bytes += size - self._held
        self._held = size

    def _too_large(self) -> Refused:
        return Refused(
            431,
            f"The headers of a request may have {self._bounds.headers} lines and {self._bounds.header_bytes} "
            "bytes.",
            "large_head",
        )

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._body_follows:
            return
        if len(self._pipeline) >= PIPELINED_MAX:
            raise Refused(503, "Too many requests wait for the answers before theirs.", "limit")
        self._url = b""
        self._headers = []
        self._expects_continue = False
        if self._stage != HEAD:
            self._stage, self._since = HEAD, time.monotonic()

    def on_url(self, url: bytes) -> None:
        if self._body_follows:
            return
        if len(self._url) + len(url) > TARGET_BYTES_MAX:
            raise Refused(400, "The request target is too long.", "large_head")
        if not self._url:
            self._url = url
        else:
            if isinstance(self._url, bytes):
                self._url = cast("bytes", bytearray(self._url))  # a bytearray grows in place
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._body_follows:
            return
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Refused(400, f"The service speaks HTTP/1.1 and HTTP/1.0, not HTTP/{version}.", "malformed")
        # Counted here, once: until now, the limit on unread bytes of the head covered them.
        if len(headers) > self._bounds.headers or (
            self._unread > self._bounds.header_bytes
            and sum(len(name) + len(value) for name, value in headers) > self._bounds.header_bytes
        ):
            raise self._too_large()
        raw_path, query = _split(self._url)
        path = raw_path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            **self._address,
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }
        before = self._cycle
        self._cycle = cycle = Cycle(
            self,
            scope,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects_continue=self._expects_continue,
        )
        scope[CONNECTION] = cycle
        self._headers = []  # trailers of a chunked body are not headers of the request: they are dropped
        self._stage, self._unread, self._body_bytes = BODY, 0, 0
        self._coming.rest()
        if parser.should_upgrade():
            self._framing = [header for header in headers if header[0] in FRAMING]
            self._body_follows = bool(self._framing)
        if before is None or before.response_complete:
            self._begin(cycle)
        else:
            self.pause_reading()
            self._pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body_bytes += len(body)
        if self._cycle is not None:
            self._cycle.take(body)

    def on_message_complete(self) -> None:
        if self._body_follows:
            return
        self._stage, self._unread = WHOLE, 0
        if self._held:
            self._hold(0)
        if self._cycle is not None:
            self._cycle.end()
        self._rest()

    # The application

    def _begin(self, cycle: Cycle) -> None:
        self.common_head = self._shared.common_head(self._server.default_headers)
        cycle.task = self.loop.create_task(cycle.run(self._application))
        self._server.tasks.add(cycle.task)

    def over(self, cycle: Cycle) -> None:
        if cycle.task is not None:
            self._server.tasks.discard(cycle.task)

    def answered(self) -> None:
        if self.transport.is_closing():
            return
        self.resume_reading()
        if self._pipeline:
            self._begin(self._pipeline.popleft())
        else:
            self._rest()

    def _rest(self) -> None:
        """Wait for the next request, if the current one is read and answered."""
        cycle = self._cycle
        if (
            self._stage == WHOLE
            and cycle is not None
            and cycle.response_complete
            and not self.transport.is_closing()
        ):
            self._stage, self._used, self._since = IDLE, True, time.monotonic()
            self._shared.idle[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._shared.slow[self] = None
        self._shared.make_room_for_answers()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._shared.slow.pop(self, None)

    # What takes too long

    @property
    def _answering(self) -> bool:
        return self._cycle is not None and not self._cycle.response_complete

    @property
    def unsent(self) -> int:
        """How many bytes of answers the client has not read."""
        return 0 if self.transport.is_closing() else int(self.transport.get_write_buffer_size())

    def look_at(self, now: float) -> None:
        """End the connection if it takes too long."""
        bounds = self._bounds
        if self._refused_at is not None:
            if now - self._refused_at > LINGER_SECONDS:
                self.transport.abort()
            return
        answering = self._answering
        if self.unsent:
            if self._going.too_slow(self.written - self.unsent, now, bounds):
                self._shared.ended("slow_reader", "its answer was not read")
                self.transport.abort()
                return
        else:
            self._going.rest()
        if self._stage == BODY:
            cycle = self._cycle
            waits_for_us = self.read_paused or (
                answering and cycle is not None and cycle.waiting_for_100_continue
            )
            if waits_for_us:
                self._coming.rest()
            elif self._coming.too_slow(self._body_bytes, now, bounds):
                least = f"{bounds.bytes_per_second:g} bytes a second"
                self.refuse(408, f"The body came more slowly than {least}; nothing was changed.", "slow_body")
        elif answering:
            self._since = now  # the time for the next request starts after the answer
        elif self._stage == HEAD and now - self._since > bounds.header_seconds:
            self.refuse(
                408, f"The request's head did not come within {bounds.header_seconds:g} seconds.", "slow_head"
            )
        elif self._stage == IDLE and self._used:
            if now - self._since > KEEP_ALIVE_SECONDS:
                self.transport.close()
        elif self._stage == IDLE and now - self._since > bounds.header_seconds:
            self._shared.ended("slow_head", "no request came")
            self.transport.close()

    def refuse(self, status: int, message: str, reason: str) -> None:
        """Answer with an error, if the client can still tell which request it answers, and end the
        connection."""
        self._shared.ended(reason, message)
        self._refused_at = time.monotonic()
        self._hold(0)
        cycle = self._cycle
        under_way = self._answering
        # The client must not take the error for the answer to another request.
        if self._stage == BODY:
            answerable = cycle is not None and under_way and not cycle.response_started and not self._pipeline
        else:
            answerable = not under_way
        if not answerable or self.transport.is_closing():
            self.transport.abort()
            return
        if cycle is not None:
            cycle.gone()
        self.resume_reading()
        self.write(error_answer(status, message))
        self.transport.write_eof()

    def shutdown(self) -> None:
        """Close the connection, once the current request is answered."""
        if self._cycle is not None and self._answering and self._refused_at is None:
            self._cycle.keep_alive = False
        else:
            self.transport.close()


def _parser_for(protocol: Protocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # Without it, bytes after a request that closes the connection would be an error. They are ignored.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _split(target: bytes) -> tuple[bytes, bytes]:
    """The path and the query of a request target, as they came.

    Raises:
        Refused: the path or the query is not acceptable.
    """
    path, _, query = bytes(target).partition(b"?")
    if len(path) > PATH_BYTES_MAX:
        raise Refused(400, "The request path is too long.", "large_head")
    if not query.isascii():
        raise Refused(400, "The query of the request target is not percent-encoded.", "malformed")
    if not path.startswith(b"/") or path.startswith(b"//") or b"#" in path:
        path = httptools.parse_url(path).path
    return path, query.partition(b"#")[0]
