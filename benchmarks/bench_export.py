"""Exporting a big address book as CSV, beside the database's own shell, and counting audiences in it.

One book of `Plan.members` contacts for each engine (see `book`). `rollbook export` and the yardstick write
the same columns of the same rows to a file, each in a process of its own, in turns. The yardstick is
`sqlite3` with `.mode csv`, where it is installed, and `psql` with COPY TO STDOUT.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import book
from benchmarks.book import Book
from benchmarks.engines import ACCOUNT, Engine, Postgresql
from benchmarks.measure import Comparison, Figure, Plan, in_rounds, peak_megabytes
from rollbook import audience
from rollbook.audience import Audience
from rollbook.db import Database, EngineLimits, open_database

BOOK = "export the book as CSV"
LIST = "export a list of all contacts as CSV"
MEMORY = "export a list of all contacts as CSV, memory"
COUNT = "count an audience: {}"

GOALS = {"sqlite": 1.8, "postgresql": None}
GOAL_MEGABYTES = 300
COUNT_SECONDS_MAX = 600.0
LOOK_SECONDS = 0.02
"""How often to look whether it is done, and what it takes."""

_ISO = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%SZ', contact.created_at, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(contact.created_at) AT TIME ZONE 'UTC', "
    """'YYYY-MM-DD"T"HH24:MI:SS"Z"')""",
}
_SELECT = """
    SELECT contact.phone, contact.id, {iso} AS created_at,
           CASE contact.stop_mask WHEN 0 THEN NULL WHEN 1 THEN 'sms' END AS stopped
    FROM {rows} ORDER BY contact.id
"""
_OF_BOOK = "contact WHERE contact.account_id = {account_id}"
_OF_LIST = """
    membership CROSS JOIN contact
    WHERE membership.account_id = {account_id} AND membership.list_id = {list_id}
      AND contact.account_id = {account_id} AND contact.id = membership.contact_id
"""


def run(plan: Plan, engine: Engine) -> list[Comparison | Figure]:
    """Measure as planned."""
    found: list[Comparison | Figure] = []
    with (
        book.loaded(engine, plan.members) as big,
        tempfile.TemporaryDirectory(prefix="rollbook-bench-") as folder,
    ):
        book.settle(big)
        out = Path(folder) / "out.csv"
        ids = {"account_id": big.prepared.account_id, "list_id": big.everyone}
        for what, wanted, rows in (
            (BOOK, ["--all"], _OF_BOOK),
            (LIST, ["--list", f"#{big.everyone}"], _OF_LIST),
        ):
            select = _SELECT.format(iso=_ISO[engine.name], rows=rows.format(**ids))
            found += _compared(plan, engine, big, what, wanted, select, out)
        found += _counted(engine, big)
    return found


def _compared(
    plan: Plan, engine: Engine, big: Book, what: str, wanted: Sequence[str], select: str, out: Path
) -> list[Comparison | Figure]:
    megabytes: list[float] = []

    def ours() -> float:
        command = [sys.executable, "-m", "rollbook", "export", *wanted, "--account", ACCOUNT]
        taken, memory = _written([*command, "--database-url", big.prepared.url], out)
        megabytes.append(memory)
        assert _rows(out) == big.members + 1
        return taken

    measured: dict[str, Callable[[], float]] = {"ours": ours}
    yardstick, command = _shell(engine, big, select)
    if command:
        measured["yardstick"] = lambda: _written(command, out)[0]
    times = in_rounds(f"{what}, {engine.name}", plan, measured, " ms")
    memory = [Figure(MEMORY, engine.name, max(megabytes), "MB", GOAL_MEGABYTES)] if what == LIST else []
    if not command:
        print(f"{what}: there is no {yardstick} to compare with.")
        return [Figure(what, engine.name, min(times["ours"]), "ms"), *memory]
    compared = Comparison(
        what, yardstick, engine.name, 0, times["ours"], times["yardstick"], GOALS[engine.name], " ms"
    )
    return [compared, *memory]


def _shell(engine: Engine, big: Book, select: str) -> tuple[str, list[str]]:
    """The database's own shell: what it is called, and its command line."""
    if isinstance(engine, Postgresql):
        copy = f"COPY ({select}) TO STDOUT (FORMAT csv, HEADER)"
        return "psql, COPY of the same", [str(engine.server.bin / "psql"), big.prepared.url, "-qc", copy]
    sqlite = shutil.which("sqlite3")
    path = big.prepared.url.removeprefix("sqlite:///")
    return "sqlite3, the same", [sqlite, "-readonly", "-csv", "-header", path, select] if sqlite else []


def _written(command: Sequence[str], out: Path) -> tuple[float, float]:
    """Run a command whose output goes to a file: the milliseconds that it took, and the most megabytes."""
    started = time.perf_counter()
    megabytes = 0.0
    with out.open("wb") as file, subprocess.Popen(command, stdout=file) as process:
        while process.poll() is None:
            megabytes = max(megabytes, peak_megabytes(process.pid))
            time.sleep(LOOK_SECONDS)
    taken = time.perf_counter() - started
    assert process.returncode == 0, command
    return taken * 1000, megabytes


def _rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _counted(engine: Engine, big: Book) -> list[Figure]:
    everyone, *many = big.prepared.list_ids[: book.LISTS_OF_MANY]
    audiences = {
        "reachable of all": Audience(lists=(everyone,), reachable=("sms",)),
        "all and a tenth of them": Audience(lists=(everyone, many[0])),
        "all without a tenth": Audience(lists=(everyone,), minus=(many[0],)),
        "a tenth that is in all too": Audience(lists=(many[0],), all_of=(everyone,)),
        "all without a tenth, reachable": Audience(
            lists=(everyone,), minus=(many[0],), reachable=("sms", "rcs")
        ),
        "nine lists together": Audience(lists=tuple(many)),
    }
    database = open_database(big.prepared.url, EngineLimits(statement_timeout_seconds=COUNT_SECONDS_MAX))
    try:
        return [
            Figure(COUNT.format(name), engine.name, _milliseconds(database, big, wanted), "ms")
            for name, wanted in audiences.items()
        ]
    finally:
        database.close()


def _milliseconds(database: Database, big: Book, wanted: Audience) -> float:
    started = time.perf_counter()
    database.read(audience.count, big.prepared.account_id, wanted)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
