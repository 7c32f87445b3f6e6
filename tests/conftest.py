"""Fixtures: every test that asks for a database runs on both engines, on real databases."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import zlib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from rollbook import accounts
from rollbook.accounts import Account
from rollbook.db import Database, open_database
from tests.cluster import Cluster, OnlyOnCitus, take_nodes
from tests.databases import Databases
from tests.length import LONG
from tests.servers import Postgres, Service, nginx, run
from tests.statements.plugin import Statements

ENGINES = ("sqlite", "postgresql")

CITUS = take_nodes()
"""The nodes of the cluster that takes the place of the PostgreSQL server (tests/cluster.py); mostly none."""

NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

_numbers = itertools.count(1)
_ran: Counter[str] = Counter()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole run, or a cluster. Its data need not survive a power cut, so no fsync."""
    server = Cluster(CITUS) if CITUS else Postgres(*NOT_DURABLE)
    yield server
    server.remove()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that the test runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Where the databases of tests come from."""
    return Databases(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def url(engine: str, databases: Databases, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a migrated database without rows on that engine."""
    if engine == "sqlite":
        return databases.sqlite(tmp_path)
    return databases.postgresql(request.getfixturevalue("postgres"))


@pytest.fixture
def new_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a new database on that engine, for tests whose subject is the database: nothing is migrated."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/rollbook.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"test_{next(_numbers)}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """A migrated database without accounts."""
    database = open_database(url, create=True)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def alice(db: Database) -> Account:
    """An account."""
    return db.write(accounts.create, name="alice")


@pytest.fixture
def bob(db: Database) -> Account:
    """Another account."""
    return db.write(accounts.create, name="bob")


class Live(NamedTuple):
    """A running service with an account on it, shared by the tests of a module."""

    service: Service
    engine: str
    key: str

    def client(self, key: str | None = None) -> httpx.Client:
        """An HTTP client with the account's key, or another one."""
        return self.service.client(key or self.key)

    def new_account(self) -> str:
        """The name of a new account."""
        name = f"account {next(_numbers)}"
        with opened(self.service.database_url) as database:
            database.write(accounts.create, name=name)
        return name

    def new_key(
        self, account: str | None = None, rights: Sequence[str] = ("read", "write"), *, test: bool = False
    ) -> str:
        """A new key of an account, or of a new one."""
        account = account or self.new_account()
        with opened(self.service.database_url) as database:
            made = database.write(accounts.create_key, account=account, rights=rights, test=test)
        return made.key


@contextmanager
def opened(database_url: str) -> Iterator[Database]:
    """A service's database, opened beside it from this process, or a new one."""
    database = open_database(database_url, create=True)
    try:
        yield database
    finally:
        database.close()


def with_account(database_url: str, name: str = "alice") -> str:
    """Make an account in a service's database, or in a new one, without the command; returns the URL."""
    with opened(database_url) as database:
        database.migrate()
        database.write(accounts.create, name=name)
    return database_url


def cli(database_url: str, *arguments: str) -> dict[str, object]:
    """Run a command with --json on a database, and return what it printed."""
    done = run(*arguments, "--json", "--database-url", database_url)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module", params=ENGINES)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A running service on each engine, without the duplicate guard."""
    engine = str(request.param)
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('live')}/rollbook.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        name = f"live_{next(_numbers)}"
        url = server.create_database(name)
    service = Service(url, "--duplicate-window-seconds", "0")
    key = service.key
    if not key:
        with opened(url) as database:
            database.write(accounts.create, name="default")
            key = database.write(accounts.create_key, account="default", rights=["admin"]).key
    yield Live(service, engine, key)
    status = service.stop()
    if engine == "postgresql" and not server.plain:
        server.drop_database(name)
    assert status == 0, service.log()


@pytest.fixture(autouse=True)
def _no_service_is_left_behind() -> Iterator[None]:
    before = set(Service.running)
    yield
    for service in Service.running - before:
        service.kill()


@pytest.fixture
def api(live: Live) -> Iterator[httpx.Client]:
    """A client of a fresh account on a running service."""
    with live.client(live.new_key()) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test timed out, the stacks of the services that it waited for; they are ended."""
    report = yield
    if report.failed and call.excinfo is not None and _timed_out(call.excinfo.value):
        for service in set(Service.running):
            report.sections.append((f"stacks of the service at {service.url}", service.abort()))
    return report


def _timed_out(error: BaseException) -> bool:
    by_its_limit = isinstance(error, pytest.fail.Exception) and str(error).startswith("Timeout")
    return by_its_limit or isinstance(error, (subprocess.TimeoutExpired, httpx.ReadTimeout, TimeoutError))


ID_CHARACTERS_MAX = 60


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes and long texts get a readable name; what was left out of it stands in a checksum."""
    if isinstance(val, bytes):
        text = "".join(chr(byte) if 32 < byte < 127 else "." for byte in val)
    elif isinstance(val, str) and len(val) > ID_CHARACTERS_MAX:
        text = "".join(c if " " <= c <= "~" else "?" for c in val)
    else:
        return None
    named = text[: ID_CHARACTERS_MAX // 2] or "empty"
    whole = val if isinstance(val, bytes) else val.encode("utf-8", "surrogatepass")
    return named if named.encode() == whole else f"{named}-{zlib.crc32(whole):08x}"


class _Program(NamedTuple):
    """A program that a file of tests runs, and that not every machine has."""

    name: str
    path: str | None
    package: str
    subject: str


PROGRAMS: Mapping[str, _Program] = {
    "api/test_nginx.py": _Program("nginx", nginx(), "nginx-light", "the sample for nginx"),
    "cli/test_systemd.py": _Program(
        "systemd-analyze", shutil.which("systemd-analyze"), "systemd", "the unit"
    ),
}
"""By the file of the tests."""


def _not_run() -> Mapping[str, _Program]:
    """The files of tests whose program is not here, and need not be."""
    if os.environ.get("CI", "") not in ("", "0", "false"):
        return {}
    return {file: program for file, program in PROGRAMS.items() if program.path is None}


LONG_FIRST = (
    "cli/test_import.py",
    "api/test_openapi.py",
    "contacts/test_any_order.py",
    "benchmarks/test_benchmarks.py",
    "cli/test_outcome.py",
    "cli/test_cli.py",
    "cli/test_export.py",
    "api/test_exports.py",
    "imports/test_minder.py",
    "imports/test_confirm.py",
    "api/test_numbers.py",
    "imports/test_killed.py",
    "suite/test_collection.py",
)
"""The files that take longest: they begin first, so that no process is left with one when the others are done."""


def pytest_configure(config: pytest.Config) -> None:
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as after `make test &`: what tests start inherits it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if CITUS:  # its statements are checked by the ordinary run
        config.pluginmanager.register(OnlyOnCitus(), "only on Citus")
    else:
        config.pluginmanager.register(Statements(), "statements")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    long = set() if LONG else {item for item in items if item.get_closest_marker("long")}
    config.stash[LEFT_OUT] = len(long)
    paths = {Path(__file__).parent / file for file in _not_run()}
    if left_out := long | {item for item in items if item.path in paths}:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


LEFT_OUT = pytest.StashKey[int]()
"""How many long tests were left out."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist says how many long tests it left out: the one that reports collects none."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["long left out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    left_out = getattr(node, "workeroutput", {}).get("long left out", 0)
    node.config.stash[LEFT_OUT] = max(left_out, node.config.stash.get(LEFT_OUT, 0))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        named = [
            engine for engine in ENGINES if f"[{engine}" in report.nodeid or f"-{engine}" in report.nodeid
        ]
        _ran[named[0] if named else "no engine"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = ", ".join(f"{_ran[engine]} on {engine}" for engine in ENGINES)
    terminalreporter.write_line(f"ran {counts}, {_ran['no engine']} that need no engine")
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"NOT RUN: {left_out} long tests, of which shorter ones ran. To run them, and all examples of others: "
            "make test-long"
        )
    for file, program in _not_run().items():
        terminalreporter.write_line(
            f"NOT RUN: {program.subject} (tests/{file}), since {program.name} is not installed. To run it: "
            f"apt-get install {program.package}. With CI=true this is a failure.",
            red=True,
            bold=True,
        )
