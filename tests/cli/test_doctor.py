"""`rollbook doctor`: what it finds, what it calls a fault, and that it changes nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psycopg

from rollbook import accounts, verify
from rollbook.db import Database, migrations
from tests.conftest import opened
from tests.servers import Postgres, run


def checks(url: str, *flags: str, status: int = 0) -> dict[str, dict[str, Any]]:
    """What the command prints as JSON, by the names of the checks."""
    done = run("doctor", "--database-url", url, *flags, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)}


def faults(found: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, check in found.items() if check["state"] == "fault"}


def test_a_database_that_is_well(url: str, engine: str, tmp_path: Path) -> None:
    with opened(url) as database:
        database.write(accounts.create, name="alice")
    # The server of the tests gives durability away for speed; that is a fault of its own.
    status = 1 if engine == "postgresql" else 0
    found = checks(url, "--spool-dir", str(tmp_path / "spool"), status=status)
    assert faults(found) == ({"fsync", "synchronous_commit", "full_page_writes"} if status else set())
    assert found["accounts"]["found"] == "1 account"
    assert found["schema"]["state"] == "ok"
    assert found["spool"]["found"].endswith("made by the first import")
    assert not (tmp_path / "spool").exists()


def test_a_server_that_may_lose_writes_is_a_fault(postgres: Postgres) -> None:
    url = postgres.create_database("hasty_for_doctor")
    assert run("migrate", "--database-url", url).returncode == 0
    found = checks(url, status=1)
    assert "confirmed to callers" in found["synchronous_commit"]["advice"]
    assert found["encoding"]["found"] == "UTF8"
    assert found["clock of the server"]["state"] == "ok"


def test_a_table_for_people_names_faults_in_capitals(tmp_path: Path) -> None:
    done = run("doctor", "--database-url", f"sqlite:///{tmp_path}/none.db")
    assert done.returncode == 1
    [head, *lines] = done.stdout.splitlines()
    assert head.split() == ["CHECK", "STATE", "FOUND", "ADVICE"]
    assert any(line.startswith("database ") and "FAULT" in line for line in lines)
    assert not (tmp_path / "none.db").exists()


def test_an_empty_database_is_a_fault_and_stays_empty(postgres: Postgres) -> None:
    url = postgres.create_database("empty_for_doctor")
    found = checks(url, status=1)
    assert "schema" in faults(found)
    with psycopg.connect(url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)


def test_schemas_of_other_versions(db: Database, url: str) -> None:
    latest = migrations.all_steps()[-1].version
    sql = "UPDATE schema_migration SET version = :new WHERE version = :old"

    def renumber(tx: Any, old: int, new: int) -> None:
        tx.run(sql, old=old, new=new)

    db.write(renumber, latest, 9_999)
    assert "schema" in faults(checks(url, status=1))


def test_wrong_counts_and_a_clock_that_was_set_back_are_faults(db: Database, url: str) -> None:
    alice = db.write(accounts.create, name="alice")

    def record(tx: Any, drift: int, at: int) -> None:
        tx.run("DELETE FROM verification WHERE account_id = :account_id", account_id=alice.account_id)
        tx.run(
            "INSERT INTO verification (account_id, verified_at, drift) VALUES (:account_id, :at, :drift)",
            account_id=alice.account_id, at=at, drift=drift,
        )  # fmt: skip

    now = int(time.time())
    db.write(record, 2, now)
    found = checks(url, status=1)
    assert found["counts"]["state"] == "fault"
    assert found["counts"]["found"].startswith("2 counts wrong")
    db.write(record, 0, now + 3600)
    assert "clock" in faults(checks(url, status=1))
    db.write(record, 0, now - 30 * 86_400)
    assert checks(url, status=1 if "postgres" in url else 0)["counts"]["state"] == "warning"
    assert db.read(verify.last).drift == 0


def test_a_spool_nowhere_and_a_full_disk_are_faults(url: str, tmp_path: Path) -> None:
    assert "spool" in faults(checks(url, "--spool-dir", str(tmp_path / "no" / "such" / "place"), status=1))
    huge = str(1 << 60)
    found = checks(url, "--spool-dir", str(tmp_path), "--spool-free-bytes-min", huge, status=1)
    assert "disk of the spool" in faults(found)
    assert "507" in found["disk of the spool"]["advice"]


def test_a_file_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rollbook.db"
    assert run("account", "create", "default", "--database-url", url).returncode == 0
    (tmp_path / "rollbook.db").chmod(0o644)
    found = checks(url)
    assert found["permissions"]["state"] == "warning"
    assert "chmod 600" in found["permissions"]["advice"]
