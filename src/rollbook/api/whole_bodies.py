"""The one reader of request bodies: what is not whole is an error, for every route.

Below the application, where each event of a body passes, whoever reads it. A body that ends before its
Content-Length, without its last chunk, or with the connection must not be taken for the whole: a file would
lose its tail, and with it opt-outs (RFC 9112, section 8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rollbook.api.wire import ApiError

Receive = Callable[[], Awaitable[Any]]
Application = Callable[[Any, Receive, Any], Awaitable[None]]

DIGESTS: Mapping[str, Callable[[], Any]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""What Content-Digest may be made with (RFC 9530); the registry's others are deprecated."""

_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]{0,63})=:([A-Za-z0-9+/=]{0,200}):")


class CutOff(ApiError):
    """A body ended before it was whole. Most often there is nobody left to be told."""

    def __init__(self) -> None:
        super().__init__(400, "The body was cut off before its end; nothing was changed.")


class WholeBodies:
    """An application that never sees a part of a body as the whole of it.

    Reading the body raises `CutOff` where it ends early, and `ApiError` (400) where it is not what its
    Content-Digest says. Who has read it to the end has all of it.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "http":
            receive = _Body(scope, receive).receive
        await self._application(scope, receive, send)


class _Body:
    def __init__(self, scope: Any, receive: Receive) -> None:
        self._receive = receive
        self._begun = self._whole = False
        self._header = next((value for name, value in scope["headers"] if name == b"content-digest"), None)
        self._hashes: list[tuple[str, bytes, Any]] = []
        self._wrong: ApiError | None = None

    async def receive(self) -> Any:
        """The next event of the request.

        The first one is read by the framework, before a responder could answer an error: a body that is wrong
        by then is an unfinished one, and the error comes to whoever reads on.

        Raises:
            CutOff: there is none, and the body is not whole.
            ApiError: the body is whole, and not the one that its digest was made of.
        """
        if self._wrong is not None:
            raise self._wrong
        event = await self._receive()
        if self._whole:
            return event
        first, self._begun = not self._begun, True
        if event["type"] != "http.request":
            if first:
                return event  # the request is dropped: nobody is there to be answered
            raise CutOff
        more = event.get("more_body", False)
        if self._header is not None:
            try:
                self._check(event.get("body", b""), self._header, first=first, whole=not more)
            except ApiError as error:
                self._wrong = error
                if not first:
                    raise
                return {"type": "http.request", "body": b"", "more_body": True}
        self._whole = not more
        return event

    def _check(self, piece: bytes, header: bytes, *, first: bool, whole: bool) -> None:
        if first:
            self._hashes = digests(header.decode("latin-1"))
        for name, expected, found in self._hashes:
            found.update(piece)
            if whole and found.digest() != expected:
                raise ApiError(400, f"The body is not the one that Content-Digest ({name}) was made of.")


def digests(header: str) -> list[tuple[str, bytes, Any]]:
    """What a Content-Digest header says: for each algorithm that is known its name, the digest, a new hash.

    Raises:
        ApiError: 400, it cannot be read, or names none that is known.
    """
    found = []
    for part in header.split(","):
        member = _MEMBER.fullmatch(part.strip())
        if member is None:
            raise ApiError(400, "The Content-Digest cannot be read; it looks like sha-256=:<base64>:.")
        name, text = member.groups()
        if name not in DIGESTS:
            continue
        made = DIGESTS[name]()
        try:
            expected = base64.b64decode(text, validate=True)
        except binascii.Error:
            expected = b""
        if len(expected) != made.digest_size:
            raise ApiError(400, f"The Content-Digest has no {name} digest: that is {made.digest_size} bytes.")
        found.append((name, expected, made))
    if not found:
        raise ApiError(400, f"The Content-Digest must be made with {' or '.join(DIGESTS)}.")
    return found
