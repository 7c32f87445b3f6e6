"""Importing a big CSV into a list: the phases, the memory, and how long others wait meanwhile.

The file has five in a hundred rows of garbage, three of duplicates, phones of forty countries in many
spellings, and two more columns. Yardsticks, in the same round: on SQLite reading the file with pyarrow and
`CREATE TABLE AS SELECT` of the same rows with bare SQLite; on PostgreSQL a server-side COPY of the same
contacts and members into the same tables with their indexes. A second file of a tenth of the rows then goes
into the full book, beside one into an empty book; and a third while eight connections create lists and attach
contacts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from benchmarks.engines import Engine, Prepared, serving
from benchmarks.measure import Comparison, Figure, Plan, peak_megabytes
from benchmarks.phone_samples import mixed_array

WHAT = "import {rows:,} rows of CSV into a list"
GOALS = {"sqlite": 4.0, "postgresql": 5.0}
GOAL_MEGABYTES = 1300
GOAL_SECOND = 4.0
GOAL_WAIT_MILLISECONDS = 300
CONNECTIONS = 8
BATCH_ROWS = 1_000_000
CITIES = ("Kyiv", "Lviv", "Odesa", "Berlin", "Warsaw", "Rome", "Paris", "Madrid", "Oslo", "Vienna")
REGION = "UA"
LOOK_SECONDS = 0.02
"""How often it is looked how much memory an import has."""


@dataclass(frozen=True)
class Imported:
    """What an import took."""

    seconds: float
    megabytes: float
    report: Mapping[str, Any]


def run(plan: Plan, engine: Engine) -> list[Comparison | Figure]:
    """Measure once: each import makes a book that no second one could be made into."""
    rows = plan.members
    what = WHAT.format(rows=rows)
    print(f"\n{what}, {engine.name}", flush=True)
    found: list[Comparison | Figure] = []
    with _files(rows) as (big, second, third), engine.database() as prepared:
        with engine.database() as empty:
            alone = _imported(empty, second)
        ours = _imported(prepared, big)
        theirs = _yardstick(engine, prepared, big)
        _told("ours", ours.seconds, ours.report)
        _told("yardstick", theirs)
        yardstick = (
            "pyarrow and CREATE TABLE AS SELECT" if engine.name == "sqlite" else "COPY into the same tables"
        )
        found.append(
            Comparison(
                what,
                yardstick,
                engine.name,
                0,
                [ours.seconds * 1000],
                [theirs * 1000],
                GOALS[engine.name],
                " ms",
            )
        )
        found.append(Figure("import, memory", engine.name, ours.megabytes, "MB", GOAL_MEGABYTES))
        phases = ours.report["seconds"]
        found += [Figure(f"import, {phase}", engine.name, seconds, "s") for phase, seconds in phases.items()]
        again = _imported(prepared, second)
        _told("a tenth more", again.seconds, again.report)
        found.append(
            Comparison(
                f"import {rows // 10:,} rows into a book of {rows:,}",
                "into an empty book",
                engine.name,
                0,
                [again.seconds * 1000],
                [alone.seconds * 1000],
                GOAL_SECOND,
                " ms",
            )
        )
        waits = _waits(engine, prepared, third)
        for call, milliseconds in waits.items():
            print(f"  {call}: p50, p99, max {', '.join(f'{each:.0f}' for each in milliseconds)} ms")
            name = f"{call} during an import, p99 at {CONNECTIONS} connections"
            found.append(Figure(name, engine.name, milliseconds[1], "ms", GOAL_WAIT_MILLISECONDS))
    return found


@contextmanager
def _files(rows: int) -> Iterator[tuple[Path, Path, Path]]:
    folder = Path(tempfile.mkdtemp(prefix="rollbook-bench-"))
    try:
        yield (
            _written(folder / "big.csv", rows, 1),
            _written(folder / "second.csv", rows // 10, 2),
            _written(folder / "third.csv", rows // 5, 3),
        )
    finally:
        shutil.rmtree(folder)


def _written(path: Path, rows: int, seed: int) -> Path:
    """A file of contacts: phone, name, city."""
    random = np.random.default_rng(seed)
    cities = pa.array(CITIES)
    with path.open("wb") as file:
        for first in range(0, rows, BATCH_ROWS):
            size = min(BATCH_ROWS, rows - first)
            numbers = pa.array(np.arange(first, first + size))
            table = pa.table(
                {
                    "phone": mixed_array(size, REGION, seed * 1000 + first // BATCH_ROWS),
                    "name": pc.binary_join_element_wise("Customer", numbers.cast(pa.string()), " "),
                    "city": cities.take(pa.array(random.integers(len(cities), size=size))),
                }
            )
            options = arrow_csv.WriteOptions(include_header=first == 0, quoting_style="needed")
            arrow_csv.write_csv(table, file, options)
    return path


def _imported(prepared: Prepared, path: Path) -> Imported:
    """Import a file by the command, in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "rollbook", "import", str(path), "--list", "Customers"]
    command += ["--region", REGION, "--database-url", prepared.url, "--spool-dir", f"{path}.spool", "--json"]
    megabytes = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            megabytes = max(megabytes, peak_megabytes(process.pid))
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None
        told = process.stdout.read()
    seconds = time.perf_counter() - started
    assert process.returncode == 0, f"the import ended with {process.returncode}: {told!r}"
    shutil.rmtree(f"{path}.spool")
    return Imported(seconds, megabytes, json.loads(told)["report"])


def _told(what: str, seconds: float, report: Mapping[str, Any] | None = None) -> None:
    counted = ""
    if report is not None:
        counted = f", {report['created']:,} created, {report['duplicates']:,} duplicates, {report['seconds']}"
    print(f"  {what}: {seconds:.1f} s{counted}", flush=True)


def _yardstick(engine: Engine, prepared: Prepared, path: Path) -> float:
    return _bare_sqlite(path) if engine.name == "sqlite" else _bare_copy(prepared.url)


def _bare_sqlite(path: Path) -> float:
    """Seconds to read the file with pyarrow and to copy the same rows inside SQLite, as durably as we do."""
    started = time.perf_counter()
    table = arrow_csv.read_csv(path, convert_options=arrow_csv.ConvertOptions(column_types=_TEXTS))
    reading = time.perf_counter() - started
    folder = Path(tempfile.mkdtemp(prefix="rollbook-bench-"))
    try:
        source, target = apsw.Connection(str(folder / "source.db")), folder / "target.db"
        source.execute("PRAGMA journal_mode = OFF; CREATE TABLE row (phone, name, city)").fetchall()
        source.execute("BEGIN")
        for batch in table.to_batches():
            source.executemany(
                "INSERT INTO row VALUES (?, ?, ?)", zip(*batch.to_pydict().values(), strict=True)
            )
        source.execute("COMMIT")
        source.close()
        del table
        bare = apsw.Connection(str(target))
        bare.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
        bare.execute("ATTACH :path AS source", {"path": str(folder / "source.db")})
        started = time.perf_counter()
        bare.execute("CREATE TABLE row AS SELECT * FROM source.row")
        copying = time.perf_counter() - started
        bare.close()
    finally:
        shutil.rmtree(folder)
    print(f"  pyarrow {reading:.1f} s, CREATE TABLE AS SELECT {copying:.1f} s", flush=True)
    return reading + copying


_TEXTS = {"phone": pa.string(), "name": pa.string(), "city": pa.string()}


def _bare_copy(url: str) -> float:
    """Seconds to COPY the same contacts and members from files of the server into the same empty tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        folder = connection.execute("SHOW data_directory").fetchone()
        assert folder is not None
        paths = {}
        for table in ("contact", "membership"):
            paths[table] = f"{folder[0]}/yardstick-{table}"
            connection.execute(f"COPY (SELECT * FROM {table} ORDER BY 1, 2, 3) TO '{paths[table]}'".encode())
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
        connection.execute("CHECKPOINT")
        started = time.perf_counter()
        for table, path in paths.items():
            connection.execute(f"COPY bare_{table} FROM '{path}'".encode())
        seconds = time.perf_counter() - started
        for table, path in paths.items():
            connection.execute(f"DROP TABLE bare_{table}".encode())
            connection.execute(f"COPY (SELECT WHERE FALSE) TO '{path}'".encode())
    return seconds


def _waits(engine: Engine, prepared: Prepared, path: Path) -> dict[str, tuple[float, float, float]]:
    """How long calls take while the service imports a file: median, p99 and longest, in milliseconds."""
    spool = tempfile.mkdtemp(prefix="rollbook-bench-")
    flags = (*engine.flags, "--spool-dir", spool, "--duplicate-window-seconds", "0")
    try:
        with (
            serving(prepared, *flags) as server,
            httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}) as client,
        ):
            made = client.post("/api/groups", json={"name": "Attached"}).raise_for_status().json()["data"]
            contacts = client.get("/api/contacts", params={"page[limit]": 500}).raise_for_status()
            ids = [row["id"] for row in contacts.json()["data"]]
            with path.open("rb") as file:
                query = {"list": "Customers", "region": REGION}
                answer = client.post("/api/imports", params=query, content=file, timeout=600)
            import_ = answer.raise_for_status().json()["data"]["id"]
            ended = threading.Event()
            taken: dict[str, list[float]] = {"POST /api/groups": [], "attach one contact": []}

            def call(number: int) -> None:
                with httpx.Client(base_url=server.url, headers=client.headers, timeout=60) as own:
                    turn = 0
                    while not ended.is_set():
                        turn += 1
                        name = "POST /api/groups" if (number + turn) % 2 else "attach one contact"
                        started = time.perf_counter()
                        if (number + turn) % 2:
                            answer = own.post("/api/groups", json={"name": f"list {number} {turn}"})
                        else:
                            body = {"contacts": [ids[turn % len(ids)]], "groups": [made["id"]]}
                            answer = own.post("/api/groups/attach", json=body)
                        taken[name].append((time.perf_counter() - started) * 1000)
                        answer.raise_for_status()

            threads = [threading.Thread(target=call, args=(number,)) for number in range(CONNECTIONS)]
            for thread in threads:
                thread.start()
            started = time.perf_counter()
            while (state := client.get(f"/api/imports/{import_}").json()["data"])["state"] not in (
                "done",
                "failed",
            ):
                time.sleep(0.2)
            seconds = time.perf_counter() - started
            ended.set()
            for thread in threads:
                thread.join()
            assert state["state"] == "done", state
            calls = sum(map(len, taken.values()))
            print(f"  import under load: {seconds:.1f} s, {calls:,} calls meanwhile", flush=True)
    finally:
        shutil.rmtree(spool)
    return {
        name: (float(np.percentile(each, 50)), float(np.percentile(each, 99)), max(each))
        for name, each in taken.items()
    }


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
