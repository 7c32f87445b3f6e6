"""The answer where the application itself could not make one."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from rollbook.api.streaming import CONNECTION
from rollbook.api.wire import ErrorBody

Application = Callable[[Any, Any, Any], Awaitable[None]]

FAILED = "The service failed; the log has the details under this request id."


class OneForm:
    """An application whose every failure is told in the one form of errors, as long as nothing was sent."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._application(scope, receive, send)
        except Exception as error:
            cycle = scope.get(CONNECTION)
            if cycle is None or cycle.response_started:
                raise
            request_id = os.urandom(8).hex()
            logging.getLogger("rollbook").error(
                "unforeseen error", exc_info=error, extra={"request_id": request_id}
            )
            body = msgspec.json.encode(ErrorBody(FAILED, []))
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", request_id.encode()),
                (b"connection", b"close"),
            ]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": body})
