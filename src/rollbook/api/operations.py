"""Routes for operators: health, metrics, and the documentation of the API itself."""

from __future__ import annotations

import asyncio
import hmac
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import msgspec
from falcon.asgi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rollbook.api import openapi
from rollbook.api.edge import Bridge, Route
from rollbook.api.errors import JSON, ApiError, refusal, refuse
from rollbook.api.incoming import Request
from rollbook.db import Transaction
from rollbook.errors import RollbookError, Unavailable
from rollbook.metrics import Metrics

ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
"""The files of Swagger UI that the page needs, from the installed package swagger-ui-py."""

READY_SECONDS = 2.0
"""How long the database may take to answer before the service reports that it is not ready."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>rollbook API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
});
"""

POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


def add(
    app: falcon.asgi.App[Request, Response],
    bridge: Bridge,
    metrics: Metrics,
    routes: Sequence[Route],
    *,
    metrics_token: str,
) -> None:
    """Add the routes that need no token.

    Args:
        metrics_token: the token that `/metrics` requires; "" for none.
    """
    resources: dict[str, Any] = {
        "/": _Links(),
        "/healthz": _Health(),
        "/readyz": _Ready(bridge, metrics),
        "/metrics": _Metrics(metrics, metrics_token),
        "/openapi.json": _OpenApi(routes),
        "/docs": _Docs(),
        "/docs/{name}": _Asset(),
    }
    for path, resource in resources.items():
        resource.on_head = resource.on_get
        app.add_route(path, resource)


class _Links:
    """Links to everything else."""

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = JSON
        resp.data = msgspec.json.encode(openapi.LINKS)


class _Health:
    """Reports that the process answers."""

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = JSON
        resp.data = b'{"status":"ok"}'


class _Ready:
    """Reports whether the process and its database answer. A node of the database that is away is named. The
    service is still ready then: it serves the accounts on the other nodes."""

    def __init__(self, bridge: Bridge, metrics: Metrics) -> None:
        self._bridge = bridge
        self._metrics = metrics
        self._asked: asyncio.Future[Any] | None = None

    async def on_get(self, req: Request, resp: Response) -> None:
        try:
            self._bridge.check_writes()
            await self._answered()
        except RollbookError as error:
            req.context.error = str(error)
            refuse(resp, refusal(error))
        else:
            resp.content_type = JSON
            away = [node for node, answers in self._metrics.nodes.items() if not answers]
            ready: dict[str, Any] = {"status": "ready"}
            resp.data = msgspec.json.encode(ready | {"away": away} if away else ready)

    async def _answered(self) -> None:
        """Wait until the database answers; concurrent calls share the same answer.

        Raises:
            Unavailable: it does not answer, or not in time.
        """
        if self._asked is None or self._asked.done():
            self._asked = asyncio.ensure_future(self._bridge.read(_ping))
        done, _ = await asyncio.wait({self._asked}, timeout=READY_SECONDS)
        if not done:
            raise Unavailable(f"The database did not answer within {READY_SECONDS:g} seconds.")
        self._asked.result()


class _Metrics:
    """Metrics in the text format of Prometheus."""

    def __init__(self, metrics: Metrics, token: str) -> None:
        self._metrics = metrics
        self._expected = f"Bearer {token}".encode() if token else b""

    async def on_get(self, req: Request, resp: Response) -> None:
        given = (req.get_header("Authorization") or "").encode("utf-8", "surrogateescape")
        if self._expected and not hmac.compare_digest(given, self._expected):
            headers = {"WWW-Authenticate": 'Bearer realm="rollbook metrics"'}
            refuse(resp, ApiError(401, "The metrics want their bearer token.", headers=headers))
            return
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(self._metrics.registry)


class _OpenApi:
    """The OpenAPI document."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._data = msgspec.json.format(msgspec.json.encode(openapi.document(routes)), indent=2)

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = JSON
        resp.data = self._data


class _Docs:
    """A page for reading and trying the API, which loads nothing from the internet."""

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Content-Security-Policy", POLICY)
        resp.text = PAGE


class _Asset:
    """A file of that page."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("swagger_ui")
        if package is None or package.origin is None:
            raise RuntimeError("the package swagger-ui-py is not installed")
        self._folder = Path(package.origin).parent / "static"

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        if name == "start.js":
            resp.content_type = "text/javascript"
            resp.text = START
            return
        if name not in ASSETS:
            raise falcon.HTTPNotFound
        resp.content_type = ASSETS[name]
        resp.set_header("Cache-Control", "max-age=86400")
        resp.data = (self._folder / name).read_bytes()


def _ping(tx: Transaction) -> int | None:
    tx.require_sound()
    return tx.one(
        int, "SELECT id FROM api_key LIMIT 1"
    )  # on Citus every node has this table; others need the coordinator
