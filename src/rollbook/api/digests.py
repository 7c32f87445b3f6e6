"""`Content-Digest` of requests (RFC 9530): checks that the body arrived as the sender describes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from rollbook.api.errors import ApiError

ALGORITHMS = {"sha-512": hashlib.sha512, "sha-256": hashlib.sha256}
"""The algorithms of the RFC that are still secure, the preferred one first."""

WANTED = "sha-512=10, sha-256=9"
"""`Want-Content-Digest`, for a sender whose digests all have unknown algorithms."""

_NAME = "[a-z*][a-z0-9_.*-]{0,63}"
_MEMBER = re.compile(
    rf"({_NAME})=:([A-Za-z0-9+/=]{{0,256}}):"
    rf'(?:; {{0,8}}{_NAME}(?:=(?:"[^"\\]{{0,256}}"|[^,;"\s]{{1,256}}))?){{0,8}}'
    r"[ \t]{0,8}(,[ \t]{0,8}|$)"
)
"""A digest in the header, as a member of a dictionary of structured fields (RFC 9651), and what follows
it."""


class Digests:
    """The digests in a request's header, and those of its body.

    Raises:
        ApiError: 400, the header cannot be read.
    """

    def __init__(self, header: str) -> None:
        found = _parsed(header.strip(" \t"))
        self._expected = {name: value for name, value in found.items() if name in ALGORITHMS}
        self._found = {name: ALGORITHMS[name]() for name in self._expected}
        self.unknown = bool(found) and not self._expected
        for name, value in self._expected.items():
            if len(value) != self._found[name].digest_size:
                bits = self._found[name].digest_size * 8
                raise _malformed(f"{name} is {len(value) * 8} bits long and not {bits}")

    def update(self, piece: bytes) -> None:
        """Add the next bytes of the body."""
        for digest in self._found.values():
            digest.update(piece)

    def check(self) -> None:
        """Compare the digests at the end of the body.

        Raises:
            ApiError: 400, the body is not the one that the header describes.
        """
        for name, digest in self._found.items():
            if digest.digest() != self._expected[name]:
                came = base64.b64encode(digest.digest()).decode()
                raise ApiError(
                    400,
                    f"The body is not the one that Content-Digest describes: its {name} is :{came}:. Nothing "
                    "was changed.",
                )


def _parsed(header: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    place, more = 0, ""
    while place < len(header) or more:
        member = _MEMBER.match(header, place)
        if member is None:
            raise _malformed(f"{header[place : place + 40]!r} is not of the form sha-256=:BASE64:")
        try:
            found[member[1]] = base64.b64decode(member[2], validate=True)
        except binascii.Error:
            raise _malformed(f"the value of {member[1]} is not Base64") from None
        place, more = member.end(), member[3]
    return found


def _malformed(why: str) -> ApiError:
    return ApiError(400, f"The header Content-Digest is malformed: {why}.")
