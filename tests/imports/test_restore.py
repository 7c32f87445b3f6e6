"""What lies in the spool is never that of another import, whatever became of the database; and the documented way to
back up and restore works."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rollbook import accounts, imports
from rollbook.db import Transaction
from rollbook.imports import Import, process
from rollbook.imports.minder import Minder
from rollbook.imports.order import ImportLimits
from rollbook.imports.spool import Spool
from tests.calls import ended, imported
from tests.conftest import opened
from tests.imports.desk import Desk, csv_of
from tests.servers import Postgres, Service, environment, rollbook, run

HOW_TO = (Path(__file__).parents[2] / "docs/how-to/operate.md").read_text()


def forgotten(desk: Desk, import_: Import) -> None:
    """As a database from before that import, which gives its id again."""

    def forget(tx: Transaction, account_id: int) -> None:
        for table, column in (("import_job", "id"), ("import_chunk", "import_id")):
            tx.run(
                f"DELETE FROM {table} WHERE account_id = :account_id AND {column} = :id",
                account_id=account_id,
                id=import_.id,
            )

    desk.db.write(forget, desk.account_id)


def given_again(desk: Desk, import_: Import, id: int) -> Import:
    def change(tx: Transaction, account_id: int) -> Import:
        tx.run(
            "UPDATE import_job SET id = :new WHERE account_id = :account_id AND id = :id",
            account_id=account_id,
            id=import_.id,
            new=id,
        )
        return imports.get(tx, account_id, id)

    return desk.db.write(change, desk.account_id)


def test_an_id_that_is_given_again_shows_nothing_of_the_import_that_had_it(desk: Desk) -> None:
    older = desk.done("phone\ngarbage\n+15550100123\n", list="Customers")
    assert "garbage" in desk.rejects(older)
    forgotten(desk, older)
    again = given_again(desk, desk.ask(csv_of(range(3)), list="Customers"), older.id)
    assert desk.rejects(again) == ""
    done = desk.work(again)
    assert (done.state, done.report.created) == ("done", 3)
    assert "garbage" not in desk.rejects(done)


def test_folders_of_no_import_are_thrown_away_and_others_kept(desk: Desk) -> None:
    older, kept = desk.done(csv_of(range(3))), desk.done(csv_of(range(3)))
    forgotten(desk, older)
    for import_ in (older, kept):
        os.utime(desk.spool.folder(import_.folder), (0, 0))
    process.forget_old(desk.db, desk.spool, keep_days=30)
    assert not desk.spool.folder(older.folder).exists()
    assert desk.spool.folder(kept.folder).exists()


def test_an_import_from_before_folders_had_names_goes_on(desk: Desk) -> None:
    import_ = desk.ask(csv_of(range(3)), list="Customers")
    name = f"{desk.account_id}-{import_.id}"
    desk.spool.folder(import_.folder).rename(desk.spool.folder(name))
    import_ = desk.db.write(
        lambda tx, _: imports.change(tx, import_, folder=name, spool=None), desk.account_id
    )
    assert desk.work(import_).state == "done"


def _in_state(tx: Transaction, account_id: int, *, import_: Import, state: str) -> Import:
    return imports.change(tx, import_, state=state)


def looked(desk: Desk, url: str, import_: Import, spool: Spool | None = None) -> Import:
    minder = Minder(desk.db, url, spool or desk.spool, ImportLimits())
    minder.look()
    minder.close()
    return desk.db.read(imports.get, desk.account_id, import_.id)


def test_an_import_whose_folder_is_gone_fails_with_a_sentence(desk: Desk, url: str) -> None:
    for state, end in (("reading", "failed"), ("merging", "failed"), ("undoing", "done")):
        import_ = desk.ask(csv_of(range(3)), list="Customers")
        shutil.rmtree(desk.spool.folder(import_.folder))
        desk.db.write(partial(_in_state, import_=import_, state=state), desk.account_id)
        found = looked(desk, url, import_)
        assert (found.state, found.deaths) == (end, 0)
        assert "not in the spool any more" in str(found.error)
        assert desk.rejects(found) == ""


def test_an_import_in_a_spool_elsewhere_is_left_to_whoever_has_it(
    desk: Desk, url: str, tmp_path: Path
) -> None:
    mine, other = desk.ask(csv_of(range(3)), list="Mine"), Spool(tmp_path / "other")
    other.point("f" * 32, tmp_path / "x")
    assert looked(desk, url, mine, other).state == "waiting"
    assert other.id != desk.spool.id != ""


def test_a_stage_that_is_gone_is_no_riddle(desk: Desk) -> None:
    import_ = desk.ask(csv_of(range(3)), list="Customers")
    desk.db.write(lambda tx, _: imports.change(tx, import_, state="merging", rows_staged=3), desk.account_id)
    assert "not in the spool any more" in str(desk.work(import_).error)


def commands(*titles: str) -> list[str]:
    """The commands of the how-to under some headings."""
    found = []
    for title in titles:
        section = re.split(r"^## ", HOW_TO.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]
        found += re.findall(r"^\$ (.+)$", section, re.MULTILINE)
        assert found
    return found


def do(lines: list[str], folder: Path, replaced: dict[str, str], path: str = "") -> None:
    """Run commands of the how-to in a folder."""
    for line in lines:
        for old, new in replaced.items():
            line = line.replace(old, new)
        command = shlex.split(line)
        program = {"rollbook": rollbook(), "python3": [sys.executable]}.get(command[0], [command[0]])
        if program[0] == "sqlite3" and not shutil.which("sqlite3"):
            continue  # the how-to says what to do without it
        done = subprocess.run(
            [*program, *command[1:]],
            cwd=folder,
            env=environment({"PATH": f"{path}:{os.environ['PATH']}"}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)


@contextlib.contextmanager
def load(service: Service, key: str) -> Iterator[None]:
    """Somebody creates lists all the time."""
    over = threading.Event()

    def create() -> None:
        number = 0
        with service.client(key) as api:
            while not over.is_set():
                number += 1
                api.post("/api/groups", json={"name": f"Under load {number}"}).raise_for_status()

    thread = threading.Thread(target=create)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.not_on_citus("run the programs of the server, such as pg_dump")
@pytest.mark.timeout(300)
def test_a_backup_under_load_is_restored_as_documented(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    flags = ("--spool-dir", str(tmp_path / "spool"), "--duplicate-window-seconds", "0")
    if engine == "sqlite":
        url = restored = f"sqlite:///{tmp_path}/rollbook.db"
        backup, restore, replaced, path = commands("Back up SQLite"), commands("Restore SQLite"), {}, ""
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create_database("to_back_up")
        restored = server.url("rollbook_restored")
        found = commands("Back up and restore PostgreSQL")
        backup, restore, path = found[:1], found[1:], str(server.bin)
        replaced = {
            f"postgresql://rollbook@localhost/{name}": server.url(real)
            for name, real in (
                ("rollbook_restored", "rollbook_restored"),
                ("rollbook", "to_back_up"),
            )
        }
        replaced["--owner rollbook"] = f"--owner postgres --host {server.folder} --username postgres"
    service = Service(url, *flags)
    with opened(url) as db:
        db.write(accounts.create, name="alice")
        key = db.write(accounts.create_key, account="alice").key
    with service.client(key) as api:
        before = ended(api, imported(api, csv_of(range(50)), list="Customers")["id"])
        assert before["state"] == "done"
        with load(service, key):
            do(backup, tmp_path, replaced, path)
        after = ended(
            api, imported(api, "phone\nsomebody else\n" + csv_of(range(60, 70)), list="Customers")["id"]
        )
        assert "somebody else" in api.get(f"/api/imports/{after['id']}/rejects").text
    service.stop()
    do(restore, tmp_path, replaced, path)
    service = Service(restored, *flags)
    with service.client(key) as api:
        assert api.get(f"/api/imports/{before['id']}").json()["data"]["state"] == "done"
        assert api.get(f"/api/imports/{after['id']}").is_error
        again = ended(api, imported(api, "phone\n1\n" + csv_of(range(80, 90)), list="Customers")["id"])
        assert again["state"] == "done"
        assert engine == "postgresql" or again["id"] == after["id"]  # which there come in blocks
        assert "somebody else" not in api.get(f"/api/imports/{again['id']}/rejects").text
        found = api.get(f"/api/groups/{again['list_id']}").json()["data"]
        assert found["items"] == 60
    assert service.stop() == 0
    assert run("verify", "--database-url", restored).returncode == 0
