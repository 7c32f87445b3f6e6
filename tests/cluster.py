"""A cluster of Citus that somebody has set up, for the tests that run on PostgreSQL: `make test-citus`.

`ROLLBOOK_TEST_CITUS` names its nodes: libpq URLs, the coordinator first, comma-separated. The databases of a run
begin with `rollbook_test_`, are created on all nodes, and are dropped at its end.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.servers import Postgres

VARIABLE = "ROLLBOOK_TEST_CITUS"
HANDED_ON = "TEST_CITUS"
"""Under this name the processes of a run find the nodes: rollbook refuses variables of its own that it does not know."""

PREFIX = "rollbook_test_"
SHARDS = 8
PROCESSES_MIN = 32
CONNECT_SECONDS = "10"
LEAVE_SECONDS_MAX = 20

EXTENSION = ("CREATE EXTENSION citus",)
"""What makes a new database one of Citus."""

HOW_TO = f"""\
{VARIABLE} is not set: nothing was run.

To run the PostgreSQL tests on Citus:

1. Install PostgreSQL and Citus, of the same versions, on a coordinator and at least one worker that hold no other
   data (several servers on one machine will do), and set in postgresql.conf of each:

     shared_preload_libraries = 'citus'
     max_worker_processes = {PROCESSES_MIN}
     max_prepared_transactions = 200
     max_connections = 400
     fsync = off                      # tests only

2. Let the nodes reach each other by the hosts and ports of their URLs without a password (trust, or .pgpass). The
   user must be a superuser: databases and the extension are created, and dropped at the end.

3. Name the nodes, the coordinator first:

     {VARIABLE}=postgresql://postgres@127.0.0.1:5500/postgres,postgresql://postgres@127.0.0.1:5501/postgres \\
       make test-citus
"""


class WrongCluster(Exception):
    """The nodes cannot be used; the text says which one, and why."""


class Cluster(Postgres):
    """Databases on all nodes at once, with what tests use of `Postgres`; it is neither started nor stopped here.

    Args:
        urls: of the nodes, the coordinator first, each of a database that is there.
        extension: statements that make a new database one of Citus.

    Raises:
        WrongCluster: fewer than two nodes, a text that is not a URL, or a node named twice.
    """

    plain: ClassVar[bool] = False

    def __init__(self, urls: Sequence[str], extension: Sequence[str] = EXTENSION) -> None:
        self._nodes = [_node(number, url) for number, url in enumerate(urls, 1)]
        if len(set(self._nodes)) < len(urls):
            raise WrongCluster(f"{VARIABLE} names a node twice.")
        if len(urls) < 2:
            raise WrongCluster(
                f"{VARIABLE} must name a coordinator and at least one worker, comma-separated."
            )
        self._extension = extension
        self._prefix = f"{PREFIX}{os.getpid()}_"
        self._prepared = False
        self._created: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        """What only a server of one's own has: its folder, its programs, its processes."""
        raise AttributeError(f"A cluster has no {name}: mark the test not_on_citus, with the reason.")

    def check(self) -> None:
        """Raises:
        WrongCluster: a node does not answer, lacks the extension, or has room for too few processes.
        """
        for number, node in enumerate(self._nodes, 1):
            named = f"Node {number} of {VARIABLE} ({_address(node)})"
            try:
                with psycopg.connect(node, connect_timeout=CONNECT_SECONDS) as connection:
                    found = connection.execute(
                        "SELECT current_setting('shared_preload_libraries'),"
                        " current_setting('max_worker_processes')::int"
                    ).fetchone()
            except psycopg.Error as error:
                raise WrongCluster(f"{named} cannot be used: {str(error).strip()}") from None
            assert found is not None
            if "citus" not in found[0]:
                raise WrongCluster(f"{named} has no Citus: set shared_preload_libraries = 'citus'.")
            if found[1] < PROCESSES_MIN:
                raise WrongCluster(
                    f"{named} has max_worker_processes = {found[1]}: Citus has a process for each database; "
                    f"set {PROCESSES_MIN}."
                )

    def url(self, name: str = "") -> str:
        """URL of a database on the coordinator; without a name, of the one that is always there.

        A name that is not one of its databases stands in the URL as it is.
        """
        if not name or name == "postgres":
            return self._nodes[0]
        whole_name = f"{self._prefix}{name}" if name in self._created else name
        return _with_database(self._nodes[0], whole_name)

    def create_database(self, name: str) -> str:
        """Create an empty database of Citus on all nodes; returns its URL on the coordinator."""
        if not self._prepared:
            self._prepare()
        for number in reversed(range(len(self._nodes))):
            self._on(number, f'CREATE DATABASE "{self._prefix}{name}" TEMPLATE "{self._prefix}"')
        self._on(0, f'ALTER DATABASE "{self._prefix}{name}" SET citus.shard_count = {SHARDS}')
        self._created.add(name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database on all nodes, whoever is connected to it."""
        self._drop(f"{self._prefix}{name}")
        self._created.discard(name)

    def remove(self) -> None:
        """Drop every database that it created. The nodes stay."""
        names = {
            name
            for number in range(len(self._nodes))
            for (name,) in self._on(
                number, f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self._prefix}')"
            )
        }
        for name in sorted(names):
            self._drop(name)
        self._prepared = False
        self._created.clear()

    def _prepare(self) -> None:
        """Make the database that the others are copies of: it has the extension and knows the nodes.

        Nobody may be connected to what is copied, and Citus has a process in each of its databases.
        """
        self._drop(self._prefix)
        for number in range(len(self._nodes)):
            self._on(number, f'CREATE DATABASE "{self._prefix}"')
            for statement in self._extension:
                self._on(number, statement, inside=True)
        for number, node in enumerate(self._nodes):
            options = conninfo_to_dict(node)
            host, port = options["host"], int(options.get("port") or 5432)
            add = "citus_add_node" if number else "citus_set_coordinator_host"
            self._on(0, f"SELECT {add}('{host}', {port})", inside=True)
        for number in range(len(self._nodes)):
            self._on(number, f'ALTER DATABASE "{self._prefix}" ALLOW_CONNECTIONS false')
            self._on(
                number,
                f"SELECT pg_terminate_backend(pid, {LEAVE_SECONDS_MAX * 1000}) FROM pg_stat_activity"
                f" WHERE datname = '{self._prefix}'",
            )
        self._prepared = True

    def _drop(self, whole_name: str) -> None:
        for number in range(len(self._nodes)):
            self._on(number, f'DROP DATABASE IF EXISTS "{whole_name}" WITH (FORCE)')

    def _on(self, number: int, statement: str, *, inside: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement on a node: in the database that is always there, or inside the one to be copied."""
        node = _with_database(self._nodes[number], self._prefix) if inside else self._nodes[number]
        with psycopg.connect(node, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def take_nodes() -> list[str]:
    """The nodes that the environment names, none where it names none. The variable is handed on to processes of
    pytest under another name."""
    if VARIABLE in os.environ:
        os.environ[HANDED_ON] = os.environ.pop(VARIABLE)
    return named_nodes(os.environ.get(HANDED_ON, ""))


def named_nodes(value: str) -> list[str]:
    """The URLs of a comma-separated text."""
    return [url.strip() for url in value.split(",") if url.strip()]


class OnlyOnCitus:
    """Leaves out of a run what a cluster cannot run or what has nothing to do with it, and says how much."""

    LEFT_OUT = "left out on Citus"

    def __init__(self) -> None:
        self._left_out: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what runs on PostgreSQL and is not marked."""
        reasons = {item: why_not(item) for item in items}
        items[:] = [item for item in items if not reasons[item]]
        self._left_out = Counter(reason for reason in reasons.values() if reason)
        config.hook.pytest_deselected(items=[item for item, reason in reasons.items() if reason])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A process of pytest-xdist says what it left out."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[self.LEFT_OUT] = dict(self._left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Each process collects all tests: what one of them left out is what all did."""
        found: Mapping[str, int] = getattr(node, "workeroutput", {}).get(self.LEFT_OUT, {})
        self._left_out |= Counter(found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The numbers, with the reasons."""
        for reason, number in self._left_out.most_common():
            terminalreporter.write_line(f"NOT RUN on Citus: {number}, {reason}", yellow=True)


def why_not(item: pytest.Item) -> str:
    """Why a test does not run on a cluster; an empty text, if it does."""
    values = [value for value in _parameters(item).values() if isinstance(value, str)]
    marker = item.get_closest_marker("not_on_citus")
    if marker and "sqlite" not in values:
        return f"which {marker.args[0]}"
    on_server = any(value.startswith("postgresql") for value in values)
    if on_server or ("postgres" in getattr(item, "fixturenames", ()) and "sqlite" not in values):
        return ""
    return "which do not use the PostgreSQL server of the tests"


def _parameters(item: pytest.Item) -> Mapping[str, object]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def _node(number: int, url: str) -> str:
    try:
        options = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise WrongCluster(f"Node {number} of {VARIABLE} is not a libpq URL: {str(error).strip()}") from None
    if urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise WrongCluster(f"Node {number} of {VARIABLE} is not a URL that begins with postgresql://.")
    missing = [name for name in ("host", "dbname") if not options.get(name)]
    if missing:
        raise WrongCluster(
            f"Node {number} of {VARIABLE} lacks its {' and its '.join(missing)}: "
            "write postgresql://user@host:port/postgres."
        )
    return url


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path="/" + quote(name)).geturl()


def _address(url: str) -> str:
    options = conninfo_to_dict(url)
    return f"{options['host']}:{options.get('port') or 5432}"


def main(arguments: Sequence[str]) -> int:
    """Run the tests on the cluster that the environment names; without one, say how to set one up.

    Returns:
        the status of pytest; 0 without a cluster, 2 with one that cannot be used.
    """
    nodes = named_nodes(os.environ.get(VARIABLE, ""))
    if not nodes:
        print(HOW_TO)
        return 0
    try:
        Cluster(nodes).check()
    except WrongCluster as error:
        print(error, file=sys.stderr)
        return 2
    return int(pytest.main([*arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
