"""Bodies of requests, read to their end or refused: half of a file must never count as the whole.

A server reports that a client is gone, and a framework takes that for the end of the body. So every route
reads its body through this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import falcon.asgi

from rollbook.api.digests import Digests
from rollbook.api.errors import ApiError

REST_BYTES_MAX = 64 * 1024
"""How much may follow after all that a route needs, for example behind the last boundary of a form."""

Event = Mapping[str, Any]


STILL_TO_COME: Event = {"type": "http.request", "more_body": True}
"""What the framework gets in place of the first event, which is then read like all others."""


class CutOff(ApiError):
    """The body ended early. Often the client is gone and cannot read this answer."""

    def __init__(self, came: int, length: int | None) -> None:
        what = f"{came} of {length} bytes came" if length is not None else f"{came} bytes came, no last chunk"
        super().__init__(400, f"The body was cut off: {what}. Nothing was changed.")


class Request(falcon.asgi.Request):
    """A request whose body is complete: reading an incomplete one raises `CutOff`."""

    def __init__(self, scope: Any, receive: Any, first_event: Any = None, options: Any = None) -> None:
        self._server = receive
        self._came = first_event
        self._body: _Body | None = None
        super().__init__(scope, self._next, STILL_TO_COME, options)

    async def _next(self) -> Event:
        return await self._opened()()

    def _opened(self) -> _Body:
        """The body, created when it is first read."""
        if self._body is None:
            self._body = _Body(self._server, self._came, self._asgi_headers)
        return self._body

    async def read_all(self, most: int) -> bytes:
        """The body, or its first `most` + 1 bytes where it has more.

        Raises: see `see_the_end`.
        """
        body = self._opened()
        if (whole := body.whole()) is not None:
            return whole
        data: bytes = await self.stream.read(most + 1)
        if len(data) <= most:
            await self.see_the_end()
        return data

    async def see_the_end(self) -> None:
        """Skip the rest of the body, once everything needed was read.

        Raises:
            CutOff: the client is gone, or the body ended before its length.
            ApiError: 400, the body is not the one that its headers describe; 413, it does not end.
        """
        await self._opened().see_the_end()

    @property
    def wants_other_digests(self) -> bool:
        """Whether all digests in the request have unknown algorithms."""
        body = self._body
        return body is not None and body.digests is not None and body.digests.unknown


class _Body:
    """The events of a body, in place of those of the server.

    Args:
        first: the event that has already arrived.
        headers: by name; several values of the same name are joined by commas.

    Raises:
        ApiError: 400, a header describes the body wrongly, or asks for another protocol after it.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        first: Event | None,
        headers: Mapping[bytes, bytes],
    ) -> None:
        self._receive = receive
        self._first = first
        self._ended = False
        self._length = int(headers[b"content-length"]) if b"content-length" in headers else None
        self._came = 0
        self.digests: Digests | None = None
        # The server's parser drops the body of a request for another protocol, and reports it as complete.
        if (
            b"upgrade" in headers
            and b"upgrade" in headers.get(b"connection", b"").lower()
            and (self._length or b"transfer-encoding" in headers)
        ):
            raise ApiError(
                400, "A request with a body cannot change the protocol: leave out the header Upgrade."
            )
        if b"content-digest" in headers:
            self.digests = Digests(headers[b"content-digest"].decode("latin-1"))

    async def __call__(self) -> Event:
        """The next event.

        Raises: see `Request.see_the_end`.
        """
        if self._first is not None:
            event, self._first = self._first, None
        else:
            event = await self._receive()
        if not self._ended:
            self.count(event)
        return event

    def whole(self) -> bytes | None:
        """The whole body, where the first event has it; `None` where it still has to be read."""
        event = self._first
        if event is None or event.get("more_body", False):
            return None
        self._first = None
        self.count(event)
        return bytes(event["body"])

    def count(self, event: Event) -> None:
        """Count an event as a part of the body.

        Raises: see `Request.see_the_end`.
        """
        if event["type"] == "http.disconnect":
            raise CutOff(self._came, self._length)
        piece = event.get("body", b"")
        self._came += len(piece)
        if self.digests is not None:
            self.digests.update(piece)
        if not event.get("more_body", False):
            if self._came < (self._length or 0):
                raise CutOff(self._came, self._length)
            self._ended = True
            if self.digests is not None:
                self.digests.check()

    async def see_the_end(self) -> None:
        rest = 0
        while not self._ended:
            event = await self()
            rest += len(event.get("body", b""))
            if rest > REST_BYTES_MAX:
                raise ApiError(413, "The body goes on behind its end.")
