"""Observation of requests: gives each an id, a line in the log, and a place in the metrics."""

from __future__ import annotations

import itertools
import os
import re
import time

from falcon.asgi import Request, Response

from rollbook.logs import Log, LogLine
from rollbook.metrics import Metrics

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Observed:
    """Falcon middleware around every request, including those that match no route."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Note when the request began, and its id: the caller's, if it sent a usable one."""
        context = req.context
        context.started = time.perf_counter()
        context.account_id = None
        context.error = None
        request_id = req.get_header("X-Request-Id")
        if request_id is None or not _SANE_ID.fullmatch(request_id):
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        context.request_id = request_id
        resp.set_header("X-Request-Id", request_id)

    async def process_response(
        self, req: Request, resp: Response, resource: object, req_succeeded: bool
    ) -> None:
        """Count and log the request."""
        context = req.context
        seconds = time.perf_counter() - context.started
        method = req.method if req.method in _METHODS else "other"
        route = req.uri_template or "unknown"
        status = resp.status_code
        self._metrics.answered(method, route, status, seconds)
        if self._log.enabled:
            self._log.request(
                LogLine(
                    time=self._log.now(),
                    level="info" if status < 500 else "error",
                    event="request",
                    request_id=context.request_id,
                    account_id=context.account_id,
                    method=method,
                    route=route,
                    status=status,
                    ms=round(seconds * 1000, 3),
                    error=context.error,
                )
            )
