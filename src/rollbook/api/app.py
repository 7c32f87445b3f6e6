"""The route table, the table of errors, and the application made of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

import falcon
import falcon.asgi
from falcon.asgi import Request, Response

from rollbook import accounts
from rollbook.api import auth, lists, operations
from rollbook.api.body import Body
from rollbook.api.edge import Bridge, Edge, Route, refuse
from rollbook.api.guard import DuplicateGuard
from rollbook.api.metrics import Metrics
from rollbook.api.observe import Log, Observed
from rollbook.api.wire import ApiError
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import (
    AlreadyExists,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    RollbookError,
    Unavailable,
)
from rollbook.lists import COLUMNS as LIST_COLUMNS
from rollbook.lists import RULES as LIST_RULES

NO_LIST = "Contact group is not found"
LIST_TAKEN = "Contact group is already exists"
PAGE = ("page[offset]", "page[limit]", "page[after]")
SEARCH = (*PAGE, "sort", "way", "search", "search_fields")

LOGIN = Body(auth.LoginBody)
NEW_LIST = Body(lists.ListCreate, LIST_RULES)
LIST_CHANGE = Body(lists.ListUpdate, LIST_RULES)

# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("POST",   "/api/auth/login",    auth.login,   None, LOGIN, auth.Token),
    Route("POST",   "/api/auth/refresh",  auth.refresh, "",   None, auth.Token),

    Route("POST",   "/api/groups",        lists.create, "write", NEW_LIST, lists.OneList, 201,
          guarded=True, refusals=(LIST_TAKEN,)),
    Route("GET",    "/api/groups",        lists.index,  "read",  None, lists.ListIndex, query=PAGE),
    Route("GET",    "/api/groups/search", lists.search, "read",  None, lists.ListSearch,
          query=SEARCH, columns=LIST_COLUMNS),
    Route("GET",    "/api/groups/{id}",   lists.get,    "read",  None, lists.OneList, refusals=(NO_LIST,)),
    Route("PUT",    "/api/groups/{id}",   lists.update, "write", LIST_CHANGE, lists.OneList,
          refusals=(NO_LIST, LIST_TAKEN)),
    Route("DELETE", "/api/groups/{id}",   lists.delete, "write", status=204, refusals=(NO_LIST,)),
)
# fmt: on

NOT_FOUND = {"list": NO_LIST}
TAKEN = {"list": LIST_TAKEN}


def refusal(error: RollbookError) -> ApiError:
    """The one place where an error of the core becomes status and wire text."""
    if isinstance(error, Invalid):
        return ApiError(422, "The given data was invalid.", problems=error.problems)
    if isinstance(error, NotFound):
        return ApiError(422, NOT_FOUND.get(error.noun, str(error)))
    if isinstance(error, AlreadyExists):
        return ApiError(422, TAKEN.get(error.noun, str(error)))
    if isinstance(error, IdempotencyMismatch):
        return ApiError(422, str(error))
    if isinstance(error, Unavailable):
        return ApiError(503, str(error), headers={"Retry-After": str(error.retry_after_seconds)})
    raise error


def build(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    log: Log,
    routes: Sequence[Route] = ROUTES,
) -> falcon.asgi.App[Request, Response]:
    """Make the application. Call it inside the running event loop that will serve it.

    Args:
        database: open and migrated.
        routes: what it answers besides `/docs`, `/openapi.json`, `/healthz`, `/readyz` and `/metrics`.
    """
    bridge = Bridge(database)
    gate = auth.Gate(
        database.write(accounts.signing_secret),
        life_seconds=settings.token_days * 86_400,
        cache_seconds=settings.auth_cache_seconds,
        read=bridge.read_quickly,
    )
    edge = Edge(
        bridge,
        gate,
        DuplicateGuard(settings.duplicate_window_seconds, settings.duplicate_repeats),
        answers_kept_for=timedelta(hours=settings.idempotency_hours),
        body_bytes_max=settings.body_bytes_max,
        refusal=refusal,
    )
    app = falcon.asgi.App(middleware=[Observed(metrics, log)])
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
    operations.add(app, bridge, metrics, routes, refusal)
    return app


async def _refused_by_falcon(req: Request, resp: Response, error: falcon.HTTPError, params: object) -> None:
    """Falcon's own refusals (no such route, wrong method, bad header) in the one form."""
    status = error.status_code
    message = {
        404: "There is no such route.",
        405: f"This route does not take {req.method}.",
    }.get(status, error.description or error.title or "The request cannot be read.")
    headers = error.headers or {}
    refuse(resp, ApiError(status, message, headers=dict(headers)))


async def _failed(req: Request, resp: Response, error: Exception, params: object) -> None:
    """Anything unforeseen: a trace for the log, nothing of it for the caller."""
    logging.getLogger("rollbook").error(
        "unforeseen error", exc_info=error, extra={"request_id": req.context.request_id}
    )
    refuse(resp, ApiError(500, "The service failed; the log has the details under this request id."))
