"""Tokens over HTTP: `/api/auth/login`, `/api/auth/refresh`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rollbook import accounts
from rollbook.accounts import Grant
from rollbook.api.gate import refused
from rollbook.api.wire import Call, Read


class LoginBody(msgspec.Struct):
    """The body of a login."""

    api_key: Annotated[
        str,
        msgspec.Meta(
            description="A `live_` or `test_` key.", examples=["live_0123456789abcdefghij"], max_length=1000
        ),
    ]


class Token(msgspec.Struct):
    """A bearer token."""

    bearer: str


def login(call: Call, body: LoginBody) -> Read:
    """Exchange an API key for a bearer token."""
    return Read(accounts.grant_of_key, body.api_key, show=lambda grant: _token(call, grant))


def refresh(call: Call) -> Read:
    """Exchange a bearer token that is still valid for one with a new term."""
    return Read(accounts.grant_of_key_id, call.key_id, show=lambda grant: _token(call, grant))


def _token(call: Call, grant: Grant | None) -> Token:
    if grant is None:
        raise refused("The API key is unknown or was revoked.")
    return Token(call.gate.token(grant))
