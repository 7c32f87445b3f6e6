"""The application: the table of routes, the table of errors, and what is built from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

import falcon
import falcon.asgi
from falcon.asgi import Response

from rollbook import accounts, config
from rollbook.api import (
    auth,
    batches,
    contacts,
    exports,
    fields,
    imports,
    lists,
    members,
    numbers,
    operations,
    query,
    stop_list,
    wire,
)
from rollbook.api.body import Body
from rollbook.api.edge import Bridge, Edge, Route
from rollbook.api.errors import (
    BAD_PHONE,
    CONTACT_TAKEN,
    FIELD_TAKEN,
    LIST_TAKEN,
    NO_CONTACT,
    NO_FIELD,
    NO_IMPORT,
    NO_LIST,
    ApiError,
    refuse,
)
from rollbook.api.gate import Gate
from rollbook.api.guard import DuplicateGuard
from rollbook.api.incoming import Request
from rollbook.api.observe import Observed
from rollbook.api.slots import Slots
from rollbook.api.streaming import Exporter
from rollbook.api.uploads import Uploads
from rollbook.api.wire import Options
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.fields import RULES as FIELD_RULES
from rollbook.imports.spool import Spool
from rollbook.lists import RULES as LIST_RULES
from rollbook.logs import Log
from rollbook.metrics import Metrics

LOGIN = Body(auth.LoginBody)
NEW_LIST = Body(lists.ListCreate, LIST_RULES)
LIST_CHANGE = Body(lists.ListUpdate, LIST_RULES)
MEMBERS = Body(members.Members)
PHONES = Body(members.PhonesJson)
NEW_CONTACT = Body(contacts.ContactCreate, contacts.RULES)
CONTACT_CHANGE = Body(contacts.ContactUpdate, contacts.RULES)
CONTACT_IDS = Body(contacts.ContactsDelete)
UPSERT = Body(contacts.ContactsUpsert)
NEW_FIELD = Body(fields.FieldCreate, FIELD_RULES)
FIELD_CHANGE = Body(fields.FieldUpdate, FIELD_RULES)
FIELD_IDS = Body(fields.FieldsDelete)
STOPS = Body(stop_list.StopsAdd, stop_list.RULES)
NUMBERS = Body(numbers.NumbersCheck)
STOPS_UPSERT = Body(stop_list.StopsUpsert)
STOPS_RELEASE = Body(stop_list.StopsRelease)
STOP_IDS = Body(stop_list.StopsRemove, stop_list.RULES)
AUDIENCE = Body(exports.AudienceBody)

# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("POST",   "/api/auth/login",    auth.login,   None, LOGIN, auth.Token),
    Route("POST",   "/api/auth/refresh",  auth.refresh, "",   None, auth.Token),

    Route("POST",   "/api/groups",        lists.create, "write", NEW_LIST, lists.OneList, 201,
          guarded=True, refusals=(LIST_TAKEN,)),
    Route("GET",    "/api/groups",        lists.index,  "read",  None, lists.ListIndex, query=lists.INDEX),
    Route("GET",    "/api/groups/search", lists.search, "read",  None, lists.ListSearch,
          query=lists.SEARCH),
    Route("POST",   "/api/groups/attach", members.attach, "write", MEMBERS, wire.Nothing, guarded=True),
    Route("POST",   "/api/groups/detach", members.detach, "write", MEMBERS, wire.Nothing, guarded=True),
    Route("GET",    "/api/groups/{id}",   lists.get,    "read",  None, lists.OneList, refusals=(NO_LIST,)),
    Route("PUT",    "/api/groups/{id}",   lists.update, "write", LIST_CHANGE, lists.OneList,
          refusals=(NO_LIST, LIST_TAKEN)),
    Route("DELETE", "/api/groups/{id}",   lists.delete, "write", status=204, refusals=(NO_LIST,)),
    Route("GET",    "/api/groups/{id}/stats", lists.stats, "read", None, lists.OneStats,
          refusals=(NO_LIST,), query=query.NOTHING),
    Route("POST",   "/api/groups/{id}/contacts", members.add, "write", PHONES, batches.BatchJson,
          bulk=True, refusals=(NO_LIST,), query=query.NOTHING),

    Route("POST",   "/api/contacts",        contacts.create, "write", NEW_CONTACT, contacts.OneContact, 201,
          guarded=True, shows_fields=True, refusals=(CONTACT_TAKEN, BAD_PHONE)),
    Route("GET",    "/api/contacts",        contacts.index,  "read", None, contacts.ContactIndex,
          query=contacts.INDEX, shows_fields=True),
    Route("GET",    "/api/contacts/search", contacts.search, "read", None, contacts.ContactSearch,
          query=contacts.SEARCH, shows_fields=True),
    Route("POST",   "/api/contacts/upsert", contacts.upsert, "write", UPSERT, batches.BatchJson,
          bulk=True, query=query.NOTHING),
    Route("POST",   "/api/contacts/delete", contacts.delete_many, "write", CONTACT_IDS, status=204,
          query=contacts.DELETE, empty_for_php=True),
    Route("GET",    "/api/contacts/fields", fields.index,  "read", None, fields.FieldIndex),
    Route("POST",   "/api/contacts/fields", fields.create, "write", NEW_FIELD, fields.OneField, 201,
          guarded=True, refusals=(FIELD_TAKEN,)),
    Route("PATCH",  "/api/contacts/fields/{id}", fields.update, "write", FIELD_CHANGE, fields.OneField,
          refusals=(NO_FIELD, FIELD_TAKEN)),
    Route("POST",   "/api/contacts/fields/delete", fields.delete_many, "write", FIELD_IDS, status=204,
          empty_for_php=True),
    Route("GET",    "/api/contacts/{id}",   contacts.get,    "read", None, contacts.OneContact,
          shows_fields=True, refusals=(NO_CONTACT,)),
    Route("PUT",    "/api/contacts/{id}",   contacts.update, "write", CONTACT_CHANGE, contacts.OneContact,
          shows_fields=True, refusals=(NO_CONTACT, CONTACT_TAKEN, BAD_PHONE)),
    Route("DELETE", "/api/contacts/{id}",   contacts.delete, "write", status=204,
          empty_for_php=True, refusals=(NO_CONTACT,)),

    Route("POST",   "/api/numbers/check",   numbers.check, "read", NUMBERS, numbers.CheckedNumbers,
          bulk=True, query=query.NOTHING),

    Route("POST",   "/api/stoplist/attach", stop_list.add, "write", STOPS, stop_list.StopRows, guarded=True),
    Route("POST",   "/api/stoplist/detach", stop_list.remove, "write", STOP_IDS, wire.Nothing, guarded=True),
    Route("GET",    "/api/stoplist",        stop_list.index, "read", None, stop_list.StopIndex,
          query=stop_list.INDEX),
    Route("GET",    "/api/stoplist/search", stop_list.search, "read", None, stop_list.StopSearch,
          query=stop_list.SEARCH),
    Route("GET",    "/api/stoplists/search", stop_list.search, "read", None, stop_list.StopSearch,
          query=stop_list.SEARCH, alias=True),

    Route("POST",   "/api/stops",           stop_list.upsert, "write", STOPS_UPSERT, stop_list.StopsBatch,
          bulk=True, query=query.NOTHING),
    Route("POST",   "/api/stops/release",   stop_list.release, "write", STOPS_RELEASE, stop_list.ReleaseBatch,
          bulk=True, query=query.NOTHING),

    Route("GET",    "/api/groups/{id}/export",   exports.of_list,      "read", query=query.CONTACTS,
          media=exports.FILE, refusals=(NO_LIST,)),
    Route("GET",    "/api/contacts/export",      exports.of_book,      "read", query=query.CONTACTS,
          media=exports.FILE),
    Route("GET",    "/api/contacts/{id}/export", exports.of_person,    "read", None, exports.OnePerson,
          refusals=(NO_CONTACT,), query=query.NOTHING),
    Route("GET",    "/api/stoplist/export",      exports.of_stop_list, "read",
          query=query.STOPS, media=exports.FILE),
    Route("POST",   "/api/audience",             exports.count_audience, "read", AUDIENCE, exports.OneCount,
          query=query.NOTHING),
    Route("POST",   "/api/audience/export",      exports.of_audience,  "read", AUDIENCE,
          query=query.AUDIENCE, media=exports.FILE),

    Route("POST",   "/api/imports",         imports.start,   "write", None, imports.OneImport, 202,
          uploads=True, query=query.FILE, refusals=(NO_LIST,)),
    Route("GET",    "/api/imports",         imports.index,   "read",  None, imports.ImportIndex,
          query=query.IMPORTS),
    Route("GET",    "/api/imports/{id}",    imports.get,     "read",  None, imports.OneImport,
          refusals=(NO_IMPORT,), query=query.NOTHING),
    Route("GET",    "/api/imports/{id}/events",  imports.events,  "read", media=imports.EVENTS,
          refusals=(NO_IMPORT,), query=query.NOTHING),
    Route("GET",    "/api/imports/{id}/rejects", imports.rejects, "read", media=imports.REJECTS,
          conflicts=True, refusals=(NO_IMPORT,), query=query.REJECTS),
    Route("POST",   "/api/imports/{id}/cancel",  imports.cancel,  "write", None, imports.OneImport,
          conflicts=True, refusals=(NO_IMPORT,), query=query.NOTHING),
    Route("POST",   "/api/imports/{id}/confirm", imports.confirm, "write", None, imports.OneImport, 202,
          conflicts=True, refusals=(NO_IMPORT,), query=query.NOTHING),
    Route("POST",   "/api/imports/{id}/undo",    imports.undo,    "write", None, imports.OneImport, 202,
          conflicts=True, refusals=(NO_IMPORT,), query=query.NOTHING),
)
# fmt: on


def build(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    log: Log,
    routes: Sequence[Route] = ROUTES,
    *,
    ending: Callable[[], bool] = lambda: False,
) -> falcon.asgi.App[Request, Response]:
    """Build the application. Call it inside the running event loop that will serve it.

    Args:
        database: open and migrated.
        routes: the routes besides `/docs`, `/openapi.json`, `/healthz`, `/readyz` and `/metrics`.
        ending: whether the process is about to end: long answers are then ended too.
    """
    bridge = Bridge(database, settings.request_seconds)
    spool = Spool(config.spool_of(settings))
    gate = Gate(
        database.write(accounts.signing_secret),
        life_seconds=settings.token_days * 86_400,
        cache_seconds=settings.auth_cache_seconds,
        read=bridge.read_quickly,
    )
    edge = Edge(
        bridge,
        gate,
        DuplicateGuard(settings.duplicate_window_seconds, settings.duplicate_repeats),
        options=Options(settings.contact_fields, settings.phone_check, spool),
        answers_kept_for=timedelta(hours=settings.idempotency_hours),
        body_bytes_max=settings.body_bytes_max,
        bulk_body_bytes_max=settings.bulk_body_bytes_max,
        uploads=Uploads(
            spool,
            settings.import_bytes_max,
            most=settings.uploads_max,
            free_bytes_min=settings.spool_free_bytes_min,
        ),
        exporter=Exporter(
            settings.database_url,
            Slots("exports", settings.exports_max, settings.exports_per_account_max),
            settings.export_bytes_per_second_min,
        ),
        streams=Slots(
            "streams of events", settings.event_streams_max, settings.event_streams_per_account_max
        ),
        ending=ending,
    )
    app = falcon.asgi.App(request_type=Request, middleware=[Observed(metrics, log)])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    app.add_error_handler(falcon.HTTPError, _refused_by_falcon)
    app.add_error_handler(Exception, _failed)
    for path in dict.fromkeys(route.path for route in routes):
        resource = type("Resource", (), {})()
        for route in routes:
            if route.path == path:
                responder = edge.responder(route)
                setattr(resource, f"on_{route.method.lower()}", responder)
                if route.method == "GET":
                    resource.on_head = responder
        app.add_route(path, resource)
    operations.add(app, bridge, metrics, routes, metrics_token=settings.metrics_token)
    return app


async def _refused_by_falcon(req: Request, resp: Response, error: falcon.HTTPError, params: object) -> None:
    """Give Falcon's own refusals (unknown route, wrong method, bad header) the form of all errors."""
    status = error.status_code
    message = {
        404: "There is no such route.",
        405: f"This route does not take {req.method}.",
    }.get(status, error.description or error.title or "The request cannot be read.")
    headers = error.headers or {}
    refuse(resp, ApiError(status, message, headers=dict(headers)))


async def _failed(req: Request, resp: Response, error: Exception, params: object) -> None:
    """Handle an unforeseen error: the traceback goes to the log, nothing of it to the caller."""
    logging.getLogger("rollbook").error(
        "unforeseen error", exc_info=error, extra={"request_id": req.context.request_id}
    )
    refuse(resp, ApiError(500, "The service failed; the log has the details under this request id."))
