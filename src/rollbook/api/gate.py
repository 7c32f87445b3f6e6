"""Authentication: finds the account behind a token or an API key, and makes tokens."""

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
"""The longest token or key that is read; those of rollbook have a few hundred bytes."""

LEEWAY_SECONDS = 60
"""How far the clock of the service that made a token may be ahead."""

ALGORITHM = "HS256"


class Principal:
    """The caller, and until when the key need not be checked again.

    Args:
        fresh_until: seconds since 1970; after that the key is checked again.
    """

    __slots__ = ("account_id", "fresh_until", "key_id", "rights")

    def __init__(self, grant: Grant, fresh_until: float) -> None:
        self.account_id = grant.account_id
        self.key_id = grant.key_id
        rights = set(grant.rights.split(","))
        self.rights = frozenset(accounts.RIGHTS if "admin" in rights else rights)
        self.fresh_until = fresh_until


class Gate:
    """Finds the caller behind a token or a key.

    Args:
        secret: the secret that signs tokens.
        life_seconds: how long a new token is valid.
        cache_seconds: how long a verified token or key is accepted without asking the database.
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
        """The caller of an Authorization header, if it was verified a moment ago."""
        principal = self._cache.get(_known_by(authorization or ""))
        if principal is not None and time.time() < principal.fresh_until:
            return principal
        return None

    async def verify(self, authorization: str | None) -> Principal:
        """Find the caller of an Authorization header.

        Raises:
            ApiError: 401, saying what is wrong with the header.
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
        """A new token with the rights of a key."""
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
    """The token or key in an Authorization header, without the parts that can be spelled in several ways; ""
    if there is none."""
    scheme, _, bearer = (authorization or "").partition(" ")
    return bearer.strip() if scheme.lower().rstrip(":") == "bearer" else ""


@lru_cache(256)
def _spelled_before(authorization: str) -> bytes:
    bearer = _bearer(authorization)
    return _digest(bearer) if bearer else b""


def _known_by(authorization: str) -> bytes:
    """The key of a header in the cache; the last few headers are remembered with theirs."""
    if len(authorization) > BEARER_BYTES_MAX:
        return b""
    return _spelled_before(authorization)


def _digest(bearer: str) -> bytes:
    """The key of a token or key in the cache: always of the same short length."""
    return hashlib.sha256(bearer.encode("utf-8", "surrogateescape")).digest()


def refused(message: str) -> ApiError:
    """The answer to a caller who is refused."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="rollbook"'})
