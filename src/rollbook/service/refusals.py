"""Refusals without the application: the answer to a request that is not read to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from rollbook.api.errors import ErrorBody

PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason


def error_answer(status: int, message: str) -> bytes:
    """An error in the common form, after which the connection ends."""
    return b"".join(_answer(status, message))


def _answer(status: int, message: str) -> Iterator[bytes]:
    body = msgspec.json.encode(ErrorBody(message, []))
    yield b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\n" % (
        status,
        PHRASES[status],
    )
    if status == 503:
        yield b"retry-after: 1\r\n"
    yield b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (os.urandom(8).hex().encode(), len(body))
    yield body
