"""An older commit beside this code, in the same rounds: `make bench BASE=REV`.

Both run in this environment, each on fresh databases and servers of its own. The environment may say ENGINE,
ROUNDS, SECONDS and MEMBERS (rows of the file that is imported).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from benchmarks import bench_create_contact, load, report
from benchmarks.engines import ACCOUNT, DURABLE, Postgresql
from benchmarks.load import NUMBER, traffic
from benchmarks.measure import Comparison, Measurement, Plan, in_rounds, plan_from_environment
from tests.servers import Postgres, Service, environment

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 64
STOPPED_AT_ONCE = 100
"""Phones of a call that stops many."""

ROWS_MAX = 1_000_000
"""Of the file, however many MEMBERS there are."""

MEMBERS = 1_000
"""Of the one list that there is."""

PHONES = np.arange(380_500_000_000, 380_500_000_000 + ROWS_MAX)
"""Of a range in use, so that all are valid."""


@dataclass(frozen=True)
class Code:
    """One of the two sides.

    Args:
        name: of it, in tables.
        source: the folder `src` that it is run from.
    """

    name: str
    source: Path

    @property
    def env(self) -> dict[str, str]:
        """What makes Python run this code."""
        return {"PYTHONPATH": str(self.source)}

    def run(self, *arguments: str) -> str:
        """Run a command of it in a folder that is gone afterwards, and return what it prints.

        Raises:
            RuntimeError: it failed.
        """
        with tempfile.TemporaryDirectory(prefix="rollbook-run-") as folder:  # a spool would lie there
            done = subprocess.run(
                [sys.executable, "-m", "rollbook", *arguments],
                capture_output=True, text=True, check=False, env=environment(self.env), cwd=folder,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.name}: rollbook {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def key(self, url: str) -> str:
        """The key of a new account in a new database."""
        self.run("account", "create", ACCOUNT, "--database-url", url, "--json")
        made = self.run("key", "create", ACCOUNT, "--right", "admin", "--database-url", url, "--json")
        return str(json.loads(made)["key"])


@contextmanager
def of_commit(revision: str) -> Iterator[Code]:
    """The code of a commit, in a temporary folder.

    Raises:
        SystemExit: git does not know it.
    """
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "src"], capture_output=True, check=False
    )
    if packed.returncode:
        raise SystemExit(f"git has no commit {revision!r}: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="rollbook-base-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Code(revision, Path(folder) / "src")


class Bench:
    """Measures one side on one engine.

    Args:
        server: PostgreSQL; `None` for SQLite.
        file: to import.
    """

    def __init__(self, plan: Plan, server: Postgres | None, file: Path) -> None:
        self._plan = plan
        self._server = server
        self._file = file
        self._made = 0

    def rate(self, code: Code, method: str, path: str, body: str, low: int, high: int) -> float:
        """Requests a second over `CONNECTIONS`, with every default of the service."""
        with self._database() as url:
            key = code.key(url)
            flags = () if self._server is None else Postgresql.flags
            service = Service(url, *flags, "--log-level", "warning", env=code.env, create=False)
            try:
                with service.client(key) as client:
                    client.post("/api/groups", json={"name": "The first"}).raise_for_status()
                    members = {"phones": PHONES[:MEMBERS].tolist()}
                    client.post("/api/groups/1/contacts", json=members).raise_for_status()
                    token = (
                        client.post("/api/auth/login", json={"api_key": key})
                        .raise_for_status()
                        .json()["bearer"]
                    )
                requests = traffic(service.url, token, method, path, body, low=low, high=high)
                return load.drive(
                    requests,
                    connections=CONNECTIONS,
                    seconds=self._plan.seconds,
                    generator=self._plan.generator,
                )
            finally:
                service.stop()

    def import_rate(self, code: Code, *flags: str) -> float:
        """Rows a second of an import of the file by the command."""
        with self._database() as url:
            code.key(url)
            started = time.perf_counter()
            code.run(*("import", str(self._file), *flags, "--quiet", "--json", "--database-url", url))
            return self.rows / (time.perf_counter() - started)

    @property
    def rows(self) -> int:
        """Of the file."""
        return min(ROWS_MAX, self._plan.members)

    @contextmanager
    def _database(self) -> Iterator[str]:
        if self._server is None:
            with tempfile.TemporaryDirectory(prefix="rollbook-bench-") as folder:
                yield f"sqlite:///{folder}/rollbook.db"
            return
        self._made += 1
        name = f"compare_{self._made}"
        url = self._server.create_database(name)
        try:
            yield url
        finally:
            self._server.drop_database(name)


def measurements(bench: Bench) -> dict[str, Callable[[Code], float]]:
    """What is measured of each side."""
    phones = ", ".join(str(380_500_000_000 + number) for number in range(STOPPED_AT_ONCE - 1))
    stops = f'{{"phones": [{phones}, {NUMBER}], "types": ["sms"]}}'
    low, high = 380_670_000_000, 380_679_999_999
    return {
        "create a list": lambda code: bench.rate(
            code, "POST", "/api/groups", f'{{"name": "List {NUMBER}"}}', 10**14, 10**15 - 1
        ),
        "read a list": lambda code: bench.rate(code, "GET", f"/api/groups/{NUMBER}", "", 1, 1),
        "create a contact": lambda code: bench.rate(
            code, "POST", "/api/contacts", bench_create_contact.BODY, *bench_create_contact.PHONES
        ),
        "a page of contacts": lambda code: bench.rate(
            code, "GET", f"/api/contacts?page[limit]={NUMBER}", "", 50, 59
        ),
        "a page of a list": lambda code: bench.rate(
            code, "GET", f"/api/contacts?groups[]=1&page[limit]={NUMBER}", "", 50, 59
        ),
        "/healthz": lambda code: bench.rate(code, "GET", f"/healthz?n={NUMBER}", "", 1, 10**6),
        f"stop {STOPPED_AT_ONCE} phones": lambda code: bench.rate(
            code, "POST", "/api/stoplist/attach", stops, low, high
        ),
        "import a row into a list": lambda code: bench.import_rate(code, "--list", "Customers"),
        "import a row onto the stop list": lambda code: bench.import_rate(code, "--stop", "sms"),
    }


def compared(plan: Plan, base: Code, engine: str, bench: Bench) -> list[Comparison]:
    """Each measurement of this code beside that of the base."""
    ours = Code("this code", ROOT / "src")
    found = []
    for what, measure in measurements(bench).items():
        sides: dict[str, Measurement] = {code.name: partial(measure, code) for code in (ours, base)}
        rates = in_rounds(f"{what}, {engine}", plan, sides)
        connections = 0 if what.startswith("import") else CONNECTIONS
        found.append(Comparison(what, base.name, engine, connections, rates[ours.name], rates[base.name]))
    return found


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    options.add_argument("base", metavar="REV", help="a commit, by any name that git knows")
    base = options.parse_args().base
    plan = plan_from_environment()
    print(report.machine())
    found: list[Comparison] = []
    with of_commit(base) as code, tempfile.TemporaryDirectory(prefix="rollbook-file-") as folder:
        file = Path(folder) / "phones.csv"
        rows = min(ROWS_MAX, plan.members)
        phones = np.random.default_rng(7).permutation(PHONES)[:rows]
        arrow_csv.write_csv(pa.table({"phone": phones}), file)
        for engine in plan.engines:
            server = Postgres(*DURABLE) if engine == "postgresql" else None
            try:
                found += compared(plan, code, engine, Bench(plan, server, file))
            finally:
                if server is not None:
                    server.remove()
    print(f"\n{report.rounds(found)}\n\n{report.table(found)}")


if __name__ == "__main__":
    main()
