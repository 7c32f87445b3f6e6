"""What rollbook tells Citus, and what it makes of its errors; against a stub (tests/citus_stub.py). What only a
real cluster can show stands in docs/how-to/citus.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from rollbook import accounts, leftovers
from rollbook.db import EngineLimits, Job, Transaction, migrations, open_database
from rollbook.db.citus import is_of_a_node
from rollbook.db.lanes import BatchFailed
from rollbook.db.postgres import PostgresDatabase
from rollbook.db.postgres_connection import ATTEMPTS_MAX, ID_BLOCK, Connected, translated
from rollbook.errors import ClusterNotReady, DatabaseTooNew, NodeAway, NotSetUp, RollbookError, Unavailable
from rollbook.rounds import Rounds
from tests.citus_stub import Citus, recorded
from tests.conftest import opened
from tests.servers import Postgres, Service, run

pytestmark = pytest.mark.not_on_citus("use a stub of Citus")

EVERYWHERE = ["api_key"]
LOCAL = ["id_block", "schema_migration", "service_secret"]
BY_ACCOUNT = sorted(set(migrations.tables()) - {"account", *EVERYWHERE, *LOCAL})


@pytest.fixture
def citus(postgres: Postgres) -> Iterator[Citus]:
    """A new database that says it is one of Citus."""
    name = "citus_stub"
    postgres.drop_database(name)
    yield Citus(postgres.create_database(name))
    postgres.drop_database(name)


@pytest.fixture
def database(citus: Citus) -> Iterator[PostgresDatabase]:
    """It, opened; nothing is migrated."""
    database = open_database(citus.url, EngineLimits(writer_threads=1))
    assert isinstance(database, PostgresDatabase)
    yield database
    database.close()


def test_migrate_distributes_every_table(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    assert database.migrate() == [step.name for step in migrations.all_steps()]
    told = citus.calls()
    assert told[0] == "distribute account by account_id with none"
    assert sorted(told[1:]) == sorted(
        [
            *(f"distribute {name} by account_id with account" for name in BY_ACCOUNT),
            *(f"reference {name}" for name in EVERYWHERE),
            *(f"local {name}" for name in LOCAL),
        ]
    )
    assert "contact" in BY_ACCOUNT
    assert database.migrate() == []
    assert citus.calls() == []


def test_the_distribution_is_under_the_lock_of_migrations(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    with recorded() as sent:
        database.migrate()
    lock = max(number for number, text in enumerate(sent) if "pg_advisory_xact_lock" in text)
    assert "CREATE TABLE" in " ".join(sent[:lock])
    assert [text for text in sent[:lock] if "create_distributed_table" in text] == []
    assert len([text for text in sent[lock:] if "create_distributed_table" in text]) == len(BY_ACCOUNT) + 1


def test_migrate_tells_the_planners_of_all_nodes_once(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    with recorded() as sent:
        database.migrate()
    altered = [text for text in sent if text.startswith("ALTER DATABASE")]
    assert 'ALTER DATABASE "citus_stub" SET "enable_hashjoin" = \'off\'' in altered
    assert 'ALTER DATABASE "citus_stub" SET "plan_cache_mode" = \'force_custom_plan\'' in altered
    with psycopg.connect(citus.url) as connection:
        assert connection.execute("SHOW enable_hashjoin").fetchone() == ("off",)
        assert connection.execute("SHOW random_page_cost").fetchone() == ("0.01",)
    with recorded() as sent:
        database.migrate()
    assert [text for text in sent if text.startswith("ALTER")] == []


def test_a_table_of_a_later_migration_is_distributed_too(
    citus: Citus, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    citus.add_nodes()
    database.migrate()
    citus.calls()
    known = migrations.all_steps()
    later = migrations.Migration(
        known[-1].version + 1,
        f"{known[-1].version + 1:04}_later",
        "CREATE TABLE thing (\n    account_id {bigint} NOT NULL\n);\n\nCREATE TABLE apart (\n    name {text}\n);\n",
    )
    monkeypatch.setattr(migrations, "all_steps", lambda: [*known, later])
    assert database.migrate() == [later.name]
    assert citus.calls() == ["local apart", "distribute thing by account_id with account"]


def test_what_was_there_before_the_cluster_is_distributed_and_its_copies_dropped(
    citus: Citus, database: PostgresDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database.migrate()
    database.write(accounts.create, name="acme")
    database.write(accounts.create_key, account="acme")
    assert citus.calls() == [], "without a node it is plain PostgreSQL"
    citus.add_nodes()
    assert database.migrate() == []
    told = citus.calls()
    assert told[0] == "distribute account by account_id with none"
    assert told[-2:] == ["truncate account", "truncate api_key"]
    assert len(told) == len(migrations.tables()) + 2
    assert f"Distributed {len(migrations.tables())} tables over the nodes of Citus." in caplog.text
    with psycopg.connect(citus.url) as connection:
        found = connection.execute("SELECT count(*) FROM account").fetchone()
    assert found == (2,), "the stub truncates nothing, and nobody else may"


def test_a_table_of_another_program_is_left_alone(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    citus.run("CREATE TABLE theirs (account_id bigint)")
    database.migrate()
    assert not [told for told in citus.calls() if "theirs" in told]


def test_on_a_worker_node_nothing_is_changed(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    citus.become_a_worker()
    with pytest.raises(NotSetUp):
        database.update()
    with pytest.raises(ClusterNotReady, match="with the URL of the coordinator"):
        database.migrate()
    assert citus.run("SELECT to_regclass('schema_migration')") == [(None,)]


def test_a_worker_node_that_is_up_to_date_is_served_from(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    database.migrate()
    citus.calls()
    citus.become_a_worker()
    with recorded() as sent:
        assert database.update() == []
    changes = ("CREATE", "ALTER", "INSERT", "SELECT create_", "SELECT citus_", "SELECT pg_advisory")
    assert [text for text in sent if text.startswith(changes)] == []
    citus.run("INSERT INTO schema_migration VALUES (9999, 'x', 0)")
    with pytest.raises(DatabaseTooNew):
        database.migrate()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("('worker-1', 5432, 1)", "SELECT citus_set_coordinator_host"),
        ("('coordinator', 5432, 0, true, 'primary', false)", "SELECT citus_add_node"),
        (
            "('coordinator', 5432, 0, true, 'primary', false), ('worker-1', 5432, 1, false, 'primary', true)",
            "no active worker",
        ),
    ],
)
def test_a_cluster_that_lacks_a_node_is_told_how_to_add_it(
    citus: Citus, database: PostgresDatabase, node: str, message: str
) -> None:
    citus.run(f"INSERT INTO pg_dist_node VALUES {node}")
    with pytest.raises(ClusterNotReady, match=message):
        database.migrate()
    assert citus.calls() == []


def test_settings_of_a_transaction_reach_the_nodes(citus: Citus, database: PostgresDatabase) -> None:
    database.migrate()
    with recorded() as sent:
        database.write(lambda tx: tx.read_whole_tables(joined=True))
    assert "SET LOCAL enable_nestloop = 'off'" in sent
    assert not [text for text in sent if "set_config('enable" in text]
    assert "SET citus.propagate_set_commands = 'local'" in sent


def test_account_names_are_guarded_by_a_row_that_every_node_has_from_one_place(
    citus: Citus, database: PostgresDatabase
) -> None:
    database.migrate()
    with recorded() as sent:
        database.write(accounts.create, name="acme")
    begin = next(number for number, text in enumerate(sent) if text == "BEGIN")
    assert sent[begin + 1].startswith("INSERT INTO id_block")
    assert "'lock: account names'" in sent[begin + 1]
    assert not [text for text in sent if "pg_advisory" in text]
    with psycopg.connect(citus.url) as other, pytest.raises(pg.LockNotAvailable):
        database.write(_while_names_are_held, other)


def _while_names_are_held(tx: Transaction, other: psycopg.Connection[tuple[Any, ...]]) -> None:
    tx.exclusively("account names")
    other.execute("SELECT 1 FROM id_block WHERE kind = 'lock: account names' FOR UPDATE NOWAIT")


def test_a_busy_process_takes_more_ids_at_a_time(citus: Citus, database: PostgresDatabase) -> None:
    database.migrate()
    taken = [database.write(lambda tx: tx.new_ids("contact", ID_BLOCK)) for _ in range(4)]
    assert len({id for ids in taken for id in ids}) == 4 * ID_BLOCK
    assert citus.run("SELECT next_id FROM id_block WHERE kind = 'contact'") == [(1 + 7 * ID_BLOCK,)]


def test_nodes_that_are_away_are_named(citus: Citus, database: PostgresDatabase) -> None:
    citus.add_nodes()
    database.migrate()
    citus.take_down("worker-2")
    assert database.nodes() == {"worker-1:5432": True, "worker-2:5432": False}


def test_the_doctor_names_what_a_cluster_lacks(citus: Citus, database: PostgresDatabase) -> None:
    database.migrate()  # as plain PostgreSQL, before there are nodes
    assert cluster_faults(database) == {"nodes"}
    citus.add_nodes()
    assert cluster_faults(database) == {"distribution", "settings of the database"}
    database.migrate()
    assert cluster_faults(database) == set()
    citus.take_down("worker-2")
    assert cluster_faults(database) == {"node worker-2:5432"}


def cluster_faults(database: PostgresDatabase) -> set[str]:
    """What the doctor does not find well, but for what this server and its stub cannot have."""
    found = {check.name for check in database.checks(1) if check.state != "ok"}
    return found - {"fsync", "synchronous_commit", "full_page_writes", "max_worker_processes"}


def test_plain_postgresql_is_asked_once_and_told_nothing(postgres: Postgres) -> None:
    url = postgres.create_database("citus_not")
    database = open_database(url)
    with recorded() as sent:
        database.migrate()
        database.write(accounts.create, name="acme")
        assert database.nodes() == {}
        assert not database.is_distributed
    database.close()
    postgres.drop_database("citus_not")
    assert len([text for text in sent if "citus" in text]) == 1
    assert not [text for text in sent if text.startswith("ALTER DATABASE") or "pg_dist" in text]


REFUSED = "connection to the remote node postgres@127.0.0.1:5433 failed with the following error: Connection refused"
CLOSED = "server closed the connection unexpectedly"
ESSENTIAL = "failure on connection marked as essential: 127.0.0.1:5433"
BY_A_NODE = "while executing command on 127.0.0.1:5433"


def failed(code: str, message: str, context: str = "", *, url: str) -> psycopg.Error:
    """The error with which the server answers, as the driver makes it of that."""
    raised = f"RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'"
    body = f"BEGIN {raised}; END"
    if context:  # a function whose name is the context: it stands in the context of the error
        body = f'BEGIN PERFORM pg_temp."{context}"(); END'
    with psycopg.connect(url) as connection:
        if context:
            connection.execute(
                f'CREATE FUNCTION pg_temp."{context}"() RETURNS void AS $$ BEGIN {raised}; END $$ LANGUAGE plpgsql'.encode()
            )
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"DO $$ {body} $$".encode())
    return caught.value


OF_A_NODE = [
    ("08006", REFUSED, ""),
    ("XX000", CLOSED, ""),
    ("XX000", ESSENTIAL, ""),
    ("XX000", "cache lookup failed", BY_A_NODE),
    ("57P01", "terminating connection due to administrator command", BY_A_NODE),
    ("57P03", "the database system is in recovery mode", BY_A_NODE),
]
NOT_OF_A_NODE = [
    ("XX000", "the query contains a join that requires repartitioning", ""),
    ("57P01", "terminating connection due to administrator command", ""),
    ("40P01", "deadlock detected", BY_A_NODE),
    ("57014", "canceling statement due to statement timeout", BY_A_NODE),
    ("53100", "could not extend file", BY_A_NODE),
    ("23505", "duplicate key value", BY_A_NODE),
    ("08P01", "protocol violation", ""),
]


@pytest.mark.parametrize(("code", "message", "context"), OF_A_NODE)
def test_an_error_of_another_node_is_a_503_and_tried_once_more(
    postgres: Postgres, database: PostgresDatabase, code: str, message: str, context: str
) -> None:
    error = failed(code, message, context, url=postgres.url())
    assert is_of_a_node(error)
    attempts = []

    def work() -> None:
        attempts.append(1)
        with translated(database):
            raise error

    with pytest.raises(BatchFailed) as caught:
        Connected(database.server).again(work)
    assert len(attempts) == 2
    assert isinstance(caught.value.error, NodeAway)
    assert caught.value.error.retry_after_seconds > 0


@pytest.mark.parametrize(("code", "message", "context"), NOT_OF_A_NODE)
def test_other_errors_mean_what_they_meant(postgres: Postgres, code: str, message: str, context: str) -> None:
    assert not is_of_a_node(failed(code, message, context, url=postgres.url()))


def test_our_own_connection_that_breaks_is_opened_anew_as_often_as_before(database: PostgresDatabase) -> None:
    database.migrate()
    attempts = []

    def work() -> None:
        attempts.append(1)
        with translated(database):
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    with pytest.raises(BatchFailed):
        Connected(database.server).again(work)
    assert len(attempts) == ATTEMPTS_MAX


@pytest.mark.parametrize(("code", "message"), [("XX000", ESSENTIAL), ("08006", REFUSED)])
def test_a_commit_that_a_node_did_not_answer_is_not_said_to_have_failed(
    citus: Citus, database: PostgresDatabase, code: str, message: str
) -> None:
    database.migrate()
    citus.run(
        f"""
        CREATE FUNCTION stub.fail() RETURNS trigger AS $$
        BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$ LANGUAGE plpgsql;
        CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON account DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION stub.fail();
        """
    )
    with pytest.raises(Unavailable, match="may or may not be stored"):
        database.write(accounts.create, name="acme")


def test_an_account_whose_node_is_away_fails_alone(citus: Citus, database: PostgresDatabase) -> None:
    """Four writes of three accounts wait while the one writer is busy: on one server they shared a COMMIT."""
    database.migrate()
    ended, held, free = threading.Semaphore(0), threading.Event(), threading.Event()
    ran: list[tuple[int, int]] = []

    def deliver(jobs: Sequence[Job]) -> None:
        for _ in jobs:
            ended.release()

    def hold(tx: Transaction, account_id: int) -> None:
        held.set()
        free.wait(20)

    def work(tx: Transaction, account_id: int) -> None:
        ran.append((account_id, tx.one(int, "SELECT CAST(txid_current() AS bigint)") or 0))
        if account_id == 2:
            tx.run("DO $$ BEGIN RAISE EXCEPTION 'Connection refused' USING ERRCODE = '08006'; END $$")

    first = Job(hold, (9,), deliver)
    database.enqueue_write(first)
    assert held.wait(20)
    jobs = [Job(work, (account,), deliver) for account in (1, 2, 3, 1)]
    for job in jobs:
        database.enqueue_write(job)
    free.set()
    for _ in range(len(jobs) + 1):
        assert ended.acquire(timeout=20)
    assert [type(job.error) for job in jobs] == [type(None), NodeAway, type(None), type(None)]
    assert [account for account, _ in ran] == [1, 1, 2, 2, 3], (
        "that of a node that is away is tried once more"
    )
    assert len({transaction for account, transaction in ran if account != 2}) == 2


def test_questions_about_all_accounts_pass_over_those_that_are_away(database: PostgresDatabase) -> None:
    database.migrate()
    made = [database.write(accounts.create, name=name) for name in ("one", "two", "three")]
    for account in made:
        database.write(accounts.create_key, account=account.name)
    away = {made[1].account_id, None}
    asked: list[int | None] = []
    now = [0.0]

    def question(tx: Transaction, account_id: int | None) -> list[int]:
        asked.append(account_id)
        if account_id in away:
            tx.run("DO $$ BEGIN RAISE EXCEPTION 'Connection refused' USING ERRCODE = '08006'; END $$")
        return [account_id or 0]

    rounds = Rounds(database, question, every_seconds=10, clock=lambda: now[0])
    assert rounds.ask() == [made[0].account_id, made[2].account_id]
    assert set(asked) == {None, *(account.account_id for account in made)}
    asked.clear()
    assert rounds.ask() == []
    assert asked == [], "it is too early to ask again"
    now[0] += 10
    away.clear()
    assert rounds.ask() == [0]
    assert asked == [None], "all at once, when nobody is away"


def test_each_account_has_its_turn_however_long_they_take(database: PostgresDatabase) -> None:
    database.migrate()
    made = [database.write(accounts.create, name=name) for name in ("one", "two", "three")]
    for account in made:
        database.write(accounts.create_key, account=account.name)
    now = [0.0]

    def question(tx: Transaction, account_id: int | None) -> list[int]:
        if account_id is None:
            raise NodeAway
        now[0] += 1.5
        return [account_id]

    rounds = Rounds(database, question, every_seconds=0, clock=lambda: now[0])
    one, two, three = (account.account_id for account in made)
    assert [rounds.ask() for _ in range(3)] == [[one, two], [three, one], [two, three]]


def test_the_service_serves_while_a_node_is_away_and_names_it(citus: Citus) -> None:
    citus.add_nodes()
    citus.take_down("worker-2")
    service = Service(citus.url)
    account = run("account", "create", "acme", "--database-url", citus.url)
    assert account.returncode == 0, account.stderr
    with service.client() as client:
        deadline = time.monotonic() + 60
        while (ready := client.get("/readyz")).json() == {"status": "ready"}:
            assert time.monotonic() < deadline, "it did not come to this"
            time.sleep(0.05)
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "away": ["worker-2:5432"]})
        metrics = client.get("/metrics").text
    assert 'rollbook_database_node_up{node="worker-1:5432"} 1.0' in metrics
    assert 'rollbook_database_node_up{node="worker-2:5432"} 0.0' in metrics
    assert service.stop() == 0, service.log()
    assert "The database node worker-2:5432 is away" in service.log()


def test_questions_of_one_server_are_asked_each_time(postgres: Postgres) -> None:
    url = postgres.create_database("citus_not")
    with opened(url) as database:
        database.migrate()
        rounds = Rounds(database, leftovers.some, every_seconds=3600)
        before = database.statements_run
        assert [rounds.ask() for _ in range(3)] == [[], [], []]
        assert database.statements_run - before == 3
    postgres.drop_database("citus_not")


def test_errors_that_the_core_raises_stay_themselves(citus: Citus, database: PostgresDatabase) -> None:
    database.migrate()
    database.write(accounts.create, name="acme")
    with pytest.raises(RollbookError, match="already an account"):
        database.write(accounts.create, name="acme")
