"""The path of every request: authentication, reading the body, one call of the core, the answer."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any

import msgspec
from falcon.asgi import Response

from rollbook import idempotency
from rollbook.api import slips, wire
from rollbook.api.body import Body
from rollbook.api.digests import WANTED
from rollbook.api.errors import JSON, ApiError, refusal, refuse
from rollbook.api.gate import Gate, Principal
from rollbook.api.guard import DuplicateGuard
from rollbook.api.incoming import CutOff, Request
from rollbook.api.patience import Patience
from rollbook.api.query import IGNORED, LenientQuery, StrictQuery
from rollbook.api.slots import Slots
from rollbook.api.streaming import Exporter
from rollbook.api.uploads import Uploads
from rollbook.api.wire import Call, Compute, Delivery, Media, NotJson, Options, Read, Write
from rollbook.db import Database, Snapshot
from rollbook.errors import Busy, Problem, RollbookError

KEYLESS_BODY_BYTES_MAX = 16 * 1024
"""The largest body of a call without a token, which anyone can make."""

COMPUTATIONS_MAX = 8
"""Computations that run or wait at once. The longest takes a second and a half."""

_PHP = re.compile(r"OpenAPI-Generator/[^/]{0,64}/PHP")
_KEY = re.compile(rf"[!-~]{{1,{idempotency.KEY_LENGTH_MAX}}}")


@dataclass(frozen=True)
class Route:
    """One call of the API: its line in the route table.

    Args:
        handler: `handler(call)` or, with a body, `handler(call, body)`; returns a `Read`, `Compute` or
            `Write`.
        right: the right that the caller's key needs; `None` for a call without a token, "" for any token.
        body: how the body of the request is read.
        answer: the Struct of a successful answer; `None` for one without a body.
        status: the status of a successful answer.
        guarded: whether the duplicate guard watches it.
        query: its query. With a `StrictQuery` it is a route of rollbook's own, which refuses anything unknown
            in the query and in the body; otherwise it is one of the vendor's.
        shows_fields: whether the answer has contacts, whose fields are in the form that suits the caller.
        bulk: whether the body may have up to `bulk_body_bytes_max`.
        uploads: whether the body is a file; the handler gets an `Upload`.
        media: what the answer is, where it is not JSON.
        conflicts: whether it is refused (409) where the state does not allow it.
        empty_for_php: whether the vendor's PHP client, which fails on 204 here, gets 200 with an empty
            object.
        alias: whether the OpenAPI document already has this route under another path.
        refusals: the texts of 422 answers that the vendor's clients know.
    """

    method: str
    path: str
    handler: Callable[..., Read | Compute | Write]
    right: str | None
    body: Body | None = None
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    guarded: bool = False
    query: StrictQuery | LenientQuery = IGNORED
    shows_fields: bool = False
    bulk: bool = False
    uploads: bool = False
    media: Media | None = None
    conflicts: bool = False
    empty_for_php: bool = False
    alias: bool = False
    refusals: tuple[str, ...] = ()

    @property
    def shows_dates(self) -> bool:
        """Whether the answer has dates, so that `Prefer: dates=rfc3339` matters."""
        return self.answer is not None and _has_dates(self.answer)


@cache
def _has_dates(answer: type[msgspec.Struct]) -> bool:
    return b'"created_at"' in msgspec.json.encode(msgspec.json.schema(answer))


class Bridge:
    """Runs the core's synchronous functions for an event loop.

    Writes go to the engine's lane; each batch of them wakes the event loop once. Point reads run at once
    where the engine is embedded; other reads go to a thread.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._writes = Patience(
            seconds,
            database.enqueue_write,
            ": the change may or may not be stored; look, or send it again with its Idempotency-Key",
        )
        self._reads = Patience(seconds, database.enqueue_read, "")
        self._reads_this_turn = 0
        self._snapshot: Snapshot | None = None
        self._computer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._computing = 0

    def write(self, fn: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Run `fn` in a write transaction. The result comes when it is on disk.

        Raises:
            Unavailable: when awaited: it took too long; the change may or may not be stored.
        """
        return self._writes.run(fn, args)

    def read(self, fn: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Run `fn` on a snapshot, in a thread.

        Raises:
            Unavailable: when awaited: it took too long.
        """
        return self._reads.run(fn, args)

    def check_writes(self) -> None:
        """Check that the database still answers changes.

        Raises:
            Unavailable: it answers none.
        """
        self._writes.check()

    async def read_quickly(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a point read: at once on an embedded engine, else in a thread.

        The reads in one turn of the event loop share a snapshot, from the second one on: taking the locks of
        a snapshot costs more than a third of a read. All of their requests had arrived before the turn began,
        so none of them can miss a change that its sender knows of (docs/decisions/0010).
        """
        if not self._database.reads_inline:
            return await self.read(fn, *args)
        self._reads_this_turn += 1
        if self._reads_this_turn == 1:
            self._loop.call_soon(self._end_turn)
            return self._database.read_inline(fn, *args)
        if self._snapshot is None:
            self._snapshot = self._database.snapshot()
        return self._snapshot.read(fn, *args)

    async def compute(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run `fn`, which needs no database, in a thread. Computations run one after another, so that the
        event loop shares the interpreter with one at most.

        Raises:
            Busy: `COMPUTATIONS_MAX` are waiting already.
        """
        if self._computing >= COMPUTATIONS_MAX:
            raise Busy("The service is behind with its work; try again.")
        self._computing += 1
        try:
            return await self._loop.run_in_executor(self._computer, fn, *args)
        finally:
            self._computing -= 1

    def _end_turn(self) -> None:
        self._reads_this_turn = 0
        if self._snapshot is not None:
            snapshot, self._snapshot = self._snapshot, None
            snapshot.close()


class Edge:
    """The state that the responders of all routes share."""

    def __init__(
        self,
        bridge: Bridge,
        gate: Gate,
        guard: DuplicateGuard,
        *,
        options: Options,
        answers_kept_for: timedelta,
        body_bytes_max: int,
        bulk_body_bytes_max: int,
        uploads: Uploads,
        exporter: Exporter,
        streams: Slots,
        ending: Callable[[], bool],
    ) -> None:
        self._bridge = bridge
        self._gate = gate
        self._guard = guard
        self._answers_kept_for = answers_kept_for
        self._options = options
        self._body_bytes_max = body_bytes_max
        self._bulk_body_bytes_max = bulk_body_bytes_max
        self._uploads = uploads
        self._exporter = exporter
        self._streams = streams
        self._ending = ending
        self._slips = slips.SlipLog()
        self._encode = msgspec.json.Encoder().encode

    def responder(self, route: Route) -> Callable[..., Awaitable[None]]:
        """The Falcon responder of a route."""
        shows_dates = route.shows_dates

        async def respond(req: Request, resp: Response, id: str = "0") -> None:
            try:
                await self._answer(route, req, resp, id)
            except ApiError as error:
                if isinstance(error, CutOff) or error.status >= 500:
                    req.context.error = str(error)
                refuse(resp, error)
            except RollbookError as error:
                refused = refusal(error)
                if refused.status >= 500:
                    req.context.error = str(error)
                refuse(resp, refused)
            if req.wants_other_digests:
                resp.set_header("Want-Content-Digest", WANTED)
            if route.shows_fields:
                resp.set_header("Vary", "User-Agent, Prefer")
            elif shows_dates:
                resp.set_header("Vary", "Prefer")

        return respond

    async def _answer(self, route: Route, req: Request, resp: Response, id: str) -> None:
        principal = None
        if route.right is not None:
            principal = await self._admit(route.right, req)
        prefer = req.get_header("Prefer")
        wanted = preferences(prefer) if prefer is not None else {}
        rfc3339 = wanted.get("dates") == "rfc3339"
        call = Call(
            self._gate,
            self._options,
            principal.account_id if principal else 0,
            principal.key_id if principal else 0,
            wire.id_in_path(id),
            req.params,
            rfc3339,
            route.shows_fields and self._fields_as_list(req, wanted),
        )
        if isinstance(route.query, LenientQuery):
            if req.params:
                where = f"{route.method} {route.path}"
                self._slips.note(route.query.unknown(req.params), key_id=call.key_id, route=where)
        elif not route.uploads:  # options may be in the form, too: the handler reads both
            call.query = route.query.read(req.params)
        key = None
        if route.method != "GET" and principal:
            key = req.get_header("Idempotency-Key")
        if route.uploads:
            async with self._uploads.received(req, call.account_id, hashed=key is not None) as upload:
                work = route.handler(call, upload)
                await self._perform(route, req, resp, call, work, key, upload.digest)
            return
        data = b""
        if route.method != "GET":
            most = self._bulk_body_bytes_max if route.bulk else self._body_bytes_max
            if route.right is None:
                most = min(most, KEYLESS_BODY_BYTES_MAX)
            data = await self._body(req, most)
        if route.guarded and key is None:
            self._guard.check((call.account_id, route.method, req.path, hash(data)), time.monotonic())
        if route.body is None and isinstance(route.query, StrictQuery):
            slips.NO_BODY.read(data)
        work = route.handler(call, route.body.read(data)) if route.body else route.handler(call)
        if wanted and (applied := _applied(route, wanted)):
            resp.set_header("Preference-Applied", applied)
        await self._perform(route, req, resp, call, work, key, data)

    async def _perform(
        self,
        route: Route,
        req: Request,
        resp: Response,
        call: Call,
        work: Read | Compute | Write,
        key: str | None,
        data: bytes,
    ) -> None:
        args = (call.account_id, *work.args) if route.right is not None else work.args
        if isinstance(work, Read):
            read = self._bridge.read_quickly if work.quick else self._bridge.read
            body = work.show(await read(work.fn, *args))
        elif isinstance(work, Compute):
            body = work.show(await self._bridge.compute(work.fn, *work.args))
        elif key is None:
            body = work.show(await self._bridge.write(work.fn, *args))
        else:
            await self._answer_once(route, req, resp, work, args, key, data)
            return
        resp.status = route.status
        if isinstance(body, NotJson):
            await body.send(req, resp, self._delivery(route, req, call.account_id))
            return
        if body is None and route.empty_for_php and _PHP.fullmatch(req.get_header("User-Agent") or ""):
            resp.status, body = 200, {}
        if body is not None:
            resp.content_type = JSON
            resp.data = self._encode(body)

    def _delivery(self, route: Route, req: Request, account_id: int) -> Delivery:
        return Delivery(
            self._bridge.read,
            partial(self._exporter.send, account_id),
            partial(self._admit, route.right or "", req),
            partial(self._streams.taken, account_id),
            partial(self._streams.check, account_id),
            self._ending,
        )

    def _fields_as_list(self, req: Request, wanted: Mapping[str, str]) -> bool:
        form = wanted.get("fields")
        if form not in ("list", "object"):
            form = self._options.contact_fields
        if form == "auto":
            return (req.get_header("User-Agent") or "").startswith("OpenAPI-Generator/")
        return form == "list"

    async def _admit(self, right: str, req: Request) -> Principal:
        authorization = req.get_header("Authorization") or _bearer_header(req)
        principal = self._gate.known(authorization) or await self._gate.verify(authorization)
        req.context.account_id = principal.account_id
        if right and right not in principal.rights:
            raise ApiError(403, f"This key does not have the right {right!r}.")
        return principal

    async def _body(self, req: Request, most: int) -> bytes:
        if (req.content_length or 0) > most:
            raise ApiError(413, f"The body is larger than {most} bytes.")
        data = await req.read_all(most)
        if len(data) > most:
            raise ApiError(413, f"The body is larger than {most} bytes.")
        if data:
            media = (req.content_type or JSON).partition(";")[0].strip().lower()
            if media != JSON and not media.endswith("+json") and media != "text/json":
                raise ApiError(415, f"The body must be JSON: send Content-Type: {JSON}, not {media}.")
        return data

    async def _answer_once(
        self,
        route: Route,
        req: Request,
        resp: Response,
        work: Write,
        args: tuple[Any, ...],
        key: str,
        data: bytes,
    ) -> None:
        if not _KEY.fullmatch(key):
            raise ApiError(
                422,
                "The given data was invalid.",
                problems=[
                    Problem(
                        "Idempotency-Key",
                        f"The Idempotency-Key must be 1 to {idempotency.KEY_LENGTH_MAX} printable ASCII "
                        "characters without spaces.",
                    )
                ],
            )
        request = b"\0".join([req.method.encode(), req.relative_uri.encode(), data])

        def perform(tx: Any) -> idempotency.Answer:
            try:
                with tx.part():
                    body = work.show(work.fn(tx, *args))
            except RollbookError as error:
                refused = refusal(error)
                if refused.status >= 500:
                    raise
                return idempotency.Answer(refused.status, self._encode(refused.body).decode())
            return idempotency.Answer(route.status, self._encode(body).decode() if body is not None else "")

        def once(tx: Any, account_id: int) -> idempotency.Answer:
            return idempotency.once(
                tx,
                account_id,
                key=key,
                fingerprint=hashlib.sha256(request).hexdigest(),
                keep_for=self._answers_kept_for,
                perform=perform,
            )

        answer: idempotency.Answer = await self._bridge.write(once, args[0])
        resp.status = answer.status
        if (
            answer.status == 204
            and route.empty_for_php
            and _PHP.fullmatch(req.get_header("User-Agent") or "")
        ):
            resp.status, resp.content_type, resp.data = 200, JSON, b"{}"
        if answer.body:
            resp.content_type = JSON
            resp.data = answer.body.encode()
        if answer.replayed:
            resp.set_header("Idempotent-Replayed", "true")
            resp.delete_header("Preference-Applied")  # the form is the one that the first caller preferred


def preferences(prefer: str) -> Mapping[str, str]:
    """The preferences in a Prefer header (RFC 7240), names and values in lower case."""
    found: dict[str, str] = {}
    for part in prefer.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found


def _applied(route: Route, wanted: Mapping[str, str]) -> str:
    """The preferences that an answer of `route` follows, as a Preference-Applied header."""
    applied = []
    if route.shows_dates and wanted.get("dates") == "rfc3339":
        applied.append("dates=rfc3339")
    if route.shows_fields and wanted.get("fields") in ("list", "object"):
        applied.append(f"fields={wanted['fields']}")
    return ", ".join(applied)


def _bearer_header(req: Request) -> str | None:
    """The token in the header `Bearer: <token>`, a form that the vendor's documentation shows."""
    bearer = req.get_header("Bearer")
    return f"Bearer {bearer}" if bearer else None
