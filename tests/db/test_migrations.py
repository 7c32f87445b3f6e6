"""The schema comes up by itself, once, and never goes under code that is older than it."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from rollbook.db import Database, migrations, open_database
from rollbook.errors import BadDatabaseUrl, DatabaseTooNew, Unavailable
from tests.servers import begun, rollbook, run


def test_an_empty_database_is_at_version_0_and_comes_to_the_last(url: str) -> None:
    database = open_database(url, create=True)
    assert database.schema_version() == 0
    assert database.migrate() == [step.name for step in migrations.all_steps()]
    assert database.schema_version() == migrations.all_steps()[-1].version
    assert database.migrate() == []
    database.close()


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    command = rollbook("migrate", "--json", "--database-url", url)
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(begun(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            for _ in range(6)
        ]
        done = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 6, done
    assert sum("0001_accounts_and_lists" in out for out, _ in done) == 1


def test_a_database_that_is_newer_is_refused(db: Database, url: str) -> None:
    db.write(
        lambda tx: tx.run("INSERT INTO schema_migration (version, name, applied_at) VALUES (9999, 'x', 0)")
    )
    with pytest.raises(DatabaseTooNew, match="schema version 9999"):
        db.migrate()
    for command in (["serve", "--port", "0"], ["migrate"], ["account", "list"]):
        done = run(*command, "--database-url", url)
        assert done.returncode == 1
        assert "Start a rollbook at least as new" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = migrations.Migration(2, "0002_broken", "CREATE TABLE half (id {bigint});\nCREATE NONSENSE;\n")
    steps = migrations.all_steps()
    monkeypatch.setattr(migrations, "all_steps", lambda: [*steps, broken])
    database = open_database(url, create=True)
    with pytest.raises(Exception, match=r"NONSENSE|syntax"):
        database.migrate()
    assert database.schema_version() == 0
    monkeypatch.undo()
    database.migrate()
    with pytest.raises(Exception, match="half"):
        database.read(lambda tx: tx.run("SELECT * FROM half"))
    database.close()


def test_versions_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations.all_steps()] == list(
        range(1, len(migrations.all_steps()) + 1)
    )


def test_every_key_of_account_data_begins_with_the_account(db: Database) -> None:
    """The rule that lets one schema be distributed by account (docs/decisions/0004)."""
    shared = {"id_block", "service_secret", "schema_migration"}
    if db.engine == "sqlite":
        tables = db.read(
            lambda tx: tx.all(
                str, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"
            )
        )
        found = {
            table: db.read(
                lambda tx, t: tx.all(str, f"SELECT name FROM pragma_table_info('{t}') WHERE pk = 1"), table
            )
            for table in tables
        }
    else:
        sql = """
            SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
            WHERE indisunique AND indrelid = CAST(:name AS regclass)
        """
        tables = db.read(
            lambda tx: tx.all(str, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        )
        found = {table: db.read(lambda tx, t: tx.all(str, sql, name=t), table) for table in tables}
    assert set(found) >= shared | {"account", "api_key", "contact_list", "idempotent_answer"}
    assert {table for table, first in found.items() if set(first) != {"account_id"}} == shared


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """It holds the secret that signs tokens, and so do the files that SQLite puts beside it."""
    database = open_database(f"sqlite:///{tmp_path}/rollbook.db", create=True)
    database.migrate()
    database.write(lambda tx: None)
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(files) == {"rollbook.db", "rollbook.db-wal", "rollbook.db-shm"}
    assert set(files.values()) == {0o600}
    database.close()


@pytest.mark.parametrize(
    "url", ["", "rollbook.db", "sqlite://", "sqlite:///", "mysql://x/y", "postgresql:/x"]
)
def test_a_url_of_no_engine_is_refused(url: str) -> None:
    with pytest.raises(BadDatabaseUrl):
        open_database(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(Unavailable):
        open_database(f"sqlite:///{path}").migrate()
    assert path.read_text().startswith("Dear Sir")
