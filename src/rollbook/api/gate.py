"""Who asks: the gate that knows the bearers of tokens and keys, and makes tokens."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import jwt

from rollbook import accounts
from rollbook.accounts import Grant
from rollbook.api.errors import ApiError

CACHE_MAX = 10_000
"""Verified tokens kept in memory; the cache starts anew when it is full."""

BEARER_BYTES_MAX = 2048
"""Of a token or key; ours have a few hundred."""

LEEWAY_SECONDS = 60
"""How far ahead the clock may be that a token was made by."""

ALGORITHM = "HS256"


class Principal:
    """Who asks, and until when that need not be looked up again.

    Args:
        fresh_until: seconds since 1970; afterwards the key is checked again.
    """

    __slots__ = ("account_id", "fresh_until", "key_id", "rights")

    def __init__(self, grant: Grant, fresh_until: float) -> None:
        self.account_id = grant.account_id
        self.key_id = grant.key_id
        rights = set(grant.rights.split(","))
        self.rights = frozenset(accounts.RIGHTS if "admin" in rights else rights)
        self.fresh_until = fresh_until


class Gate:
    """Knows who a bearer is.

    Args:
        secret: signs tokens.
        life_seconds: of a new token.
        cache_seconds: how long a verified bearer is believed without asking the database.
        read: runs a point read.
    """

    def __init__(
        self,
        secret: str,
        *,
        life_seconds: float,
        cache_seconds: float,
        read: Callable[..., Awaitable[Any]],
    ) -> None:
        self._secret = secret
        self._life_seconds = life_seconds
        self._cache_seconds = cache_seconds
        self._read = read
        self._cache: dict[bytes, Principal] = {}

    def known(self, authorization: str | None) -> Principal | None:
        """The principal of an Authorization header that was verified a moment ago."""
        principal = self._cache.get(_known_by(authorization or ""))
        if principal is not None and time.time() < principal.fresh_until:
            return principal
        return None

    async def verify(self, authorization: str | None) -> Principal:
        """Find out who sends this Authorization header.

        Raises:
            ApiError: 401, saying what is wrong with it.
        """
        if not authorization:
            raise refused("A bearer token is missing: send `Authorization: Bearer <token>`.")
        bearer = _bearer(authorization)
        if not bearer:
            raise refused("The Authorization header must read `Bearer <token>`.")
        if len(bearer) > BEARER_BYTES_MAX:
            raise refused("The bearer token is not valid.")
        fresh_until = time.time() + self._cache_seconds
        if bearer.startswith(("live_", "test_")):
            grant = await self._read(accounts.grant_of_key, bearer)
            if grant is None:
                raise refused("The API key is unknown or was revoked.")
        else:
            claims = self._claims(bearer)
            fresh_until = min(fresh_until, claims["exp"])
            grant = await self._read(accounts.grant_of_key_id, claims["id"], claims["key"])
            if grant is None:
                raise refused("The API key of this token was revoked.")
        principal = Principal(grant, fresh_until)
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[_digest(bearer)] = principal
        return principal

    def token(self, grant: Grant) -> str:
        """A new token for what a key opens."""
        now = int(time.time())
        claims = {
            "iat": now,
            "exp": now + max(1, int(self._life_seconds)),
            "id": grant.account_id,
            "roles": grant.rights.split(","),
            "key": grant.key_id,
        }
        return jwt.encode(claims, self._secret, ALGORITHM)

    def _claims(self, bearer: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                bearer,
                self._secret,
                [ALGORITHM],
                options={"require": ["exp", "iat", "id", "key"], "verify_iat": False},
            )
            if not float(claims["iat"]) <= time.time() + LEEWAY_SECONDS:
                raise jwt.ImmatureSignatureError
        except jwt.ExpiredSignatureError:
            raise refused("The token has expired: log in again.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise refused("The bearer token is not valid.") from None
        if not isinstance(claims["id"], int) or not isinstance(claims["key"], int):
            raise refused("The bearer token is not valid.")
        return claims


def _bearer(authorization: str | None) -> str:
    """The token or key in an Authorization header, without all that may be spelled in several ways; "" if
    there is none."""
    scheme, _, bearer = (authorization or "").partition(" ")
    return bearer.strip() if scheme.lower().rstrip(":") == "bearer" else ""


@lru_cache(256)
def _spelled_before(authorization: str) -> bytes:
    bearer = _bearer(authorization)
    return _digest(bearer) if bearer else b""


def _known_by(authorization: str) -> bytes:
    """What the cache knows the bearer in a header by; the last few headers are remembered as they are."""
    if len(authorization) > BEARER_BYTES_MAX:
        return b""
    return _spelled_before(authorization)


def _digest(bearer: str) -> bytes:
    """What the cache knows a bearer by: always as short, however it is spelled."""
    return hashlib.sha256(bearer.encode("utf-8", "surrogateescape")).digest()


def refused(message: str) -> ApiError:
    """The answer to a caller who is not let in."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="rollbook"'})
