"""The OpenAPI 3.1 document, made from the route table and the Structs.

The upper part has what those do not contain: prose and names (examples are in `examples.py`, parameters of
queries in `query.py`). The lower part derives the rest; the texts about refused input come from the very code
that refuses it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

import rollbook
from rollbook import idempotency, search
from rollbook.api import contacts, examples, stop_list, wire
from rollbook.api.body import Body
from rollbook.api.edge import Route
from rollbook.api.errors import JSON, ApiError, ErrorBody, FieldError
from rollbook.api.query import FORM_SCHEMA, PAGE_LIMIT_MAX, PAGE_LIMIT_MIN, parameter
from rollbook.config import Settings
from rollbook.errors import IdempotencyMismatch, Invalid

ID = parameter(
    "path", "id", "The id that creating it answered.", type="integer", minimum=1, maximum=search.ID_MAX
) | {"required": True}
PREFER = parameter(
    "header", "Prefer", "`dates=rfc3339` makes the dates of this answer RFC 3339.", type="string"
)
PREFER_OF_CONTACTS = parameter(
    "header",
    "Prefer",
    "`dates=rfc3339` makes the dates of this answer RFC 3339; `fields=object` or `fields=list` chooses the "
    "form of a contact's fields.",
    type="string",
)
IDEMPOTENCY_KEY = parameter(
    "header",
    "Idempotency-Key",
    "Any text of yours, such as a UUID; for 24 hours the same key replays the first answer.",
    type="string",
    pattern=f"^[!-~]{{1,{idempotency.KEY_LENGTH_MAX}}}$",
)

DESCRIPTION = f"""The book of record for who may be messaged: contacts, contact lists
and stop lists, with counts that are always exact.

**Errors.** Every error has the same body: `message`, a text, and `errors`, a list of `field` and `message`
that names every bad field and is empty when no single field is to blame. A path that does not exist is 404,
a method that a path does not take is 405 with `Allow`; 500 is a defect and tells nothing but that.

**Idempotency-Key.** Send one with any POST, PUT, PATCH or DELETE: the first answer is kept for 24 hours and
replayed with `Idempotent-Replayed: true`; the same key with a different request is 422.

**Dates** go out as `YYYY-MM-DD HH:MM:SS` in UTC; with `Prefer: dates=rfc3339` as RFC 3339.

**Paging.** `page[offset]` counts items, `page[limit]` is {PAGE_LIMIT_MIN} to {PAGE_LIMIT_MAX};
out of range is 422. `page[after]` takes the `next` of the page before: page 10,000 then costs what page 1
costs.

**X-Request-Id** is on every answer: yours, when you sent a sane one. The log has it too.

**Slips.** Calls refuse (422) options that they do not have, empty ones and repeated ones, and unknown members
of a body. Only the calls of One-API (contact lists, contacts, fields, stop list) ignore what they do not
know, by contract.

A trailing slash, a missing `Accept`, ids as text, and `0`, `1`, `"true"` and `"false"` as booleans are fine.
"""


@dataclass(frozen=True)
class Noun:
    """How the operations of one module of handlers are named.

    Args:
        tag: the heading above them.
        one: the noun after the handler's name: `create` + `ContactList`.
        many: the noun instead of `one` for handlers that return several: `search` + `ContactLists`.
    """

    tag: str
    about: str
    one: str = ""
    many: str = ""


NOUNS: Mapping[str, Noun] = {
    "auth": Noun("Authentication", "Exchange an API key for a bearer token; a key is itself a bearer too."),
    "lists": Noun(
        "Contact lists",
        "Named and counted; one may be the default.",
        "ContactList",
        "ContactLists",
    ),
    "members": Noun("Members of lists", "Which contacts are in which lists.", "Contacts"),
    "contacts": Noun(
        "Contacts",
        "A phone with values in the account's fields, in up to 100 lists.",
        "Contact",
        "Contacts",
    ),
    "fields": Noun(
        "Contact fields", "What an account keeps of its contacts.", "ContactField", "ContactFields"
    ),
    "stop_list": Noun(
        "Stop list",
        "Phones that must not be messaged, for each channel; contacts or not.",
        "Stops",
        "Stops",
    ),
    "exports": Noun(
        "Exports and audiences", "Files of contacts, whom a message would reach, and one person's data."
    ),
    "numbers": Noun("Phone numbers", "What is known about a number without the book.", "", "Numbers"),
    "imports": Noun(
        "Imports",
        "Files of contacts, read into the book in the background.",
        "Import",
        "Imports",
    ),
}
PIECES = (contacts.UpsertItem, contacts.FieldValue, stop_list.StopItem, stop_list.ReleaseItem)
"""Structs of bodies that are read piece by piece: the schemas of the bodies refer to these."""

OPERATIONS = Noun("Operations", "For operators of the service; none of them needs a token.")

_METRIC = 'rollbook_queue_depth{queue="write"} 0.0\n'
LINKS = {
    "service": "rollbook",
    "version": rollbook.__version__,
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "api": "/api/",
    "health": "/healthz",
    "readiness": "/readyz",
    "metrics": "/metrics",
}
"""The answer of `/`: links to everything else."""

OPEN = (
    ("/", "getLinks", "Where everything is", JSON, LINKS),
    ("/healthz", "getHealth", "Whether the process answers", JSON, {"status": "ok"}),
    ("/readyz", "getReadiness", "Whether the process and its database answer", JSON, {"status": "ready"}),
    ("/metrics", "getMetrics", "What the service measures, for Prometheus", "text/plain", _METRIC),
)
"""The routes of `operations.py`: path, operationId, summary, media type and example of the answer."""

VERBS: Mapping[str, str] = {"index": "list", "delete_many": "deleteMany", "stats": "count",
    "of_list": "exportContactList", "of_book": "exportContacts", "of_stop_list": "exportStops",
    "of_audience": "exportAudience", "of_person": "exportContact", "count_audience": "countAudience",
}  # fmt: skip
"""Verbs for handlers whose own name is not the verb of the operation."""

MANY = ("index", "search", "delete_many", "upsert", "check")

HEADERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "X-Request-Id": ("Names this request in the service's log.", {"type": "string", "maxLength": 128}),
    "Retry-After": ("Seconds after which to try again.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("How to authenticate.", {"type": "string", "const": 'Bearer realm="rollbook"'}),
    "Allow": ("The methods that the path takes.", {"type": "string"}),
    "Idempotent-Replayed": ("It is the answer to an earlier request.", {"type": "string", "const": "true"}),
    "Content-Disposition": ("That it is a file, and its name.", {"type": "string"}),
    "Preference-Applied": (
        "What this answer follows.",
        {"type": "string", "pattern": r"^(dates=rfc3339|fields=(list|object)|, )+$"},
    ),
}
HEADERS_SOMETIMES = ("Idempotent-Replayed", "Preference-Applied")

REFUSALS: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    400: ("The body cannot be read: it is cut off, not what its Content-Digest says, or no whole form.",
          "The body was cut off before its end; nothing was changed.", ()),
    401: ("Token or key is missing, malformed, expired or revoked.", "The bearer token is not valid.",
          ("WWW-Authenticate",)),
    403: ("The key lacks the right that this needs.", "This key does not have the right '{right}'.", ()),
    404: ("No such path.", "There is no such route.", ()),
    405: ("The path does not take the method.", "This route does not take PATCH.", ("Allow",)),
    409: ("It is in a state in which this cannot be done.",
          "Import 1 cannot be undone: it is merging.", ()),
    413: ("The body is too large.", f"The body is larger than {Settings().body_bytes_max} bytes.", ()),
    415: ("The body is not JSON.", f"The body must be JSON: send Content-Type: {JSON}, not text/plain.", ()),
    429: ("Too much at once: the same request again and again, or files of one account.",
          "Too many duplicate request detected", ("Retry-After",)),
    503: ("The service cannot do it now.", "The service is behind with its work; try again.",
          ("Retry-After",)),
    507: ("The disk has no room for the file.", "The disk did not take the file: No space left on device.",
          ("Retry-After",)),
}  # fmt: skip
"""The meaning of each status, an example of its message, and its headers: the same on every route."""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `routes` and of the operations that need no token.

    The same table always makes the same document, to the byte.
    """
    routes = [route for route in routes if not route.alias]
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    nouns = dict.fromkeys(_noun(route) for route in routes)
    kinds = [kind for route in routes for kind in (route.body and route.body.kind, route.answer) if kind]
    _, schemas = msgspec.json.schema_components(
        list(dict.fromkeys([*kinds, *PIECES, ErrorBody])), ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "rollbook", "version": rollbook.__version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": noun.tag, "description": noun.about} for noun in (*nouns, OPERATIONS)],
        "security": [{"bearer": []}],
        "paths": paths | {path: _open(*about) for path, *about in OPEN},
        "components": {
            "schemas": {_name_of(name): _shown(schema) for name, schema in schemas.items()},
            "headers": {
                name: {"description": about, "required": name not in HEADERS_SOMETIMES, "schema": schema}
                for name, (about, schema) in HEADERS.items()
            },
            "responses": {"NotFound": _refusal(404), "MethodNotAllowed": _refusal(405)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key"}
            },
        },
    }


def _shown(schema: Any) -> Any:
    """A schema that generators of clients can use: one kind of value, or null, and enums with their type."""
    if isinstance(schema, list):
        return [_shown(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {name: _shown(value) for name, value in schema.items()}
    if "$ref" in shown:
        shown["$ref"] = _name_of(shown["$ref"])
    if isinstance(title := shown.get("title"), str):
        shown["title"] = _name_of(title)
    if wire.SHOWN_AS in shown:
        as_what = shown.pop(wire.SHOWN_AS)
        for kind in ("type", "enum", "anyOf", "items", "additionalProperties"):
            shown.pop(kind, None)
        shown |= as_what
    if "enum" in shown and all(isinstance(value, str) for value in shown["enum"]):
        shown["type"] = "string"
    return shown


def _name_of(struct: str) -> str:
    """The name of a Struct in the document: without `Json`, which marks Structs that show a class of the
    core."""
    return struct.removesuffix("Json")


def _operation(route: Route) -> dict[str, Any]:
    noun = _noun(route)
    name = route.handler.__name__
    summary, _, more = (inspect.getdoc(route.handler) or name).partition("\n\n")
    needs = f"Needs the right `{route.right}`." if route.right else ""
    operation: dict[str, Any] = {
        "operationId": VERBS.get(name, name) + (noun.many if name in MANY else noun.one),
        "tags": [noun.tag],
        "summary": " ".join(summary.split()).removesuffix("."),
    }
    if description := "\n\n".join(part for part in (more, needs) if part):
        operation["description"] = description
    if route.right is None:
        operation["security"] = []
    if found := list(_parameters(route)):
        operation["parameters"] = found
    if route.body:
        fields = msgspec.structs.fields(route.body.kind)
        operation["requestBody"] = {
            "required": any(field.required for field in fields),
            "content": _content(route.body.kind, examples.of_body(route.handler, route.body.kind)),
        }
    if route.uploads:
        file: dict[str, Any] = {"type": "string", "format": "binary", "description": "The file itself."}
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": file, "example": examples.FILE},
                "multipart/form-data": {
                    "schema": FORM_SCHEMA,
                    "example": {"file": examples.FILE, "list": "Customers"},
                },
            },
        }
    operation["responses"] = {str(route.status): _success(route)} | dict(_refusals(route))
    return operation


def _noun(route: Route) -> Noun:
    module = route.handler.__module__.rpartition(".")[2]
    return NOUNS.get(module) or Noun(module, "", module.title(), module.title())


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    if "{id}" in route.path:
        yield ID
    yield from route.query.parameters()
    if route.shows_fields:
        yield PREFER_OF_CONTACTS
    elif route.shows_dates:
        yield PREFER
    if _takes_key(route):
        yield IDEMPOTENCY_KEY


def _takes_key(route: Route) -> bool:
    """Whether the route takes an idempotency key: only answers to changes are worth keeping, and tokens are
    not."""
    return route.method != "GET" and route.right not in (None, "", "read")


def _success(route: Route) -> dict[str, Any]:
    headers = ["X-Request-Id"]
    if route.shows_dates:
        headers.append("Preference-Applied")
    if _takes_key(route):
        headers.append("Idempotent-Replayed")
    if (media := route.media) is not None:
        content = {name: {"schema": media.schema, "example": media.example} for name in media.types}
        return {
            "description": media.about,
            "headers": _headers([*headers, *media.headers]),
            "content": content,
        }
    if route.answer is None:
        return {"description": "Done; there is no body.", "headers": _headers(headers)}
    return {
        "description": inspect.getdoc(route.answer) or route.answer.__name__,
        "headers": _headers(headers),
        "content": _content(route.answer, examples.ANSWERS.get(route.handler)),
    }


def _refusals(route: Route) -> Iterator[tuple[str, Any]]:
    """The answers of `route` that are errors, by status."""
    if route.body:
        yield "400", _refused("The body is not JSON; the message says where.", _malformed(route.body))
    statuses = {
        400: route.uploads,
        401: True,  # a login too, if its key is unknown
        403: bool(route.right),
        409: route.conflicts,
        413: route.method != "GET",
        415: route.method != "GET" and not route.uploads,
        422: True,
        429: route.guarded or route.uploads,
        503: True,
        507: route.uploads,
    }
    for status in (status for status, applies in statuses.items() if applies):
        if status != 422:
            yield str(status), _refusal(status, right=route.right)
        elif bodies := _unacceptable(route):
            headers = ("Idempotent-Replayed",) if _takes_key(route) else ()
            yield "422", _refused("Refused; `errors` names bad fields.", *bodies, headers=headers)


def _unacceptable(route: Route) -> list[ErrorBody]:
    """Examples of 422 answers: input that the route's own code refuses, then the texts that its callers
    know."""
    found = []
    try:
        if route.body:
            fields = msgspec.structs.fields(route.body.kind)
            route.body.read(msgspec.json.encode({field.encode_name: {} for field in fields}))
        elif route.query.refused:
            route.query.read(route.query.refused)
    except Invalid as error:
        problems = [FieldError(*problem) for problem in error.problems]
        found.append(ErrorBody("The given data was invalid.", problems))
    found += [ErrorBody(text, []) for text in route.refusals]
    if _takes_key(route):
        found.append(ErrorBody(str(IdempotencyMismatch()), []))
    return found


def _malformed(body: Body) -> ErrorBody:
    try:
        body.read(b'{"name": Customers}')
    except ApiError as error:
        return error.body
    raise AssertionError("malformed JSON was read")


def _refusal(status: int, *, right: str | None = None) -> dict[str, Any]:
    meaning, message, headers = REFUSALS[status]
    return _refused(meaning, ErrorBody(message.replace("{right}", right or ""), []), headers=headers)


def _refused(meaning: str, *bodies: ErrorBody, headers: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "description": meaning,
        "headers": _headers(["X-Request-Id", *headers]),
        "content": _content(ErrorBody, *bodies),
    }


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(kind: type[msgspec.Struct], *examples: Any) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{_name_of(kind.__name__)}"}}
    values = [
        msgspec.json.decode(msgspec.json.encode(example)) for example in examples if example is not None
    ]
    if len(values) == 1:
        media["example"] = values[0]
    elif values:
        names = [re.sub(r"\W+", "-", value["message"].lower()).strip("-") for value in values]
        media["examples"] = {name: {"value": value} for name, value in zip(names, values, strict=True)}
    return {JSON: media}


def _open(id: str, summary: str, media: str, example: Any) -> dict[str, Any]:
    """The path item of a route of `operations.py`."""
    schema: dict[str, Any] = {"type": "string"}
    if media == JSON:
        properties = {name: {"type": "string", "const": value} for name, value in example.items()}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
    content = {media: {"schema": schema, "example": example}}
    responses = {
        "200": {"description": f"{summary}.", "headers": _headers(["X-Request-Id"]), "content": content}
    }
    if id == "getReadiness":
        responses["503"] = _refusal(503)
    about = {"operationId": id, "tags": [OPERATIONS.tag], "summary": summary, "security": []}
    return {"get": about | {"responses": responses}}
