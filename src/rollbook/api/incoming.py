"""Requests whose bodies are all there, or an error.

A server tells that a client is gone, and a framework takes that for the end of the body: half of a file would
be taken for the whole. So whatever reads a body, of any route, reads through this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import falcon.asgi

from rollbook.api.digests import Digests
from rollbook.api.errors import ApiError

REST_BYTES_MAX = 64 * 1024
"""What may come after all that a route needs, as behind the last boundary of a form."""

Event = dict[str, Any]


class CutOff(ApiError):
    """Less of a body came than was to come. Often nobody is there any more to read this."""

    def __init__(self, came: int, length: int | None) -> None:
        what = f"{came} of {length} bytes came" if length is not None else f"{came} bytes came, no last chunk"
        super().__init__(400, f"The body was cut off: {what}. Nothing was changed.")


class Request(falcon.asgi.Request):
    """A request whose body is all there: else whatever reads it raises `CutOff`."""

    def __init__(self, scope: Any, receive: Any, first_event: Any = None, options: Any = None) -> None:
        self._body = _Body(receive, first_event, scope["headers"])
        # The first event goes the same way as the others: to the framework it is still to come.
        super().__init__(scope, self._body, {"type": "http.request", "more_body": True}, options)

    async def see_the_end(self) -> None:
        """Leave out what still comes of the body, once all that is needed was read.

        Raises:
            CutOff: the client is gone, or the body ended before its length.
            ApiError: 400, it is not the body that was described; 413, it does not end.
        """
        await self._body.see_the_end()

    @property
    def wants_other_digests(self) -> bool:
        """Whether only digests came that nobody here can check."""
        return self._body.digests is not None and self._body.digests.unknown


class _Body:
    """The events of a body, in place of those of the server.

    Args:
        first: the event that came already.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        first: Event | None,
        headers: Iterable[tuple[bytes, bytes]],
    ) -> None:
        self._receive = receive
        self._first = first
        self._headers = headers
        self._begun = self._ended = False
        self._length: int | None = None
        self._came = 0
        self.digests: Digests | None = None

    async def __call__(self) -> Event:
        """The next event.

        Raises: see `Request.see_the_end`.
        """
        if not self._begun:
            self._begin()
        if self._first is not None:
            event, self._first = self._first, None
        else:
            event = await self._receive()
        if self._ended:
            return event
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
        return event

    async def see_the_end(self) -> None:
        rest = 0
        while not self._ended:
            event = await self()
            rest += len(event.get("body", b""))
            if rest > REST_BYTES_MAX:
                raise ApiError(413, "The body goes on behind its end.")

    def _begin(self) -> None:
        self._begun = True
        described = []
        chunks = upgrade = meant = False
        for name, value in self._headers:
            if name == b"content-length":
                self._length = int(value)
            elif name == b"content-digest":
                described.append(value.decode("latin-1"))
            elif name == b"transfer-encoding":
                chunks = True
            elif name == b"upgrade":
                upgrade = True
            elif name == b"connection":
                meant = meant or b"upgrade" in value.lower()
        # The server's parser drops the body of a request for another protocol, and says that it is whole.
        if upgrade and meant and (chunks or self._length):
            raise ApiError(
                400, "A request with a body cannot change the protocol: leave out the header Upgrade."
            )
        if described:
            self.digests = Digests(", ".join(described))
