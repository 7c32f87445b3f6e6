"""What happens to an import whose worker died, or whose files are gone."""

from __future__ import annotations

from rollbook import accounts
from rollbook.db import Transaction
from rollbook.imports import UNDERWAY, Import, change, get

LOST = (
    "The files of this import are not in the spool any more, as after a restore. What is in the book of it "
    "stays; import the file again."
)

DEATHS_MAX = 3
"""How many workers may die at work on one import without progress between them."""


def died(tx: Transaction, account_id: int, import_id: int, why: str, *, at_once: bool = False) -> Import:
    """Record that a worker died at work on an import. The import is tried again, but not for ever: after
    `DEATHS_MAX` deaths without progress it fails.

    Args:
        why: why the worker died, for people.
        at_once: whether the import fails now, because another worker would die as well.

    Raises:
        NotFound: the account has no import with that id.
    """
    accounts.lock(tx, account_id)
    import_ = get(tx, account_id, import_id)
    if import_.state not in UNDERWAY:
        return import_
    if import_.cancel_wanted and import_.state != "undoing":
        return change(tx, import_, state="cancelled")
    where = f"{'reading' if import_.state == 'waiting' else import_.state} {import_.reached}"
    deaths = import_.deaths + 1 if import_.died_where == where else 1
    if deaths < DEATHS_MAX and not at_once:
        return change(tx, import_, deaths=deaths, died_where=where)
    times = f"died {deaths} times at the same place, the last time because " if deaths > 1 else "was ended: "
    said = f"The process that worked on the import {times}{why}."
    if import_.state == "undoing":
        return change(tx, import_, state="done", deaths=deaths, error=f"It cannot be undone. {said}")
    return change(tx, import_, state="failed", deaths=deaths, error=said)


def lost(tx: Transaction, account_id: int, import_id: int) -> Import:
    """Let an import fail because its files are gone.

    Raises:
        NotFound: the account has no import with that id.
    """
    accounts.lock(tx, account_id)
    import_ = get(tx, account_id, import_id)
    if import_.state not in UNDERWAY:
        return import_
    if import_.state == "undoing":
        return change(tx, import_, state="done", error=f"It cannot be undone. {LOST}")
    return change(tx, import_, state="failed", error=LOST)
