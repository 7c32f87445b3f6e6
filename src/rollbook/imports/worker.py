"""Works on an import, step by step; after a crash, the next worker continues where the last one stopped.

The files of an import are in a folder of the spool. The process that works on it holds a lock on that folder,
which the system releases when the process ends, in whatever way. Each step is recorded in the same
transaction that does it.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rollbook import accounts, fields, imports, members
from rollbook.db import Database, Transaction
from rollbook.errors import BadFile, NotNow, RollbookError, Unavailable
from rollbook.files import open_table
from rollbook.files import options as file_options
from rollbook.imports import (
    Import,
    Report,
    columns,
    journal,
    losses,
    merge,
    prune,
    reading,
    rejects,
    stage,
    undo,
)
from rollbook.imports.order import ImportLimits
from rollbook.imports.reading import Cancelled
from rollbook.imports.spool import Spool
from rollbook.imports.stage import Filled, Stage

CHUNK_ROWS_FIRST = 5_000
CHUNK_ROWS_MAX = 50_000
CHUNK_ROWS_MIN = 500
CHUNK_SECONDS = 0.1
"""About how long a chunk may hold the lock of the account: a call of the API waits little longer."""

PAUSE_SECONDS = 0.003
"""The pause between chunks, for other writers: they look every millisecond whether the lock is free."""

PROGRESS_SECONDS = 0.5
"""How often the progress of the reading of a file is stored in the database."""

AWAY_SECONDS = 1.0
"""How long to wait before the next attempt while the database is unreachable."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The error codes of the system when a file cannot grow. Arrow reports them as text."""

_log = logging.getLogger("rollbook")

Watch = Callable[[Import], None]


class Stopped(Exception):
    """The work was asked to stop; it can be continued later."""


class Worker:
    """Works on imports.

    Args:
        spool: where their files are.
        stopping: set when the work must stop soon; it can be continued later.
        watch: called with the import after each step.
        alive: called now and then while the work continues.
        limits: the limits on what it accepts.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        stopping: threading.Event | None = None,
        watch: Watch = lambda _: None,
        alive: Callable[[], None] = lambda: None,
        limits: ImportLimits | None = None,
    ) -> None:
        self._database = database
        self._spool = spool
        self._stopping = stopping or threading.Event()
        self._watch = watch
        self._alive = alive
        self._limits = limits or ImportLimits()
        self._chunk_rows = CHUNK_ROWS_FIRST

    def take(self, found: imports.Named) -> None:
        """Work on an import to its end, unless another process does so or there is nothing to do.

        Raises:
            Stopped: it was asked to stop before the end.
        """
        with self._spool.held(found.folder) as held:
            if held and self._under_way(found):
                self._finish(found.account_id, found.id)

    def _under_way(self, found: imports.Named) -> bool:
        return self._database.read(imports.get, found.account_id, found.id).state in imports.UNDERWAY

    def run(self, account_id: int, import_id: int) -> Import:
        """Work on an import until it ends or waits for a confirmation. Where another process has it, watch
        that.

        Raises:
            Stopped: it was asked to stop before the end.
            NotFound: there is no such import.
        """
        folder = self._database.read(imports.get, account_id, import_id).folder
        while True:
            with self._spool.held(folder) as held:
                if held:
                    return self._finish(account_id, import_id)
            import_ = self._database.read(imports.get, account_id, import_id)
            self._watch(import_)
            if import_.ended or import_.state == "confirm":
                return import_
            if self._stopping.wait(PROGRESS_SECONDS):
                raise Stopped

    def _finish(self, account_id: int, import_id: int) -> Import:
        logged = ""
        while True:
            try:
                import_ = self._database.read(imports.get, account_id, import_id)
                while not import_.ended and import_.state != "confirm":
                    self._watch(import_)
                    import_ = self._step(import_)
                self._watch(import_)
                if import_.state == "confirm":
                    return import_
                self._spool.forget_upload(import_.folder)
                if import_.spec.dry_run or import_.state == "undone":  # there is nothing to undo
                    stage.clear(self._spool.folder(import_.folder))
                return import_
            except (Unavailable, NotNow) as error:
                self._alive()
                if str(error) != logged:  # a person may be waiting who can fix it
                    logged = str(error)
                    _log.warning("import %d waits and tries again: %s", import_id, logged)
                if self._stopping.wait(AWAY_SECONDS):
                    raise Stopped from error

    def _step(self, import_: Import) -> Import:
        """Do one phase of the work, and return the import after it."""
        if self._stopping.is_set():
            raise Stopped
        step = {
            "waiting": self._read,
            "reading": self._read,
            "merging": self._merge,
            "pruning": self._prune,
            "undoing": self._undo,
        }[import_.state]
        try:
            if import_.cancel_wanted and import_.state != "undoing":
                raise Cancelled
            return step(import_)
        except Cancelled:
            if import_.state in ("waiting", "reading"):
                stage.clear(self._spool.folder(import_.folder))
            return self._change(import_, state="cancelled")
        except (Unavailable, NotNow, Stopped):
            raise
        except FileNotFoundError:
            return self._fail(import_, losses.LOST)
        except OSError as error:
            if error.errno in _FULL or any(os.strerror(number) in str(error) for number in _FULL):
                return self._fail(import_, f"The disk of the spool is full ({self._spool.path}).")
            return self._fail(import_, f"A file of the import cannot be used: {error}.")
        except RollbookError as error:
            return self._fail(import_, str(error))
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "start new thread" not in str(error):
                return self._fail_unexpectedly(import_)
            _log.exception("import %d took too much memory", import_.id)
            return self._fail(
                import_,
                "The import takes more memory than a worker may have (--import-memory-bytes-max). Split the "
                "file, or save it as CSV.",
            )
        except Exception:
            return self._fail_unexpectedly(import_)

    def _fail_unexpectedly(self, import_: Import) -> Import:
        _log.exception("import %d failed", import_.id)
        return self._fail(import_, "The import failed unexpectedly; the log has the details.")

    def _fail(self, import_: Import, why: str) -> Import:
        if import_.state in ("waiting", "reading"):
            stage.clear(self._spool.folder(import_.folder))
        kept = why.encode(errors="backslashreplace").decode().replace("\0", "\\0")  # storable everywhere
        return self._change(import_, state="failed", error=kept)

    def _change(self, import_: Import, **values: Any) -> Import:
        def change(tx: Transaction, account_id: int) -> Import:
            accounts.lock(tx, account_id)
            return imports.change(tx, imports.get(tx, account_id, import_.id), **values)

        return self._database.write(change, import_.account_id)

    # Reading

    def _read(self, import_: Import) -> Import:
        folder = self._spool.folder(import_.folder)
        spec = import_.spec
        started = time.perf_counter()
        import_ = self._change(import_, state="reading", bytes_done=0, rows_read=0, rows_staged=0)
        options = msgspec.structs.replace(file_options.reading(spec), alive=self._goes_on)
        with open_table(self._spool.source(import_.folder), options) as table:
            existing = self._database.read(fields.all, import_.account_id)
            chosen = columns.choose(
                table.columns,
                table.sample,
                existing,
                spec.columns,
                reads=lambda texts: stage.valid(texts, spec.region),
                create_fields=spec.create_fields,
                every_phone=spec.every_phone,
            )
            own = chosen.own_export
            only_stops = own is not None and own.only_stops and spec.list is None
            filled = [Filled(name, field.name, field.type) for name, field in chosen.fields.items()]
            filled += [Filled(name, field, "text") for name, field in chosen.new.items()]
            if not spec.into_book or only_stops:
                filled = []
            import_ = self._change(import_, size_bytes=table.size_bytes)
            totals = stage.build(
                table,
                reading.phone_reading(
                    chosen,
                    spec,
                    lambda phones: self._database.read(reading.in_book, import_.account_id, phones),
                ),
                filled,
                folder,
                progress=self._reading_progress(import_),
                limits=self._limits,
            )
            about, header, has_columns = reading.about(table), reading.header(table), bool(table.columns)
            hidden_rows, left_out = table.hidden_rows, dict(table.left_out)
        reading.check_totals(import_, totals, has_columns=has_columns, only_stops=only_stops)
        report = msgspec.structs.replace(
            import_.report,
            rejected=dict(totals.rejected),
            duplicates=totals.duplicates,
            further_phones=totals.further,
            stop_column=own.stops if own is not None else "",
            only_stops=only_stops,
            blank=totals.blank,
            hidden_rows=hidden_rows,
            left_out=left_out,
            columns=chosen.described(),
            other_phone_columns=list(chosen.others),
            warnings=chosen.warnings(all_stop=bool(spec.stop)),
            file=about,
            header=header,
            seconds={"reading": round(time.perf_counter() - started, 3)},
        )
        if totals.values_left_out:
            report.warnings.append(
                f"Values that no field can have were left out, {totals.values_left_out} in all, of rows "
                "that stop their phone: an opt-out counts whatever else stands beside it."
            )
        asked = prune.leaving(self._database, import_, Stage(folder).phones) if totals.staged else None
        if asked is not None:
            report.leaving, report.members = asked
        return self._database.write(
            reading.staged, import_.account_id, import_.id, [one.field for one in filled], report, totals
        )

    def _goes_on(self) -> None:
        """Report that the work continues; raise `Stopped` if it has to stop."""
        self._alive()
        if self._stopping.is_set():
            raise Stopped

    def _must_have_room(self) -> None:
        free, least = self._spool.free_bytes(), self._limits.free_bytes_min
        if free < least:
            raise BadFile(
                f"The disk of the spool ({self._spool.path}) has only {free:,} bytes left, and {least:,} "
                "must stay free (--spool-free-bytes-min). Nothing was imported; make room, and try again."
            )

    def _reading_progress(self, import_: Import) -> Callable[[int, int], None]:
        stored_at = time.monotonic()

        def progress(bytes_done: int, rows: int) -> None:
            nonlocal stored_at
            self._goes_on()
            self._must_have_room()
            if time.monotonic() - stored_at >= PROGRESS_SECONDS:
                stored_at = time.monotonic()
                changed = self._change(import_, bytes_done=bytes_done, rows_read=rows)
                if changed.cancel_wanted:
                    raise Cancelled
                self._watch(changed)

        return progress

    # Merging

    def _more_leave(self, import_: Import, staged: Stage) -> Import | None:
        """The import in its waiting state, if the list has grown and more members would leave than were
        confirmed."""
        asked = prune.leaving(self._database, import_, staged.phones)
        if asked is None or asked[0] <= import_.report.leaving:
            return None
        report = msgspec.structs.replace(import_.report, leaving=asked[0], members=asked[1])
        return self._change(import_, state="confirm", report=report)

    def _merge(self, import_: Import) -> Import:
        staged = Stage(self._spool.folder(import_.folder))
        if import_.report.leaving and not import_.reached and (again := self._more_leave(import_, staged)):
            return again
        goal = self._database.read(merge.goal_of, import_.account_id, import_)
        started = time.perf_counter()
        stored_at = time.monotonic()
        while import_.reached < len(staged):
            if import_.cancel_wanted:
                raise Cancelled
            self._goes_on()
            rows = min(self._chunk_rows, len(staged) - import_.reached)
            piece = merge.Staged(
                import_.reached,
                np.array(staged.phones[import_.reached : import_.reached + rows]),
                staged.values(import_.reached, rows),
                staged.masks(import_.reached, rows),
            )
            took = _Took()
            if import_.spec.dry_run:
                counted = self._database.read(
                    took.measured(merge.plan), import_.account_id, goal, piece
                ).counted
                report = imports.added(import_.report, counted)
                import_ = msgspec.structs.replace(import_, reached=import_.reached + rows, report=report)
                if time.monotonic() - stored_at > PROGRESS_SECONDS or import_.reached == len(staged):
                    stored_at = time.monotonic()
                    import_ = self._change(import_, reached=import_.reached, report=import_.report)
            else:
                import_ = self._database.write(
                    took.measured(merge.step), import_.account_id, import_, goal, piece
                )
                time.sleep(PAUSE_SECONDS)
            self._resize(took.seconds)
            self._watch(import_)
        rejects_folder = self._spool.folder(import_.folder)
        self._write_refused(import_, staged, rejects_folder)
        report = _timed(import_.report, "merging", started)
        if import_.spec.mode == "replace":
            return self._change(import_, state="pruning", reached=0, report=report)
        return self._change(import_, state="done", report=report)

    def _write_refused(self, import_: Import, staged: Stage, folder: Path) -> None:
        places = self._database.read(journal.refused, import_.account_id, import_.id)
        why = str(members.too_many_lists())
        if places:
            lines = staged.lines
            rejects.append(
                folder,
                [(int(lines[place]), int(staged.phones[place]), "too_many_lists", why) for place in places],
                next(
                    (column for column, what in import_.report.columns.items() if what == columns.PHONE), ""
                ),
            )

    def _resize(self, seconds: float) -> None:
        """Adapt the number of rows of a chunk so that each takes about `CHUNK_SECONDS`."""
        factor = min(1.5, max(0.3, CHUNK_SECONDS / max(seconds, 0.001)))
        self._chunk_rows = min(CHUNK_ROWS_MAX, max(CHUNK_ROWS_MIN, int(self._chunk_rows * factor)))

    # Pruning

    def _prune(self, import_: Import) -> Import:
        staged = Stage(self._spool.folder(import_.folder))
        started = time.perf_counter()
        while import_.list_id is not None:
            if import_.cancel_wanted:
                raise Cancelled
            self._goes_on()
            run = self._database.read if import_.spec.dry_run else self._database.write
            reached = run(prune.step, import_.account_id, import_, staged.phones)
            if reached is None:
                break
            import_ = reached
            if import_.spec.dry_run:
                import_ = self._change(import_, reached=import_.reached, report=import_.report)
            else:
                time.sleep(PAUSE_SECONDS)
            self._watch(import_)
        return self._change(import_, state="done", report=_timed(import_.report, "pruning", started))

    # Undoing

    def _undo(self, import_: Import) -> Import:
        folder = self._spool.folder(import_.folder)
        try:
            staged = Stage(folder)
        except OSError:
            return self._change(
                import_,
                state="done",
                error="It cannot be undone: what it staged is not in the spool any more.",
            )
        started = time.perf_counter()
        while (further := self._database.write(undo.step, import_.account_id, import_, staged)) is not None:
            self._goes_on()
            import_ = further
            time.sleep(PAUSE_SECONDS)
            self._watch(import_)
        return self._database.write(
            undo.finish, import_.account_id, import_, _timed(import_.report, "undoing", started)
        )


class _Took:
    """Measures how long the work of a transaction takes, without the wait before it."""

    seconds = 0.0

    def measured(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return fn(*args)
            finally:
                self.seconds = time.perf_counter() - started

        return timed


def _timed(report: Report, phase: str, started: float) -> Report:
    before = report.seconds.get(phase, 0)
    return msgspec.structs.replace(
        report, seconds={**report.seconds, phase: round(before + time.perf_counter() - started, 3)}
    )
