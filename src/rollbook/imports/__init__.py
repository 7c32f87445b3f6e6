"""Imports: create (`begin`), look up (`get`, `recent`), cancel (`cancel`) and undo (`request_undo`) them.

The row of an import holds its options and its progress. This module is light and does none of the work:
`worker` does it, step by step, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from rollbook import accounts, fields, lists
from rollbook.db import Transaction
from rollbook.errors import NotFound, NotNow
from rollbook.fields import NewField
from rollbook.imports.spec import ImportSpec, checked
from rollbook.imports.spool import new_folder
from rollbook.lists import NewList

SpecT = TypeVar("SpecT")
ReportT = TypeVar("ReportT")

State = Literal[
    "waiting", "reading", "confirm", "merging", "pruning", "done", "failed", "cancelled", "undoing", "undone"
]

Outcome = Literal["ok", "some_rejected", "all_rejected"]

UNDERWAY: tuple[State, ...] = ("waiting", "reading", "merging", "pruning", "undoing")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "undone")

SOURCE_LENGTH_MAX = 255
SHOWN_MAX = 501
"""Imports that one call returns at most: a page of 500, and one more to see whether there is another page."""


class Report(msgspec.Struct):
    """What became of the rows of a file. Every row is counted in exactly one of `rejected`, `duplicates`,
    `created`, `updated`, `unchanged`, `not_in_book` and `only_stopped`. Where all phones of a row count, each
    of its phones is counted instead, and `further_phones` says how many more phones than rows there are.

    Args:
        rejected: rows left out, by reason.
        duplicates: rows whose phone occurs again in a later row: the last one counts.
        created: phones that became contacts.
        updated: contacts that joined the list or got another value.
        unchanged: contacts that needed no change.
        not_in_book: phones left out because the import only updates existing contacts.
        only_stopped: phones of an import that only feeds the stop list.
        joined: contacts that joined the list.
        removed: contacts that `replace` took out of the list.
        leaving: how many members `replace` takes out of the list, where that needs a confirmation.
        members: how many members the list had at that time.
        stopped: phones that were on the stop list before the import, on any channel; they stay there.
        stopped_on: the same, counted for each channel.
        stops_added: phones that this import stopped on at least one more channel.
        stops_in_file: phones that the file itself marks as stopped, because it is an export of rollbook.
        further_phones: phones of rows beyond the first of each row.
        stop_column: the column that marks them; "" for none.
        only_stops: whether the file is an export of the stop list, so that its phones do not become contacts.
        list_created: whether the list was created for this import.
        blank: empty rows of the file, which do not count as rows.
        hidden_rows: hidden rows of a workbook; the spec says whether they were imported.
        left_out: numbers in vCards that are not phones, by their use: fax, pager.
        columns: the meaning of each column of the file: `phone`, `stop list`, `country code`, a field's
            name, or "".
        other_phone_columns: further columns full of phones, which were left out.
        warnings: sentences about what was left out and may matter. They name options as `options.mention`
            does.
        field_ids: the fields that the import fills, in the order of their columns; 0 for one that a dry run
            would create.
        fields_created: the names of the fields that it created.
        fields_wanted: the names of the fields that the file fills, while the import waits for a confirmation.
            Those that do not exist are created after it.
        file: how the file was read: format, encoding, delimiter, compression, sheet.
        header: where the header of the file is: `line 3`, or `none`; "" for formats without headers.
        seconds: how long each phase took.
        undone: what the undo took back, and what it left.
    """

    rejected: dict[str, int] = {}
    duplicates: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    not_in_book: int = 0
    only_stopped: int = 0
    joined: int = 0
    removed: int = 0
    leaving: int = 0
    members: int = 0
    stopped: int = 0
    stopped_on: dict[str, int] = {}
    stops_added: int = 0
    stops_in_file: int = 0
    stop_column: str = ""
    only_stops: bool = False
    further_phones: int = 0
    list_created: bool = False
    blank: int = 0
    hidden_rows: int = 0
    left_out: dict[str, int] = {}
    columns: dict[str, str] = {}
    other_phone_columns: list[str] = []
    warnings: list[str] = []
    field_ids: list[int] = []
    fields_created: list[str] = []
    fields_wanted: list[str] = []
    file: dict[str, str] = {}
    header: str = ""
    seconds: dict[str, float] = {}
    undone: dict[str, int] = {}

    @property
    def rows_rejected(self) -> int:
        """Rows left out, for any reason."""
        return sum(self.rejected.values())


class _ImportColumns(msgspec.Struct, Generic[SpecT, ReportT], frozen=True):
    """The columns of an import: spec and report are JSON in the database, and decoded in an `Import`."""

    account_id: int
    id: int
    source: str
    spec: SpecT
    state: State
    cancel_wanted: bool
    list_id: int | None
    size_bytes: int
    bytes_done: int
    rows_read: int
    rows_staged: int
    reached: int
    report: ReportT
    error: str | None
    created_at: datetime
    phase_started_at: datetime
    finished_at: datetime | None
    deaths: int
    died_where: str | None
    folder: str
    spool: str | None


class Import(_ImportColumns[ImportSpec, Report], frozen=True):
    """An import: its options, its state and its progress.

    Args:
        source: the name of the file, as people see it.
        size_bytes, bytes_done: the size of the file, and how much of it was read.
        rows_read: rows read from the file so far.
        rows_staged: accepted rows with different phones, once all rows were read.
        reached: how many of those are in the book; while members are removed, the last one that was checked.
        error: why it failed.
        phase_started_at: when its current phase began.
        deaths: workers that died at work on it since its last progress; orderly shutdowns do not count.
        folder: the name of its folder in the spool, never used by another import.
        spool: the id of that spool; `None` where it is not known.
        died_where: the state and the progress at which the last worker died.
    """

    @property
    def progress(self) -> tuple[int, int]:
        """How much of the phase is done, and the total (0: not known): in bytes of the file, later in
        rows."""
        if self.state == "reading":
            return self.bytes_done, self.size_bytes
        if self.state == "merging":
            return self.reached, self.rows_staged
        return 0, 0

    @property
    def rows_done(self) -> int:
        """How many of the accepted rows are in the book."""
        if self.state == "merging":
            return self.reached
        return self.rows_staged if self.state in ("done", "pruning") else 0

    @property
    def rate(self) -> float:
        """Rows a second in the current phase; 0 while there is too little to measure."""
        seconds = (datetime.now(UTC) - self.phase_started_at).total_seconds()
        rows = {"reading": self.rows_read, "merging": self.reached}.get(self.state, 0)
        return rows / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the current phase still takes; `None` where no estimate is possible."""
        done, total = self.progress
        seconds = (datetime.now(UTC) - self.phase_started_at).total_seconds()
        return seconds * (total - done) / done if done and total else None

    @property
    def standing(self) -> str:
        """Its state in a sentence."""
        return "it waits to be confirmed" if self.state == "confirm" else f"it is {self.state}"

    @property
    def outcome(self) -> Outcome | None:
        """The result of an import that is done; `None` for one that is not, or was cancelled, failed or
        undone."""
        if self.state != "done":
            return None
        if not self.report.rejected:
            return "ok"
        report = self.report
        taken = (report.created, report.updated, report.unchanged, report.not_in_book, report.only_stopped)
        return "some_rejected" if any(taken) else "all_rejected"

    @property
    def stops_phones(self) -> bool:
        """Whether it imports opt-outs, so that a rejected row may be a person who stays reachable by
        mistake."""
        return bool(self.spec.stop or self.report.only_stops or self.report.stop_column)

    @property
    def ended(self) -> bool:
        """Whether it has ended: nothing more happens to it without a new request."""
        return self.state in ENDED


class _StoredImport(_ImportColumns[str, str], frozen=True):
    pass


_COLUMNS = ", ".join(field.name for field in msgspec.structs.fields(_StoredImport))


def create(tx: Transaction, account_id: int, *, spec: ImportSpec, source: str, size_bytes: int) -> Import:
    """Create an import. No worker starts on it before its file is in the spool; see `begin`.

    Args:
        source: the name of the file, as people see it.
        size_bytes: the size of the file; 0 while it is not known.

    Raises:
        Invalid: the spec is not valid.
        NotFound: the spec names a list by an id that the account does not have.
    """
    checked(spec)
    row = tx.one(
        _StoredImport,
        f"""
        INSERT INTO import_job (
            account_id, id, source, spec, state, cancel_wanted, list_id, size_bytes, bytes_done, rows_read,
            rows_staged, reached, report, error, created_at, phase_started_at, finished_at, folder, spool
        ) VALUES (
            :account_id, :id, :source, :spec, 'waiting', FALSE, :list_id, :size_bytes, 0, 0, 0, 0, :report,
            NULL, :now, :now, NULL, :folder, NULL
        ) RETURNING {_COLUMNS}
        """,
        account_id=account_id,
        id=tx.new_ids("import_job", 1)[0],
        source=source.replace("\0", "")[-SOURCE_LENGTH_MAX:],
        spec=_json(spec),
        list_id=_list_of(tx, account_id, spec),
        size_bytes=size_bytes,
        report=_json(Report()),
        folder=new_folder(),
        now=tx.now,
    )
    assert row is not None
    return _import(row)


def begin(
    tx: Transaction,
    account_id: int,
    *,
    spec: ImportSpec,
    source: str,
    size_bytes: int,
    put: Callable[[str], str],
) -> Import:
    """Create an import and put its file into the spool: both, or neither.

    Args:
        put: puts the file into the folder of that name, and returns the id of the spool. It may be called
            again with another name.

    Raises: see `create`.
    """
    import_ = create(tx, account_id, spec=spec, source=source, size_bytes=size_bytes)
    return change(tx, import_, spool=put(import_.folder))


def _list_of(tx: Transaction, account_id: int, spec: ImportSpec) -> int | None:
    """The id of the list of a spec; `None` when it does not exist yet."""
    if spec.list is None:
        return None
    if isinstance(spec.list, int):
        found: int = lists.get(tx, account_id, spec.list).id
        return found
    return tx.one(
        int,
        "SELECT id FROM contact_list WHERE account_id = :account_id AND name = :name",
        account_id=account_id,
        name=lists.clean_name(spec.list),
    )


def with_list(tx: Transaction, import_: Import) -> tuple[int | None, bool]:
    """The list of an import whose file was accepted. A list that does not exist is created, except in a dry
    run.

    Returns:
        Its id, and whether it was created.
    """
    found = import_.list_id if import_.list_id is not None else _list_of(tx, import_.account_id, import_.spec)
    if found is not None or import_.spec.list is None:
        return found, False
    if import_.spec.dry_run:
        return None, True
    return lists.create(tx, import_.account_id, NewList(str(import_.spec.list))).id, True


def with_fields(tx: Transaction, import_: Import, names: list[str]) -> Report:
    """The report of an import with the ids of the named fields, in their order. Fields that do not exist are
    created, except in a dry run."""
    by_name = {field.name: field for field in fields.all(tx, import_.account_id)}
    report = msgspec.structs.replace(import_.report, field_ids=[], fields_created=[])
    for name in names:
        field = by_name.get(name)
        if field is None:
            report.fields_created.append(name)
            if not import_.spec.dry_run:
                field = fields.create(tx, import_.account_id, NewField(name, "text"))
        report.field_ids.append(field.id if field is not None else 0)
    return report


def get(tx: Transaction, account_id: int, import_id: int) -> Import:
    """One import.

    Raises:
        NotFound: the account has no import with that id.
    """
    row = tx.one(
        _StoredImport,
        f"SELECT {_COLUMNS} FROM import_job WHERE account_id = :account_id AND id = :id",
        account_id=account_id,
        id=import_id,
    )
    if row is None:
        raise NotFound("import", import_id)
    return _import(row)


def recent(tx: Transaction, account_id: int, *, before: int | None = None, limit: int = 50) -> list[Import]:
    """Imports, newest first.

    Args:
        before: only those with a smaller id.
        limit: `SHOWN_MAX` at most.
    """
    behind = "AND id < :before" if before is not None else ""
    place = {"before": before} if before is not None else {}
    rows = tx.all(
        _StoredImport,
        f"""
        SELECT {_COLUMNS} FROM import_job WHERE account_id = :account_id {behind}
        ORDER BY id DESC LIMIT :limit
        """,
        account_id=account_id,
        limit=min(limit, SHOWN_MAX),
        **place,
    )
    return [_import(row) for row in rows]


class Named(msgspec.Struct, frozen=True):
    """The identity of an import of any account."""

    account_id: int
    id: int
    folder: str


def name_of(import_: Import) -> Named:
    """The identity of an import."""
    return Named(import_.account_id, import_.id, import_.folder)


def unfinished(tx: Transaction, account_id: int | None = None) -> list[Named]:
    """Imports of an account, or of all accounts, that wait for a worker: the oldest of each account first,
    then the next of each, and so on."""
    mine, named = ("account_id = :account_id AND", {"account_id": account_id}) if account_id else ("", {})
    states = ", ".join(f"'{state}'" for state in UNDERWAY)
    return tx.all(
        Named,
        f"""
        SELECT account_id, id, folder FROM (
            SELECT account_id, id, folder, ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY id) AS place
            FROM import_job WHERE {mine} state IN ({states}) AND finished_at IS NULL
        ) AS waiting WHERE place <= 50 ORDER BY place, id LIMIT 1000
        """,
        **named,
    )


def of_folder(tx: Transaction, folder: str) -> Import | None:
    """The import of any account whose files are in that folder of a spool."""
    row = tx.one(_StoredImport, f"SELECT {_COLUMNS} FROM import_job WHERE folder = :folder", folder=folder)
    return _import(row) if row is not None else None


def forget_chunks(tx: Transaction, account_id: int, import_id: int) -> None:
    """Delete the journal of an import. It cannot be undone afterwards."""
    tx.run(
        "DELETE FROM import_chunk WHERE account_id = :account_id AND import_id = :import_id",
        account_id=account_id,
        import_id=import_id,
    )


def ended_before(tx: Transaction, moment: datetime) -> list[Named]:
    """Imports of all accounts that ended before `moment` and can still be undone."""
    return tx.all(
        Named,
        """
        SELECT DISTINCT import_job.account_id, import_job.id, import_job.folder FROM import_job
        WHERE finished_at < :moment AND EXISTS (
            SELECT 1 FROM import_chunk WHERE import_chunk.account_id = import_job.account_id
            AND import_chunk.import_id = import_job.id
        ) LIMIT 100
        """,
        moment=moment,
    )


def cancel(tx: Transaction, account_id: int, import_id: int) -> Import:
    """Ask a worker to end an import. What is in the book by then stays; see `request_undo`.

    Raises:
        NotFound: the account has no import with that id.
        NotNow: it has ended.
    """
    accounts.lock(tx, account_id)
    import_ = get(tx, account_id, import_id)
    if import_.ended or import_.state == "undoing":
        raise NotNow(f"Import {import_id} cannot be cancelled: {import_.standing}.")
    if import_.state in ("waiting", "confirm"):
        return change(tx, import_, state="cancelled", cancel_wanted=True)
    return change(tx, import_, cancel_wanted=True)


def confirm(tx: Transaction, account_id: int, import_id: int) -> Import:
    """Let an import continue that waits for a confirmation because it would take more than half of the
    members out of its list.

    Raises:
        NotFound: the account has no import with that id.
        NotNow: it does not wait for a confirmation.
        LimitExceeded: it needs more fields than an account may have.
    """
    accounts.lock(tx, account_id)
    import_ = get(tx, account_id, import_id)
    if import_.state != "confirm":
        raise NotNow(f"Import {import_id} does not wait for a confirmation: {import_.standing}.")
    report = with_fields(tx, import_, import_.report.fields_wanted)
    report.fields_wanted = []
    return change(tx, import_, state="merging", reached=0, report=report)


def waiting_for_confirmation(tx: Transaction, before: datetime) -> list[Named]:
    """Imports of all accounts that have waited for a confirmation since before that moment."""
    return tx.all(
        Named,
        """
        SELECT account_id, id, folder FROM import_job
        WHERE state = 'confirm' AND finished_at IS NULL AND phase_started_at < :before ORDER BY id LIMIT 100
        """,
        before=before,
    )


def request_undo(tx: Transaction, account_id: int, import_id: int) -> Import:
    """Ask a worker to undo an import.

    Raises:
        NotFound: the account has no import with that id.
        NotNow: it is still under way, was undone, was a dry run, or is too old.
    """
    accounts.lock(tx, account_id)
    import_ = get(tx, account_id, import_id)
    if import_.state == "undoing":
        return import_
    if not import_.ended or import_.state == "undone" or import_.spec.dry_run:
        what = "it was a dry run" if import_.ended and import_.spec.dry_run else import_.standing
        raise NotNow(f"Import {import_id} cannot be undone: {what}.")
    chunks = tx.one(
        int,
        "SELECT count(*) FROM import_chunk WHERE account_id = :account_id AND import_id = :id",
        account_id=account_id,
        id=import_id,
    )
    if not chunks:
        if import_.report.created or import_.report.joined or import_.report.removed:
            raise NotNow(f"Import {import_id} cannot be undone any more: what it did is not kept so long.")
        if not import_.report.list_created:
            return change(tx, import_, state="undone")
    return change(tx, import_, state="undoing", reached=0)


def change(tx: Transaction, import_: Import, **values: Any) -> Import:
    """Change an import, unless its progress was changed by another process since `import_` was read. Where
    this changes anything that is counted, the caller holds the lock of the account.

    Raises:
        NotNow: another process worked on it.
    """
    if "state" in values and values["state"] != import_.state:
        values.setdefault("phase_started_at", tx.now)
        if values["state"] in ENDED:
            values.setdefault("finished_at", tx.now)
        elif import_.ended:
            values["finished_at"] = None
    if "report" in values:
        values["report"] = _json(values["report"])
    row = tx.one(
        _StoredImport,
        f"""
        UPDATE import_job SET {", ".join(f"{name} = :{name}" for name in values)}
        WHERE account_id = :account_id AND id = :id AND state = :state_before AND reached = :reached_before
        RETURNING {_COLUMNS}
        """,
        account_id=import_.account_id,
        id=import_.id,
        state_before=import_.state,
        reached_before=import_.reached,
        **values,
    )
    if row is None:
        raise NotNow(f"Somebody else works on import {import_.id}.")
    return _import(row)


def added(report: Report, counted: Report) -> Report:
    """A report with the numbers of another one added, which covers part of the rows."""
    values = {}
    for name in _NUMBERS:
        values[name] = getattr(report, name) + getattr(counted, name)
    for name in ("rejected", "stopped_on", "undone"):
        sums = dict(getattr(report, name))
        for what, number in getattr(counted, name).items():
            sums[what] = sums.get(what, 0) + number
        values[name] = sums
    return msgspec.structs.replace(report, **values)


_NUMBERS = [
    field.name for field in msgspec.structs.fields(Report) if field.type is int and field.name != "duplicates"
]


def _import(row: _StoredImport) -> Import:
    values = msgspec.structs.asdict(row)
    values["spec"] = msgspec.json.decode(row.spec, type=ImportSpec)
    values["report"] = msgspec.json.decode(row.report, type=Report)
    return Import(**values)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
