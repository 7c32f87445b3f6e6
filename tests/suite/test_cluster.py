"""The cluster that tests may run on, with two plain servers in place of its nodes; what `make test-citus` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests import cluster
from tests.cluster import HOW_TO, VARIABLE, Cluster, WrongCluster
from tests.conftest import NOT_DURABLE
from tests.servers import Postgres, begun

STUB = (
    "CREATE TABLE told (what text)",
    """
    CREATE FUNCTION citus_set_coordinator_host(host text, port int) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO told VALUES (format('coordinator %s:%s', host, port)) $$
    """,
    """
    CREATE FUNCTION citus_add_node(host text, port int) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO told VALUES (format('worker %s:%s', host, port)) $$
    """,
)
"""In place of the extension: functions that note what they were called with."""

NOWHERE = "postgresql://tester:secret@127.0.0.1:1/postgres"
ELSEWHERE = "postgresql://tester@127.0.0.1:2/postgres"


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Postgres]]:
    """Two servers."""
    with ExitStack() as stack:
        servers: list[Postgres] = []
        for _ in range(2):
            server = Postgres(*NOT_DURABLE, "shared_buffers='16MB'")
            stack.callback(server.remove)
            servers.append(server)
        yield servers


@pytest.fixture
def stand_in(nodes: list[Postgres]) -> Iterator[Cluster]:
    """A cluster of them."""
    made = Cluster([node.url() for node in nodes], extension=STUB)
    yield made
    made.remove()


def _rows(url: str, sql: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute(sql.encode())]


def _databases(node: Postgres) -> list[str]:
    return _rows(
        node.url(), f"SELECT datname FROM pg_database WHERE datname LIKE '{cluster.PREFIX}%' ORDER BY 1"
    )


def test_a_database_is_created_on_all_nodes_and_dropped_there(
    nodes: list[Postgres], stand_in: Cluster
) -> None:
    for name in ("one", "two"):
        url = stand_in.create_database(name)
        assert url == stand_in.url(name) != stand_in.url("elsewhere")
        assert _rows(url, "SELECT what FROM told") == [
            f"coordinator {nodes[0].folder}:5432",
            f"worker {nodes[1].folder}:5432",
        ]
        assert _rows(url, "SHOW citus.shard_count") == [str(cluster.SHARDS)]
    [template, one, two] = _databases(nodes[0])
    assert _databases(nodes[1]) == [template, one, two]
    with psycopg.connect(stand_in.url("one")) as connected:
        stand_in.drop_database("one")
        with pytest.raises(psycopg.OperationalError):
            connected.execute("SELECT 1")
    assert _databases(nodes[0]) == _databases(nodes[1]) == [template, two]
    stand_in.remove()
    assert _databases(nodes[0]) == _databases(nodes[1]) == []


def test_a_database_can_be_copied_while_nobody_may_connect_to_the_copied_one(
    nodes: list[Postgres], stand_in: Cluster
) -> None:
    stand_in.create_database("one")
    template = _databases(nodes[1])[0]
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(nodes[1].url(template))


def test_what_belongs_to_a_server_of_ones_own_is_refused_with_what_to_do(stand_in: Cluster) -> None:
    for use in (lambda: stand_in.folder, lambda: stand_in.bin, lambda: stand_in.freeze("one"), stand_in.kill):
        with pytest.raises(AttributeError, match="mark the test not_on_citus"):
            use()


def test_servers_without_citus_are_refused(nodes: list[Postgres], stand_in: Cluster) -> None:
    with pytest.raises(
        WrongCluster, match=r"^Node 1 of .* has no Citus: set shared_preload_libraries = 'citus'\.$"
    ):
        stand_in.check()


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        ([ELSEWHERE], "must name a coordinator and at least one worker"),
        ([ELSEWHERE, ELSEWHERE], "names a node twice"),
        ([ELSEWHERE, "http://127.0.0.1:3/x"], "Node 2 of .* is not a libpq URL"),
        (["host=127.0.0.1 dbname=x", ELSEWHERE], "Node 1 of .* is not a URL that begins with postgresql://"),
        (["postgresql://127.0.0.1:3", ELSEWHERE], "Node 1 of .* lacks its dbname: write postgresql://"),
        (["postgresql:///x", ELSEWHERE], "Node 1 of .* lacks its host: write postgresql://"),
    ],
    ids=["one", "twice", "http", "no url", "no database", "no host"],
)
def test_a_wrong_list_of_nodes_is_refused(urls: list[str], told: str) -> None:
    with pytest.raises(WrongCluster, match=told):
        Cluster(urls)


def test_without_the_variable_it_says_how_and_that_nothing_was_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert cluster.main(["--no-such-flag"]) == 0
    assert capsys.readouterr().out.startswith(f"{VARIABLE} is not set: nothing was run.")
    assert "postgresql.conf" in HOW_TO


def test_a_node_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"{NOWHERE}, {ELSEWHERE}")
    assert cluster.main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Node 1 of {VARIABLE} (127.0.0.1:1) cannot be used: ")
    assert "secret" not in error


def test_what_a_cluster_cannot_run_is_left_out_with_number_and_reason() -> None:
    files = ["tests/lists/test_create.py", "tests/api/test_frozen.py", "tests/db/test_citus.py"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    with begun(
        command,
        env={VARIABLE: f"{NOWHERE},{ELSEWHERE}"},
        measured=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    kept = [line for line in out.splitlines() if line.startswith("tests/")]
    assert kept
    assert all("test_create.py" in line and "postgresql" in line for line in kept)
    assert "which freeze the processes of the server" in out
    assert "which use a stub of Citus" in out
    assert "which do not use the PostgreSQL server of the tests" in out
