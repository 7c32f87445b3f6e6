"""Work that hangs, dies, or eats all memory ends with a reason; and one account's imports do not hold up others."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rollbook import accounts, imports
from rollbook.accounts import Account
from rollbook.db import Database, Transaction
from rollbook.errors import NodeAway, Unavailable
from rollbook.imports import Import, Named, losses
from rollbook.imports.minder import Minder
from rollbook.imports.order import ImportLimits
from rollbook.imports.spec import ImportSpec
from tests.conftest import opened, with_account
from tests.imports.desk import Desk, csv_of
from tests.servers import begun, rollbook

SECONDS_MAX = 60.0
HUNG = ImportLimits(stall_seconds=0.01)


def until(found: Callable[[], Any], step: Callable[[], object] = lambda: None) -> Any:
    """Wait until there is something, and give it."""
    deadline = time.monotonic() + SECONDS_MAX
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come to this"
        step()
        time.sleep(0.02)
    return value


@pytest.fixture
def minder(desk: Desk, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Minder]]:
    """Makes one, which is closed in the end."""
    monkeypatch.setattr("rollbook.imports.minder.MOURN_SECONDS", 0.0)
    made: list[Minder] = []

    def make(*, workers_max: int = 1, **limits: Any) -> Minder:
        made.append(Minder(desk.db, url, desk.spool, ImportLimits(**limits), workers_max=workers_max))
        return made[-1]

    yield make
    for each in made:
        for pid in each.working().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        each.close()


@contextlib.contextmanager
def held(
    db: Database, account_id: int, then: Callable[[Transaction], object] = lambda _: None
) -> Iterator[None]:
    """Nobody else can change anything of the account meanwhile: its import cannot get further.

    Args:
        then: is done in the end, before anybody else can.
    """
    begins, over = threading.Event(), threading.Event()

    def hold(tx: Transaction, account_id: int) -> None:
        accounts.lock(tx, account_id)
        begins.set()
        over.wait(SECONDS_MAX)
        then(tx)

    thread = threading.Thread(target=db.write, args=(hold, account_id))
    thread.start()
    try:
        assert begins.wait(SECONDS_MAX)
        yield
    finally:
        over.set()
        thread.join()


def named(import_: Import) -> Named:
    return imports.name_of(import_)


def now(desk: Desk, import_: Import) -> Import:
    return desk.db.read(imports.get, import_.account_id, import_.id)


def changed(desk: Desk, import_: Import, **values: Any) -> Import:
    return desk.db.write(
        lambda tx, account_id: imports.change(tx, now(desk, import_), **values), import_.account_id
    )


def working(desk: Desk, minder: Minder, import_: Import) -> int:
    """The process that works on an import, from now on."""
    return int(until(lambda: minder.working().get(named(import_)), minder.look))


def hang(
    desk: Desk, minder: Minder, import_: Import, then: Callable[[Transaction], object] = lambda _: None
) -> int:
    """Make the process that works on an import hang: it takes no signals and tells nothing."""
    with held(desk.db, import_.account_id, then):
        pid = working(desk, minder, import_)
        os.kill(pid, signal.SIGSTOP)
    return pid


def has_died(desk: Desk, import_: Import, times: int) -> bool:
    return now(desk, import_).deaths == times


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_imports_go_through_a_worker_that_leaves_when_there_are_no_more(
    desk: Desk, minder: Callable[..., Minder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollbook.imports.minder.IDLE_SECONDS", 0.1)
    one = minder()
    import_, further = (
        desk.ask(csv_of(range(10)), list="Customers"),
        desk.ask(csv_of(range(20)), list="Customers"),
    )
    pids: set[int] = set()
    while not now(desk, further).ended:
        one.look()
        pids.update(one.working().values())
        time.sleep(0.01)
    assert [now(desk, each).state for each in (import_, further)] == ["done", "done"]
    assert len(desk.book()["contacts"]) == 20
    assert len(pids) == 1
    until(lambda: all(map(is_gone, pids)), one.look)
    assert not one.look()


def test_a_worker_that_hangs_is_ended_and_the_third_time_its_import_has_failed(
    desk: Desk, minder: Callable[..., Minder], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    one = minder()
    for deaths in (1, 2, 3):
        pid = hang(desk, one, import_)
        with monkeypatch.context() as context:
            context.setattr(one, "_limits", HUNG)
            until(partial(is_gone, pid), one.look)
            until(partial(has_died, desk, import_, deaths), one.look)
    found = now(desk, import_)
    assert found.state == "failed"
    assert "died 3 times at the same place" in str(found.error)
    assert "it reported no progress for 0.01 s (--import-stall-seconds)" in str(found.error)
    assert desk.book()["contacts"] == {}


def test_an_import_whose_worker_hangs_can_be_cancelled(
    desk: Desk, minder: Callable[..., Minder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollbook.imports.minder.CANCEL_SECONDS", 0.1)
    for state in ("waiting", "reading"):
        import_ = desk.ask(csv_of(range(10)), list="Customers")
        one = minder()

        def cancel(tx: Transaction, import_: Import = import_, state: str = state) -> None:
            imports.change(tx, imports.get(tx, import_.account_id, import_.id), state=state)
            imports.cancel(tx, import_.account_id, import_.id)

        pid = hang(desk, one, import_, cancel)
        until(partial(is_gone, pid), one.look)
        one.look()
        assert (now(desk, import_).state, now(desk, import_).deaths) == ("cancelled", 0)
    assert desk.book()["contacts"] == {}


def test_a_worker_that_is_killed_is_followed_by_another_one(
    desk: Desk, minder: Callable[..., Minder]
) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    one = minder()
    for _ in range(2):
        with held(desk.db, desk.account_id):
            os.kill(working(desk, one, import_), signal.SIGKILL)
        until(lambda: now(desk, import_).deaths or now(desk, import_).ended, one.look)
    until(lambda: now(desk, import_).ended, one.look)
    assert now(desk, import_).state == "done"


def test_what_took_too_long_is_not_tried_again(desk: Desk, minder: Callable[..., Minder]) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    one = minder(cpu_seconds_max=1000)
    with held(desk.db, desk.account_id):
        os.kill(working(desk, one, import_), signal.SIGXCPU)
    until(lambda: now(desk, import_).ended, one.look)
    assert "it took more than 1000 s of a processor (--import-cpu-seconds-max)" in str(
        now(desk, import_).error
    )


def test_deaths_count_only_without_a_step_forward_between_them(desk: Desk) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    import_ = changed(desk, import_, state="merging", rows_staged=100)

    def died(times: int) -> Import:
        for _ in range(times):
            found = desk.db.write(losses.died, import_.account_id, import_.id, "it was ended")
        return found

    assert died(2).deaths == 2
    for reached in (10, 20, 30):
        changed(desk, import_, reached=reached)
        assert (died(2).deaths, now(desk, import_).state) == (2, "merging")
    assert died(1).state == "failed"
    assert died(1).deaths == 3


def test_an_end_in_order_is_no_death(desk: Desk, minder: Callable[..., Minder]) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    for _ in range(3):
        one = minder()
        with held(desk.db, desk.account_id):
            working(desk, one, import_)
            closing = threading.Thread(target=one.close)
            closing.start()
        closing.join()
    assert now(desk, import_).deaths == 0
    assert now(desk, import_).state in (*imports.UNDERWAY, "done")


def test_a_worker_does_not_wait_for_a_node_that_is_away(
    desk: Desk, minder: Callable[..., Minder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves its import to whoever finds the node back, and that counts as no death."""
    monkeypatch.setattr("rollbook.imports.minder.NODE_AWAY_SECONDS", 0.0)
    monkeypatch.setattr("rollbook.imports.minder.END_SECONDS", 0.1)
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    one = minder()

    def away(*_: object) -> Import:
        raise NodeAway

    with held(desk.db, import_.account_id):
        pid = working(desk, one, import_)
        with monkeypatch.context() as context:
            context.setattr(imports, "get", away)
            until(partial(is_gone, pid), one.look)
    until(lambda: now(desk, import_).ended, one.look)
    assert (now(desk, import_).state, now(desk, import_).deaths) == ("done", 0)


def test_while_others_wait_an_account_has_one_worker(
    desk: Desk, bob: Account, tmp_path: Path, minder: Callable[..., Minder]
) -> None:
    one, other = minder(workers_max=2), Desk(desk.db, bob, tmp_path)
    many = [desk.ask(csv_of(range(10)), list=f"List {number}") for number in range(4)]
    with held(desk.db, desk.account_id):
        until(lambda: len(one.working()) == 2, one.look)
        mine = one.working()
        assert set(mine) == set(map(named, many[:2]))  # nobody else waited
        for pid in mine.values():
            os.kill(pid, signal.SIGSTOP)
    late = other.ask(csv_of(range(10)), list="Customers")
    one.look()
    os.kill(mine[named(many[1])], signal.SIGCONT)
    until(lambda: now(desk, late).ended, one.look)
    assert {now(desk, import_).ended for import_ in (many[0], *many[2:])} == {
        False
    }  # its first one is at work
    os.kill(mine[named(many[0])], signal.SIGCONT)
    until(lambda: all(now(desk, import_).ended for import_ in many), one.look)
    assert {now(desk, import_).state for import_ in [*many, late]} == {"done"}
    assert {now(desk, import_).deaths for import_ in [*many, late]} == {0}


def test_an_account_with_many_imports_does_not_hide_those_of_others(
    desk: Desk, bob: Account, db: Database
) -> None:
    def ask(tx: Transaction, account_id: int) -> list[Import]:
        spec = ImportSpec(list="Customers")
        return [imports.create(tx, account_id, spec=spec, source="x", size_bytes=0) for _ in range(1_200)]

    first = db.write(ask, desk.account_id)[0]
    late = db.write(imports.create, bob.account_id, spec=ImportSpec(list="Few"), source="x", size_bytes=0)
    assert db.read(imports.unfinished)[:2] == [named(first), named(late)]


def test_a_command_whose_worker_hangs_can_be_cancelled(tmp_path: Path) -> None:
    url, path = with_account(f"sqlite:///{tmp_path}/rollbook.db"), tmp_path / "contacts.csv"
    path.write_text(csv_of(range(200_000)))
    command = rollbook("import", str(path), "--list", "Customers", "--database-url", url)
    with (
        begun(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
        opened(url) as db,
    ):
        found = until(lambda: db.read(imports.unfinished))[0]
        with held(db, found.account_id):
            pid = int(until(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()))
            os.kill(pid, signal.SIGSTOP)
        db.write(imports.cancel, found.account_id, found.id)
        out, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 1
    assert "cancelled" in out
    assert is_gone(pid)


def test_an_import_that_takes_too_much_memory_fails_with_the_reason(
    desk: Desk, minder: Callable[..., Minder]
) -> None:
    made = io.BytesIO()
    parquet.write_table(pa.table({"phone": pa.array(["x" * 150_000_000])}), made, compression="zstd")
    import_ = desk.ask(made.getvalue(), "one cell.parquet", list="Customers")
    one = minder(memory_bytes_max=300_000_000)
    until(lambda: now(desk, import_).ended, one.look)
    assert (now(desk, import_).state, now(desk, import_).deaths) == ("failed", 0)
    assert "takes more memory than a worker may have" in str(now(desk, import_).error)


def test_a_command_waits_for_a_database_that_is_away(
    desk: Desk, minder: Callable[..., Minder], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = desk.ask(csv_of(range(10)), list="Customers")
    read, times = desk.db.read, iter(range(1_000_000))

    def away(*args: Any) -> Any:
        if next(times) in (0, 2, 3):
            raise Unavailable("The database is away.")
        return read(*args)

    monkeypatch.setattr(desk.db, "read", away)
    states: list[str] = []
    found = minder().run(import_, threading.Event(), lambda import_: states.append(import_.state))
    assert found is not None
    assert (found.state, found.report.created, states[-1]) == ("done", 10, "done")
