"""The loop behind imports: it works on them, and deletes what is too old."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from rollbook import imports
from rollbook.db import Database
from rollbook.errors import DatabaseDamaged, NotNow, RollbookError, Unavailable
from rollbook.imports.minder import IDLE_SECONDS, Minder
from rollbook.imports.spool import Spool

LOOK_SECONDS = 0.5
"""How often it looks for imports, and at its workers."""

CLEAN_SECONDS = 3600.0
"""How often it deletes what is too old."""

INCOMING_SECONDS_MAX = 86_400.0
"""How long a file may take to arrive."""

ORPHAN_SECONDS = 86_400.0
"""How long files without an import are kept, as those of an import that a restored database does not have."""

_log = logging.getLogger("rollbook")


def run(
    database: Database,
    spool: Spool,
    minder: Minder,
    stopping: threading.Event,
    *,
    keep_days: float,
    until_idle: bool = False,
) -> None:
    """Work on imports until asked to stop.

    Args:
        stopping: set when it must end; current imports can be continued later.
        keep_days: how long ended imports can be undone.
        until_idle: end as well when there is nothing to do.
    """
    idle_since = time.monotonic()
    clean_at = 0.0
    try:
        while not stopping.is_set():
            try:
                if minder.look():
                    idle_since = time.monotonic()
                if time.monotonic() >= clean_at:
                    clean_at = time.monotonic() + CLEAN_SECONDS
                    forget_old(database, spool, keep_days=keep_days)
            except DatabaseDamaged:
                raise
            except Unavailable:
                idle_since = time.monotonic()  # whether there is anything to do is unknown
            except RollbookError as error:
                _log.warning("%s", error)
            except Exception:
                _log.exception("looking after imports failed")
            if until_idle and time.monotonic() - idle_since > IDLE_SECONDS:
                return
            minder.pause(LOOK_SECONDS, stopping)
    finally:
        minder.close()


def forget_old(database: Database, spool: Spool, *, keep_days: float) -> None:
    """Delete what ended imports kept for an undo, once it is older than `keep_days`, and files without an
    import. Imports that have waited for a confirmation as long are cancelled."""
    before = datetime.now(UTC) - timedelta(days=keep_days)
    for found in database.read(imports.ended_before, before):
        database.write(imports.forget_chunks, found.account_id, found.id)
    for found in database.read(imports.waiting_for_confirmation, before):
        with contextlib.suppress(NotNow):  # somebody confirmed it just now
            database.write(imports.cancel, found.account_id, found.id)
    old, orphans = spool.old(before.timestamp()), spool.old(time.time() - ORPHAN_SECONDS)
    for folder in {*old, *orphans}:
        import_ = database.read(imports.of_folder, folder)
        if import_ is None:
            is_over = folder in orphans
        else:
            is_over = import_.finished_at is not None and import_.finished_at < before
        if is_over:
            spool.discard(folder)
    spool.forget_incoming(time.time() - INCOMING_SECONDS_MAX)
