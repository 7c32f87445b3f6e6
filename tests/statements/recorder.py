"""Records every statement that the tests run on PostgreSQL, and checks at the end that each stays with one account.

A statement is known by its text and by its site: the innermost function of rollbook outside of db/ that ran it. What
tests ask for themselves has none, and is not looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from types import CodeType, FrameType
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.docs.generate import SOURCE
from tests.statements import check

ACROSS_ACCOUNTS: Mapping[str, str] = {
    "accounts.all": "lists all accounts, for the operator",
    "accounts.create": "a name is unique among all accounts",
    "accounts.create_first": "asks whether there is any account at all",
    "accounts.grant_of_key": "a key says which account it is for; api_key is on every machine",
    "accounts.keys": "lists keys of all accounts, for the operator",
    "accounts.named": "finds an account by its name",
    "accounts.with_keys": "the accounts that are asked in turns while a machine is away; api_key is on every machine",
    "api.operations._ping": "asks whether the database answers at all; api_key is on every machine",
    "imports.__init__.ended_before": "housekeeping: imports of any account whose undo has run out",
    "imports.__init__.of_folder": "housekeeping: the import that a folder of the spool belongs to",
    "imports.__init__.unfinished": "the minder looks for imports of any account",
    "imports.__init__.waiting_for_confirmation": "housekeeping: imports that nobody confirmed",
    "leftovers.some": "housekeeping: what deleted lists and fields of any account left",
    "renumbering._behind": "asks once, at a start, which accounts have numbers in an old form",
    "verify.last": "a metric about all accounts",
}
"""Sites that may look across accounts, and why."""

_NUMBER = re.compile(r"_\d+\b")
_DB = str(SOURCE / "db") + "/"
_ROLLBOOK = str(SOURCE) + "/"


class Found(NamedTuple):
    """A statement that leaves its account.

    Args:
        site: `module.function`.
        fault: what is wrong.
        sql: the statement, in one line.
    """

    site: str
    fault: str
    sql: str


class Recorder:
    """Remembers the statements of a process, each text of a site once."""

    def __init__(self) -> None:
        self.statements: dict[tuple[str, str], str] = {}
        self._seen: set[tuple[CodeType, str | bytes]] = set()

    def begin(self, patch: pytest.MonkeyPatch) -> None:
        """Record from now on, until the patch is undone."""
        execute, copy = psycopg.Connection.execute, psycopg.Cursor.copy

        def recorded_execute(connection: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            self.note(query, sys._getframe(1))
            return execute(connection, query, *args, **kwargs)

        def recorded_copy(cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            self.note(statement, sys._getframe(1))
            return copy(cursor, statement, *args, **kwargs)

        patch.setattr(psycopg.Connection, "execute", recorded_execute)
        patch.setattr(psycopg.Cursor, "copy", recorded_copy)

    def note(self, query: str | bytes, frame: FrameType | None) -> None:
        """Remember a statement that runs in a frame; not, where the tests themselves ask."""
        while frame is not None and (path := frame.f_code.co_filename).startswith(_DB):
            frame = frame.f_back
        if frame is None or not path.startswith(_ROLLBOOK):
            return
        if (frame.f_code, query) in self._seen:
            return
        self._seen.add((frame.f_code, query))
        sql = " ".join((query.decode() if isinstance(query, bytes) else query).split())
        site = (
            f"{path.removeprefix(_ROLLBOOK).removesuffix('.py').replace('/', '.')}.{frame.f_code.co_qualname}"
        )
        self.statements.setdefault((site, _NUMBER.sub("_0", sql)), sql)

    def found(self) -> list[Found]:
        """What is wrong with what was recorded."""
        tables = check.tables_of_accounts()
        by_text: dict[str, list[str]] = {}
        found = []
        for (site, text), sql in self.statements.items():
            if text not in by_text:
                by_text[text] = check.faults(sql, tables)
            found += [Found(site, fault, sql) for fault in by_text[text]]
        return found


def refused(found: Iterable[Found]) -> list[str]:
    """One line for each statement that leaves its account at a site that may not."""
    return sorted(
        {f"{each.site}: {each.fault}: {each.sql[:200]}" for each in found if each.site not in ACROSS_ACCOUNTS}
    )


def needless(found: Iterable[Found], sites: Iterable[str]) -> list[str]:
    """Sites that may look across accounts, ran, and do not."""
    across = {each.site for each in found}
    return sorted(site for site in ACROSS_ACCOUNTS if site in set(sites) and site not in across)
