"""Errors over HTTP: their common form, and the table that gives each error of the core its status and
text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from falcon.asgi import Response

from rollbook.errors import (
    AlreadyExists,
    IdempotencyMismatch,
    Invalid,
    LimitExceeded,
    NotFound,
    NotNow,
    Problem,
    RollbookError,
    Unavailable,
    UnknownIds,
    listed,
)
from rollbook.options import as_parameters

JSON = "application/json"

NO_LIST = "Contact group is not found"
LIST_TAKEN = "Contact group is already exists"
NO_CONTACT = "Invalid contact id"
CONTACT_TAKEN = "Phone number is already exist in contact book"
NO_FIELD = "Contact field is not found"
FIELD_TAKEN = "Contact field is already exists"
NO_IMPORT = "Import is not found"
BAD_PHONE = "Invalid phone number format"
"""A text that the vendor's clients know."""

PROBLEMS_MAX = 20
"""How many wrong items of one list an answer names at most."""

NOT_FOUND = {"list": NO_LIST, "contact": NO_CONTACT, "field": NO_FIELD, "import": NO_IMPORT}
TAKEN = {"list": LIST_TAKEN, "contact": CONTACT_TAKEN, "field": FIELD_TAKEN}

UNKNOWN = {
    "list": ("groups", "contact list"),
    "contact": ("contacts", "contact"),
    "field": ("fields", "contact field"),
}
"""For each noun of the core, the member of a body that names it, and its name in messages."""


class FieldError(msgspec.Struct):
    """The fault of one field."""

    field: str
    message: str


class ErrorBody(msgspec.Struct):
    """The common form of all errors."""

    message: str
    errors: list[FieldError]


class ApiError(Exception):
    """An error as an answer: status, text, faults by field, headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        message = as_parameters(message)
        super().__init__(message)
        self.status = status
        fields = [FieldError(problem.field, as_parameters(problem.message)) for problem in problems]
        self.body = ErrorBody(message, fields)
        self.headers = dict(headers or {})


def refusal(error: RollbookError) -> ApiError:
    """The answer for an error of the core.

    Raises:
        RollbookError: `error` itself, if a request cannot cause it.
    """
    if isinstance(error, Invalid):
        return ApiError(422, "The given data was invalid.", problems=error.problems)
    if isinstance(error, UnknownIds):
        return ApiError(422, "The given data was invalid.", problems=problems_of(error))
    if isinstance(error, NotFound):
        return ApiError(422, NOT_FOUND.get(error.noun, str(error)))
    if isinstance(error, AlreadyExists):
        return ApiError(422, TAKEN.get(error.noun, str(error)))
    if isinstance(error, (IdempotencyMismatch, LimitExceeded)):
        return ApiError(422, str(error))
    if isinstance(error, NotNow):
        return ApiError(409, str(error))
    if isinstance(error, Unavailable):
        return ApiError(503, str(error), headers={"Retry-After": str(error.retry_after_seconds)})
    raise error


def problems_of(error: UnknownIds) -> list[Problem]:
    """The problems of a request that names ids which the account does not have."""
    ids = [
        Problem(UNKNOWN[noun][0], f"There is no {UNKNOWN[noun][1]} {listed(ids)}.")
        for noun, ids in error.ids.items()
    ]
    return [*ids, *error.problems]


def refuse(resp: Response, error: ApiError) -> None:
    """Make `error` the answer in `resp`."""
    resp.status = error.status
    resp.content_type = JSON
    resp.data = msgspec.json.encode(error.body)
    for name, value in error.headers.items():
        resp.set_header(name, value)
