"""The OpenAPI 3.1 document, made of the route table and the Structs.

Above stands what those do not know: prose, names and examples. Below, what follows from them; the
texts of refused input come from the very code that refuses it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

import rollbook
from rollbook import idempotency, search
from rollbook.api import auth, contacts, exports, fields, imports, lists, members, numbers, stop_list, wire
from rollbook.api.body import Body
from rollbook.api.edge import JSON, Route
from rollbook.api.file_options import FILE_OPTIONS, FORM_SCHEMA
from rollbook.api.wire import ApiError, ErrorBody, FieldError
from rollbook.channels import CHANNELS
from rollbook.config import Settings
from rollbook.errors import IdempotencyMismatch, Invalid
from rollbook.exports import COMPRESSIONS
from rollbook.exports import MEDIA as MEDIA_OF_EXPORTS
from rollbook.search import COMPARISONS, TEXTUAL

DESCRIPTION = f"""The book of record for who may be messaged: contacts, contact lists
and stop lists, with counts that are always exact.

**Errors.** Every error has the same body: `message`, a text, and `errors`, a list of `field` and `message`
that names every bad field and is empty when no single field is to blame. A path that does not exist is 404,
a method that a path does not take is 405 with `Allow`; 500 is a defect and tells nothing but that.

**Idempotency-Key.** Send one with any POST, PUT, PATCH or DELETE: the first answer is kept for 24 hours and
replayed with `Idempotent-Replayed: true`; the same key with a different request is 422.

**Dates** go out as `YYYY-MM-DD HH:MM:SS` in UTC; with `Prefer: dates=rfc3339` as RFC 3339.

**Paging.** `page[offset]` counts items, `page[limit]` is {wire.PAGE_LIMIT_MIN} to {wire.PAGE_LIMIT_MAX};
out of range is 422. `page[after]` takes the `next` of the page before: page 10,000 then costs what page 1
costs.

**X-Request-Id** is on every answer: yours, when you sent a sane one. The log has it too.

A trailing slash, a missing `Accept`, unknown members of a body, and ids as text are all fine.
"""


@dataclass(frozen=True)
class Noun:
    """How the operations of one module of handlers are named.

    Args:
        tag: the heading they stand under.
        one: what the handler's name is put before: `create` + `ContactList`.
        many: instead of `one` for handlers that answer many: `search` + `ContactLists`.
        limit: `page[limit]` when the caller does not say.
    """

    tag: str
    about: str
    one: str = ""
    many: str = ""
    limit: int = 0


NOUNS: Mapping[str, Noun] = {
    "auth": Noun("Authentication", "Exchange an API key for a bearer token; a key is itself a bearer too."),
    "lists": Noun(
        "Contact lists",
        "Named and counted; one may be the default.",
        "ContactList",
        "ContactLists",
        lists.LIMIT,
    ),
    "members": Noun("Members of lists", "Who is in which list.", "Contacts"),
    "contacts": Noun(
        "Contacts",
        "A phone with values in the account's fields, in up to 100 lists.",
        "Contact",
        "Contacts",
        contacts.LIMIT,
    ),
    "fields": Noun(
        "Contact fields", "What an account keeps of its contacts.", "ContactField", "ContactFields"
    ),
    "stop_list": Noun(
        "Stop list",
        "Phones that must not be messaged, for each channel; contacts or not.",
        "Stops",
        "Stops",
        stop_list.LIMIT,
    ),
    "exports": Noun(
        "Exports and audiences", "Files of contacts, whom a message would reach, and one person's data."
    ),
    "numbers": Noun("Phone numbers", "What can be told about a number without the book.", "", "Numbers"),
    "imports": Noun(
        "Imports",
        "Files of contacts, read into the book in the background.",
        "Import",
        "Imports",
        imports.PAGE_LIMIT,
    ),
}
LIMITS: Mapping[Callable[..., Any], int] = {
    contacts.index: contacts.LIMIT_OF_INDEX,
    stop_list.index: stop_list.LIMIT_OF_INDEX,
}
"""`page[limit]` of handlers whose default is not that of their noun."""

OPERATIONS = Noun("Operations", "For whoever runs the service; none of them needs a token.")

_METRIC = 'rollbook_queue_depth{queue="write"} 0.0\n'
OPEN = (
    ("/healthz", "getHealth", "Whether the process answers", JSON, {"status": "ok"}),
    ("/readyz", "getReadiness", "Whether the process and its database answer", JSON, {"status": "ready"}),
    ("/metrics", "getMetrics", "What the service measures, for Prometheus", "text/plain", _METRIC),
)
"""Those of `operations.py`: path, operationId, summary, media type and example of the answer."""

VERBS: Mapping[str, str] = {"index": "list", "delete_many": "deleteMany", "stats": "count",
    "of_list": "exportContactList", "of_book": "exportContacts", "of_stop_list": "exportStops",
    "of_audience": "exportAudience", "of_person": "exportContact", "count_audience": "countAudience",
}  # fmt: skip
"""Words for handlers whose own name is not the caller's verb."""

MANY = ("index", "search", "delete_many", "upsert", "check")

_TOKEN = auth.Token("eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2lnbmF0dXJl")
_ABOUT = "Everyone who ordered this year"
_NEW = lists.ContactList(1, "Customers", _ABOUT, False, "2022-04-28 14:21:16", 0, 0)
_LIST = msgspec.structs.replace(_NEW, items=1280, stop_list_count=37)
_FOUND = lists.FoundList(1, "Customers", _ABOUT, False, 1280, "2022-04-28 14:21:16")
_META = wire.Meta(wire.MetaPage(1, lists.LIMIT, 0, None), wire.MetaSearch("name", "like", "cust"))

_CONTACT = contacts.Contact(
    7, 380000000001, {"3": "Kyiv"}, [_LIST], contacts.HLR_STATUS, None, "2022-04-28 14:21:16"
)
_CONTACT_META = wire.Meta(
    wire.MetaPage(1, contacts.LIMIT, 0, None), wire.MetaSearch("phone", "like", "38000")
)
_FIELD = fields.Field(3, "City", "text", "Where the contact lives", True)
_STOP = stop_list.StopRow(5, 380000000001, "2022-04-28 14:21:16", True, True, False, False)
_STOP_META = wire.Meta(wire.MetaPage(1, stop_list.LIMIT, 0, None), wire.MetaSearch("type", "=", "sms"))
_ITEMS = [
    wire.Item(0, "created", 7, 380000000001, None, None),
    wire.Item(1, "invalid", None, None, None, "The phone is too short."),
]
_STATS = {
    channel: lists.ChannelStats(stopped, 1280 - stopped)
    for channel, stopped in {"sms": 30, "viber": 12, "rcs": 0, "whatsapp": 4}.items()
}

_IMPORT = imports.EXAMPLE

BODIES: Mapping[Callable[..., Any], msgspec.Struct] = {
    auth.login: auth.LoginBody("live_0123456789abcdefghij"),
    lists.create: lists.ListCreate("Customers", _ABOUT, False),
    lists.update: lists.ListUpdate("Regular customers", None),
    members.attach: members.Members([7, 8], [1]),
    members.detach: members.Members([7, 8], [1]),
    members.add: members.Phones([380000000001, "+380 00 000 00 02"]),
    contacts.create: contacts.ContactCreate(380000000001, [1], [contacts.FieldValue(3, "Kyiv")]),
    contacts.update: contacts.ContactUpdate(380000000002, [1], [contacts.FieldValue(3, None)]),
    contacts.delete_many: contacts.ContactsDelete([7, 8]),
    contacts.upsert: contacts.ContactsUpsert(
        [msgspec.Raw(b'{"phone": 380000000001, "groups": [1], "reference": "row 1"}')]
    ),
    fields.create: fields.FieldCreate("City", "text", "Where the contact lives"),
    fields.update: fields.FieldUpdate("Town"),
    fields.delete_many: fields.FieldsDelete([3]),
    stop_list.add: stop_list.StopsAdd([380000000001], ["sms", "viber"]),
    stop_list.remove: stop_list.StopsRemove([5], ["viber"]),
    numbers.check: numbers.NumbersCheck(["(050) 765-43-21", "12"], "UA"),
    exports.count_audience: exports.AudienceBody([1], [], [], ["viber"]),
    exports.of_audience: exports.AudienceBody([1], [], [], ["viber"]),
}
"""An example of what each handler takes."""

ANSWERS: Mapping[Callable[..., Any], msgspec.Struct] = {
    auth.login: _TOKEN,
    auth.refresh: _TOKEN,
    lists.create: lists.OneList(_NEW),
    lists.index: lists.ListIndex([_LIST], 1, None),
    lists.search: lists.ListSearch([_FOUND], _META),
    lists.get: lists.OneList(_LIST),
    lists.update: lists.OneList(msgspec.structs.replace(_LIST, name="Regular customers", description=None)),
    lists.stats: lists.OneStats(lists.ListStats(1, 1280, 37, _STATS)),
    members.attach: wire.Nothing(),
    members.detach: wire.Nothing(),
    members.add: wire.batch_of(_ITEMS),
    contacts.create: contacts.OneContact(_CONTACT),
    contacts.index: contacts.ContactIndex([_CONTACT], 1, None),
    contacts.search: contacts.ContactSearch([_CONTACT], _CONTACT_META),
    contacts.get: contacts.OneContact(_CONTACT),
    contacts.update: contacts.OneContact(msgspec.structs.replace(_CONTACT, phone=380000000002, fields=[])),
    contacts.upsert: wire.batch_of([msgspec.structs.replace(_ITEMS[0], reference="row 1")]),
    fields.create: fields.OneField(_FIELD),
    fields.index: fields.FieldIndex([_FIELD]),
    fields.update: fields.OneField(msgspec.structs.replace(_FIELD, name="Town")),
    stop_list.add: stop_list.StopRows([_STOP]),
    stop_list.remove: wire.Nothing(),
    stop_list.index: stop_list.StopIndex([_STOP], 1, None),
    stop_list.search: stop_list.StopSearch([_STOP], _STOP_META),
    numbers.check: numbers.EXAMPLE,
    exports.count_audience: exports.OneCount(exports.Count(1243)),
    exports.of_person: exports.OnePerson(exports.EXAMPLE),
    imports.start: imports.OneImport(imports.EXAMPLE_WAITING),
    imports.index: imports.ImportIndex([_IMPORT], None),
    imports.get: imports.OneImport(_IMPORT),
    imports.cancel: imports.OneImport(msgspec.structs.replace(_IMPORT, state="merging")),
    imports.undo: imports.OneImport(msgspec.structs.replace(_IMPORT, state="undoing")),
}
"""An example of what each handler answers."""

FILE = "phone,City\n380000000001,Kyiv\n"
MEDIA: Mapping[str, Any] = {
    "text/csv": "line,reason,message,phone,City,row\n7,too_short,The phone is too short.,123,Kyiv,\n",
    "text/event-stream": {"event": "merging", "id": "1", "data": '{"id":1,"state":"merging"}'},
}
"""Examples of what goes in and out that is no JSON."""

ROWS = 'phone,id,created_at,stopped,City\n380000000001,7,2022-04-28T14:21:16Z,"sms","Kyiv"\n'
"""Of an export as CSV."""

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
    401: ("Token or key is missing, malformed, expired or revoked.", "The bearer token is not valid.",
          ("WWW-Authenticate",)),
    403: ("The key lacks the right that this needs.", "This key does not have the right '{right}'.", ()),
    404: ("No such path.", "There is no such route.", ()),
    405: ("The path does not take the method.", "This route does not take PATCH.", ("Allow",)),
    409: ("It is in a state in which this cannot be done.",
          "Import 1 cannot be undone: it is merging.", ()),
    413: ("The body is too large.", f"The body is larger than {Settings().body_bytes_max} bytes.", ()),
    415: ("The body is not JSON.", f"The body must be JSON: send Content-Type: {JSON}, not text/plain.", ()),
    429: ("The same request came too often within a short time.", "Too many duplicate request detected",
          ("Retry-After",)),
    503: ("The service cannot do it now.", "The service is behind with its work; try again.",
          ("Retry-After",)),
    507: ("The disk did not take the file.", "The disk did not take the file: No space left on device.", ()),
}  # fmt: skip
"""What each status means, an example of its message, its headers: the same on every route."""


def _parameter(place: str, name: str, about: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "description": about, "schema": schema}


ID = _parameter(
    "path", "id", "The id that creating it answered.", type="integer", minimum=1, maximum=search.ID_MAX
) | {"required": True}
PREFER = _parameter(
    "header", "Prefer", "`dates=rfc3339` makes the dates of this answer RFC 3339.", type="string"
)
PREFER_OF_CONTACTS = _parameter(
    "header",
    "Prefer",
    "`dates=rfc3339` makes the dates of this answer RFC 3339; `fields=object` or `fields=list` chooses the "
    "form of a contact's fields.",
    type="string",
)
IDEMPOTENCY_KEY = _parameter(
    "header",
    "Idempotency-Key",
    "Any text of yours, such as a UUID; for 24 hours the same key replays the first answer.",
    type="string",
    pattern=f"^[!-~]{{1,{idempotency.KEY_LENGTH_MAX}}}$",
)


ARRAYS = {
    "groups": "Contacts of any of these lists only.",
    "contact_ids": "Contacts to delete.",
    "group_ids": "Lists whose contacts are deleted.",
}
"""Query parameters that are lists of ids, and what they say."""


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
        list(dict.fromkeys([*kinds, ErrorBody])), ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "rollbook", "version": rollbook.__version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": noun.tag, "description": noun.about} for noun in (*nouns, OPERATIONS)],
        "security": [{"bearer": []}],
        "paths": paths | {path: _open(*about) for path, *about in OPEN},
        "components": {
            "schemas": schemas,
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
    if parameters := list(_parameters(route)):
        operation["parameters"] = parameters
    if route.body:
        fields = msgspec.structs.fields(route.body.kind)
        operation["requestBody"] = {
            "required": any(field.required for field in fields),
            "content": _content(route.body.kind, BODIES.get(route.handler)),
        }
    if route.uploads:
        file: dict[str, Any] = {"type": "string", "format": "binary", "description": "The file itself."}
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": file, "example": FILE},
                "multipart/form-data": {
                    "schema": FORM_SCHEMA,
                    "example": {"file": FILE, "list": "Customers"},
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
    for name in route.query:
        if route.downloads:
            about, schema = exports.PARAMETERS[name]
            yield _parameter("query", name, about, **schema)
            continue
        yield from _query(name, route.columns or {}, _limit(route), takes_fields=route.shows_fields)
    if route.shows_fields:
        yield PREFER_OF_CONTACTS
    elif route.shows_dates:
        yield PREFER
    if _takes_key(route):
        yield IDEMPOTENCY_KEY


def _limit(route: Route) -> int:
    return LIMITS.get(route.handler, _noun(route).limit)


def _takes_key(route: Route) -> bool:
    """Only what changes something is worth keeping the answer of; tokens are not."""
    return route.method != "GET" and route.right not in (None, "", "read")


def _query(
    name: str, columns: Mapping[str, search.Column], limit: int, *, takes_fields: bool
) -> Iterator[dict[str, Any]]:
    whole: dict[str, Any] = {"type": "integer", "maximum": search.ID_MAX}
    if name == "page[offset]":
        yield _parameter("query", name, "Items to leave out first.", minimum=0, default=0, **whole)
    elif name == "page[limit]":
        bounds = {"minimum": wire.PAGE_LIMIT_MIN, "maximum": wire.PAGE_LIMIT_MAX, "default": limit}
        yield _parameter("query", name, "Items on a page.", type="integer", **bounds)
    elif name == "page[after]":
        what = "The `next` of the page before, instead of `page[offset]`."
        yield _parameter("query", name, what, minimum=0, **whole)
    elif name == "sort":
        sortable = {name: column for name, column in columns.items() if column.sortable}
        what = f"What to sort by, else by id, newest first.{_aliases(sortable)}"
        yield _parameter("query", name, what, type="string", enum=_names(sortable))
    elif name == "way":
        what = "Up or down; up when only `sort` is given."
        yield _parameter("query", name, what, type="string", enum=["asc", "desc"])
    elif name == "search":
        yield from _criterion("search", "", columns, takes_fields)
    elif name == "search_fields":
        more = " More as [1], [2] and so on: all must hold."
        yield from _criterion("search_fields[0]", more, columns, takes_fields)
    elif name in ARRAYS:
        ids = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": search.ID_MAX}}
        yield _parameter("query", f"{name}[]", ARRAYS[name], **ids)
    elif name == "type":
        yield _parameter("query", name, "Rows of one channel only.", type="string", enum=[*CHANNELS])
    elif name == "contact_group_id":
        what = "Only phones of contacts in that list."
        yield _parameter("query", name, what, minimum=1, **whole)
    elif name in FILE_OPTIONS:
        yield _parameter("query", name, FILE_OPTIONS[name].about, **FILE_OPTIONS[name].schema)
    else:
        raise ValueError(f"The query parameter {name} has no description.")


def _criterion(
    name: str, more: str, columns: Mapping[str, search.Column], takes_fields: bool
) -> Iterator[dict[str, Any]]:
    operators = list(dict.fromkeys(operator for column in columns.values() for operator in column.operators))
    known = "; ".join(f"{field}: {' '.join(column.operators)}" for field, column in columns.items())
    what = f"The field of a criterion.{_aliases(columns)}{more}"
    if takes_fields:
        known += (
            f"; id of a text field: {' '.join(TEXTUAL)}; of a number or date field: {' '.join(COMPARISONS)}"
        )
        fields = [{"enum": _names(columns)}, {"pattern": r"^[0-9]{1,16}$"}]
        what += " The id of a contact field is one too."
        yield _parameter("query", f"{name}[field]", what, type="string", anyOf=fields)
    else:
        yield _parameter("query", f"{name}[field]", what, type="string", enum=_names(columns))
    what = f"How it compares, also as `{name}[operation]`; `like` finds part of a text in any case. {known}."
    # No schema default: a page to try the API would send it, and an operator without a field is 422.
    yield _parameter("query", f"{name}[operator]", f"{what} Without it `=`.", type="string", enum=operators)
    what = "What it is compared with; `%` and `_` mean themselves."
    yield _parameter("query", f"{name}[value]", what, type="string")


def _names(columns: Mapping[str, search.Column]) -> list[str]:
    return [*columns, *(alias for column in columns.values() for alias in column.aliases)]


def _aliases(columns: Mapping[str, search.Column]) -> str:
    return "".join(
        f" `{alias}` means `{name}`." for name, column in columns.items() for alias in column.aliases
    )


def _success(route: Route) -> dict[str, Any]:
    headers = ["X-Request-Id"]
    if route.shows_dates:
        headers.append("Preference-Applied")
    if _takes_key(route):
        headers.append("Idempotent-Replayed")
    if route.downloads:
        return _download(headers)
    if route.media is not None:
        kind = "object" if isinstance(MEDIA[route.media], Mapping) else "string"
        content = {route.media: {"schema": {"type": kind}, "example": MEDIA[route.media]}}
        return {"description": "What was asked for.", "headers": _headers(headers), "content": content}
    if route.answer is None:
        return {"description": "It is done; there is no body.", "headers": _headers(headers)}
    return {
        "description": inspect.getdoc(route.answer) or route.answer.__name__,
        "headers": _headers(headers),
        "content": _content(route.answer, ANSWERS.get(route.handler)),
    }


def _download(headers: Sequence[str]) -> dict[str, Any]:
    """A file, in one of several formats."""
    media = [*MEDIA_OF_EXPORTS.values(), *(kind for _, kind in COMPRESSIONS.values())]
    schema = {"type": "string", "format": "binary"}
    return {
        "description": "The file, in chunks.",
        "headers": _headers([*headers, "Content-Disposition"]),
        "content": {name: {"schema": schema, "example": ROWS} for name in media},
    }


def _refusals(route: Route) -> Iterator[tuple[str, Any]]:
    """The answers of `route` that are errors, by status."""
    if route.body:
        yield "400", _refused("The body is not JSON; the message says where.", _malformed(route.body))
    statuses = {
        401: True,  # a login too: the key is unknown
        403: bool(route.right),
        409: route.conflicts,
        413: route.method != "GET",
        415: route.method != "GET" and not route.uploads,
        422: True,
        429: route.guarded,
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
    """Examples of 422 answers: input that the route's own code refuses, then what its callers know."""
    found = []
    try:
        if route.body:
            fields = msgspec.structs.fields(route.body.kind)
            route.body.read(msgspec.json.encode({field.encode_name: {} for field in fields}))
        elif route.columns:
            wire.search_of({"page[limit]": "1", "sort": "phase"}, route.columns, limit=_limit(route))
        elif route.query:
            wire.page_of({"page[limit]": "1", "page[offset]": "-1"}, limit=_limit(route))
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


def _content(kind: type[msgspec.Struct], *examples: msgspec.Struct | None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
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
    """A path of `operations.py`."""
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
