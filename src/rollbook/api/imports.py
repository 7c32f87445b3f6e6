"""Imports over HTTP: `/api/imports`."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from falcon.asgi import Request, Response, SSEvent

from rollbook import imports
from rollbook.api import query
from rollbook.api.errors import ApiError, ErrorBody
from rollbook.api.uploads import Upload
from rollbook.api.wire import Call, Delivery, Media, NotJson, Read, Write
from rollbook.channels import CHANNELS
from rollbook.errors import Invalid, NotNow, Problem, Unavailable
from rollbook.files.formulas import BOM, SAFE, csv_pieces
from rollbook.imports import Outcome, Report, State
from rollbook.imports.spec import ImportSpec, spec_of
from rollbook.options import as_parameters, values
from rollbook.search import Page, PageRequest

EVENT_SECONDS = 0.5
"""The shortest time between two events for a watcher."""

QUIET_SECONDS = 15.0
"""The longest time without an event, so that proxies do not close the connection as dead."""


class Counts(msgspec.Struct):
    """The number of rows of the file with each result. Every row is in exactly one of `rejected`,
    `duplicates`, `created`, `updated`, `unchanged`, `not_in_book` and `only_stopped`."""

    rejected: Annotated[int, msgspec.Meta(description="Rows left out; `/rejects` has them.")]
    rejected_by_reason: dict[str, int]
    duplicates: Annotated[int, msgspec.Meta(description="A later row has the same phone: the last counts.")]
    created: int
    updated: int
    unchanged: int
    not_in_book: int
    only_stopped: int
    joined: Annotated[int, msgspec.Meta(description="Contacts that joined the list.")]
    removed: Annotated[int, msgspec.Meta(description="Contacts that `replace` took out of the list.")]
    leaving: Annotated[
        int,
        msgspec.Meta(description="Members that `replace` takes out of the list, if it has to be confirmed."),
    ]
    stopped: Annotated[int, msgspec.Meta(description="Phones that were stopped before, and stay so.")]
    stopped_by_channel: dict[str, int]
    stops_added: int
    undone: Annotated[dict[str, int], msgspec.Meta(description="What undo took back, and what it left.")]
    stops_in_file: Annotated[
        int, msgspec.Meta(description="Phones that the file, an export of rollbook, says are stopped.")
    ]
    further_phones: Annotated[
        int, msgspec.Meta(description="That rows have besides one each; each counts like a row.")
    ]
    hidden: Annotated[
        int,
        msgspec.Meta(
            description="Rows of a workbook that are hidden; imported unless `skip_hidden` was given."
        ),
    ]
    left_out: Annotated[
        dict[str, int], msgspec.Meta(description="Numbers in vCards that are not phones: fax, pager.")
    ]
    blank: Annotated[int, msgspec.Meta(description="Rows with nothing in them; they count nowhere else.")]


class ImportJson(msgspec.Struct):
    """An import: its progress, and the results of the rows so far."""

    id: Annotated[int, msgspec.Meta(examples=[1])]
    filename: str
    state: Annotated[
        State,
        msgspec.Meta(
            description="`done`, `failed`, `cancelled` and `undone` are the ends; in `confirm` it waits to "
            "be confirmed or cancelled."
        ),
    ]
    outcome: Annotated[
        Outcome | None,
        msgspec.Meta(
            description="How it went, once it is `done`; null in every other state. `all_rejected` imported "
            "nothing; with `some_rejected` look at the rejects."
        ),
    ]
    list_id: int | None
    mode: str
    dry_run: bool
    size_bytes: int
    bytes_done: int
    rows_read: int
    rows_staged: Annotated[int, msgspec.Meta(description="Good rows with different phones.")]
    rows_done: Annotated[int, msgspec.Meta(description="Of these, how many are in the book.")]
    rows_per_second: Annotated[float, msgspec.Meta(description="In the phase that is under way.")]
    seconds_left: Annotated[float | None, msgspec.Meta(description="Of the phase that is under way.")]
    counts: Counts
    columns: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="For each column of the file `phone`, `stop list`, `country code`, the field that it "
            "fills, or ''."
        ),
    ]
    fields_created: list[str]
    other_phone_columns: Annotated[
        list[str], msgspec.Meta(description="Columns that are full of phones too, and were left out.")
    ]
    warnings: Annotated[
        list[str], msgspec.Meta(description="Sentences on what was left out, and may matter.")
    ]
    file: Annotated[dict[str, str], msgspec.Meta(description="Its format, encoding, and so on.")]
    header: Annotated[
        str,
        msgspec.Meta(description="Of the file: `line 3`, or `none`; '' for formats that have none."),
    ]
    error: str | None
    created_at: str
    finished_at: str | None


class OneImport(msgspec.Struct):
    """One import."""

    data: ImportJson


class ImportIndex(msgspec.Struct):
    """Imports, newest first."""

    data: list[ImportJson]
    next: Annotated[
        int | None, msgspec.Meta(description="`page[after]` of the next page; null on the last one.")
    ]


def start(call: Call, upload: Upload) -> Write:
    """Import a file of contacts: CSV, XLSX, Parquet, JSON lines or vCard, plain or compressed, as the body or
    as the part `file` of a form. It is read after the answer."""
    spec, name = _spec(call.params, upload)
    spool = call.options.spool

    def begin(tx: Any, account_id: int) -> imports.Import:
        return imports.begin(
            tx,
            account_id,
            spec=spec,
            source=name,
            size_bytes=upload.size_bytes,
            put=lambda folder: spool.put(folder, upload.path),
        )

    return Write(begin, show=lambda import_: OneImport(_shown(call, import_)))


def index(call: Call) -> Read:
    """Show imports, newest first."""
    request = PageRequest(call.query["page[limit]"], after=call.query["page[after]"] or None)

    def show(found: list[imports.Import]) -> ImportIndex:
        page = Page.of(found, None, request)
        return ImportIndex([_shown(call, import_) for import_ in page.rows], page.next)

    return Read(partial(imports.recent, before=request.after, limit=request.rows_to_read), show=show)


def get(call: Call) -> Read:
    """Show an import: its phase, rows done, rate, seconds left, and its report."""
    return Read(imports.get, call.id, show=lambda import_: OneImport(_shown(call, import_)))


def cancel(call: Call) -> Write:
    """Cancel an import after the current chunk. What it has changed so far stays; see undo."""
    return Write(imports.cancel, call.id, show=lambda import_: OneImport(_shown(call, import_)))


def confirm(call: Call) -> Write:
    """Continue an import that waits in the state `confirm` because it would take more than half of the
    members out of a list with more than a hundred. `confirm=true` at its start confirms it in advance;
    `cancel` ends it."""
    return Write(imports.confirm, call.id, show=lambda import_: OneImport(_shown(call, import_)))


def undo(call: Call) -> Write:
    """Remove the contacts and members that an import created, unless they were changed since. Stops
    stay."""
    return Write(imports.request_undo, call.id, show=lambda import_: OneImport(_shown(call, import_)))


def rejects(call: Call) -> Read:
    """Download the rejected rows as CSV: line, reason, message, and the original row."""

    def show(import_: imports.Import) -> File:
        path = call.options.spool.rejects(import_.folder)
        if path is None:
            raise NotNow(f"There are no rejects of import {import_.id} (any more); {import_.standing}.")
        return File(
            path, f"rejects-{import_.id}.csv", raw=call.query[SAFE.name] is False, bom=call.query[BOM.name]
        )

    return Read(imports.get, call.id, show=show)


def events(call: Call) -> Read:
    """Stream an import's progress as server-sent events, each named after its state."""
    return Read(imports.get, call.id, show=lambda import_: Events(call, import_))


EVENTS = Media(
    ("text/event-stream",),
    {"event": "merging", "id": "1", "data": '{"id":1,"state":"merging"}'},
    {"type": "object"},
)
REJECTS = Media(
    ("text/csv",),
    "rollbook:line,rollbook:reason,rollbook:message,phone,City,rollbook:row\n"
    "7,too_short,The phone is too short.,123,Kyiv,\n",
    {"type": "string"},
)


class File(NotJson):
    """A CSV file from the disk."""

    def __init__(self, path: Path, name: str, *, raw: bool, bom: bool) -> None:
        self._pieces = csv_pieces(path, raw=raw, bom=bom)
        self._first = next(self._pieces, b"")  # it is open now, and stays readable when it is deleted
        self._name = name
        self._size = None if raw else path.stat().st_size + (len(codecs.BOM_UTF8) if bom else 0)

    async def send(self, req: Request, resp: Response, delivery: Delivery) -> None:
        resp.content_type = "text/csv; charset=utf-8"
        resp.downloadable_as = self._name
        resp.stream = self._sent()
        if self._size is not None:
            resp.content_length = self._size

    async def _sent(self) -> AsyncIterator[bytes]:
        piece = self._first
        while piece:
            yield piece
            piece = await asyncio.to_thread(next, self._pieces, b"")


class Events(NotJson):
    """The progress of an import, as server-sent events."""

    def __init__(self, call: Call, import_: imports.Import) -> None:
        self._call = call
        self._import = import_

    async def send(self, req: Request, resp: Response, delivery: Delivery) -> None:
        delivery.check()
        resp.set_header("X-Accel-Buffering", "no")  # nginx sends each event at once
        resp.sse = self._until_refused(delivery)

    async def _until_refused(self, delivery: Delivery) -> AsyncIterator[SSEvent | None]:
        """The events, and at last the reason why they end."""
        try:
            with delivery.place():
                async for event in self._events(delivery):
                    yield event
        except ApiError as error:  # the key was revoked, or the token has expired
            yield SSEvent(data=msgspec.json.encode(error.body), event="error")
        except Unavailable as error:
            yield SSEvent(data=msgspec.json.encode(ErrorBody(str(error), [])), event="error")

    async def _events(self, delivery: Delivery) -> AsyncIterator[SSEvent | None]:
        import_ = self._import
        sent = b""
        quiet = 0.0
        while not delivery.ending():
            shown = msgspec.json.encode(_shown(self._call, import_))
            if shown != sent:
                sent, quiet = shown, 0.0
                yield SSEvent(data=shown, event=import_.state, event_id=str(import_.id))
            elif quiet >= QUIET_SECONDS:
                quiet = 0.0
                yield None  # a comment
            if import_.ended:
                return
            await asyncio.sleep(EVENT_SECONDS)
            quiet += EVENT_SECONDS
            await delivery.admitted()
            import_ = await delivery.read(imports.get, import_.account_id, import_.id)


def _spec(params: Mapping[str, Any], upload: Upload) -> tuple[ImportSpec, str]:
    """The spec of an import, and the name of its file."""
    given: dict[str, list[str]] = {}
    for name, value in [*params.items(), *upload.fields.items()]:
        texts = [value] if isinstance(value, str) else value
        given.setdefault(name.removesuffix("[]"), []).extend(texts)
    found, problems = values(query.FILE.options, given)
    if found["list"] is not None and found["list_id"] is not None:
        problems.append(Problem("list", "Give a list or a list_id, not both."))
    try:
        spec = spec_of(found, list=found["list_id"] or found["list"])
    except Invalid as error:
        problems += error.problems
    if problems:
        raise Invalid(problems)
    return spec, found["filename"] or upload.name or "upload"


def _shown(call: Call, import_: imports.Import) -> ImportJson:
    seconds_left = import_.seconds_left
    return ImportJson(
        id=import_.id,
        filename=import_.source,
        state=import_.state,
        outcome=import_.outcome,
        list_id=import_.list_id,
        mode=import_.spec.mode,
        dry_run=import_.spec.dry_run,
        size_bytes=import_.size_bytes,
        bytes_done=import_.bytes_done,
        rows_read=import_.rows_read,
        rows_staged=import_.rows_staged,
        rows_done=import_.rows_done,
        rows_per_second=round(import_.rate, 1),
        seconds_left=round(seconds_left, 1) if seconds_left is not None else None,
        counts=_counts(import_.report),
        columns=import_.report.columns,
        fields_created=import_.report.fields_created,
        other_phone_columns=import_.report.other_phone_columns,
        warnings=[as_parameters(warning) for warning in import_.report.warnings],
        file=import_.report.file,
        header=import_.report.header,
        error=as_parameters(import_.error) if import_.error is not None else None,
        created_at=call.date(import_.created_at),
        finished_at=call.date(import_.finished_at) if import_.finished_at is not None else None,
    )


def _counts(report: Report) -> Counts:
    return Counts(
        rejected=report.rows_rejected,
        rejected_by_reason=report.rejected,
        duplicates=report.duplicates,
        created=report.created,
        updated=report.updated,
        unchanged=report.unchanged,
        not_in_book=report.not_in_book,
        only_stopped=report.only_stopped,
        joined=report.joined,
        removed=report.removed,
        leaving=report.leaving,
        stopped=report.stopped,
        stopped_by_channel={channel: report.stopped_on.get(channel, 0) for channel in CHANNELS},
        stops_added=report.stops_added,
        undone=report.undone,
        stops_in_file=report.stops_in_file,
        further_phones=report.further_phones,
        hidden=report.hidden_rows,
        left_out=report.left_out,
        blank=report.blank,
    )


EXAMPLE = ImportJson(
    id=1,
    filename="customers.csv",
    state="done",
    outcome="some_rejected",
    list_id=1,
    mode="add",
    dry_run=False,
    size_bytes=52_133,
    bytes_done=52_133,
    rows_read=1_283,
    rows_staged=1_280,
    rows_done=1_280,
    rows_per_second=0.0,
    seconds_left=None,
    counts=_counts(
        Report(
            rejected={"too_short": 2},
            duplicates=1,
            created=1_200,
            updated=60,
            unchanged=20,
            joined=1_260,
            stopped=37,
            stopped_on={"sms": 30, "viber": 12, "whatsapp": 4},
        )
    ),
    columns={"Mobile": "phone", "Town": "City"},
    fields_created=[],
    other_phone_columns=[],
    warnings=[],
    file={"format": "csv", "encoding": "utf-8", "delimiter": ","},
    header="line 1",
    error=None,
    created_at="2022-04-28 14:21:16",
    finished_at="2022-04-28 14:21:17",
)
"""The example of an import in the OpenAPI document."""

EXAMPLE_WAITING = msgspec.structs.replace(
    EXAMPLE,
    state="waiting",
    outcome=None,
    bytes_done=0,
    rows_read=0,
    rows_staged=0,
    rows_done=0,
    counts=_counts(Report()),
    list_id=None,
    columns={},
    file={},
    header="",
    finished_at=None,
)
"""The same import, before a worker has it."""
