"""Killed at any instant, an import goes on by itself and ends as if nothing had happened.

The long run: KILLS=20 KILL_ROWS=300000 pytest tests/imports/test_killed.py
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollbook import accounts, imports, stop_list, verify
from rollbook.db import Database, Transaction
from tests.calls import PHONE, ended, imported
from tests.conftest import opened
from tests.imports.desk import _book, _counts
from tests.length import sized
from tests.servers import Service

KILLS = sized(1, 5, "KILLS")
ROWS = sized(10_000, 20_000, "KILL_ROWS")
WORKER_SECONDS_MAX = 60


class _Kept(msgspec.Struct):
    items: int
    members: int


def _file(rows: int) -> str:
    """Every tenth row is a duplicate, every twentieth garbage."""
    lines = ["phone,City"]
    for number in range(rows):
        phone = f"+{PHONE + number - (number % 10 == 9)}" if number % 20 else "garbage"
        lines.append(f"{phone},City {number % 7}")
    return "\n".join(lines) + "\n"


def _kept(tx: Transaction, account_id: int) -> list[_Kept]:
    return tx.all(
        _Kept,
        """
        SELECT items, (
            SELECT count(*) FROM membership WHERE membership.account_id = :account_id
            AND membership.list_id = contact_list.id
        ) AS members FROM contact_list WHERE account_id = :account_id
        """,
        account_id=account_id,
    )


@contextlib.contextmanager
def _watched(database: Database, account_id: int) -> Iterator[list[_Kept]]:
    """Looks all the time whether the count of a list is its members; what it saw."""
    seen: list[_Kept] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.extend(database.read(_kept, account_id))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _workers(service: Service) -> list[int]:
    """The processes that the service started."""
    pid = service.process.pid
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _outcome(database: Database, account_id: int, import_: Any) -> Any:
    assert database.read(verify.recount, account_id) == []
    return (
        database.read(_book, account_id),
        database.read(_counts, account_id),
        import_["counts"],
        import_["rows_read"],
    )


@pytest.mark.sized
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("whom", ["worker", "service"])
def test_an_import_that_is_killed_goes_on_and_ends_as_an_undisturbed_one(
    url: str, tmp_path: Path, whom: str
) -> None:
    flags = ("--spool-dir", str(tmp_path / "spool"), "--duplicate-window-seconds", "0")
    text = _file(ROWS)
    killed_in: list[str] = []
    service = Service(url, *flags)
    with opened(url) as database:
        undisturbed: Any = None
        seconds = 0.0
        number = 0
        while len(killed_in) < KILLS:
            number += 1
            account = database.write(accounts.create, name=f"account {number}")
            key = database.write(accounts.create_key, account=account.name).key
            stops = [PHONE + each for each in range(0, ROWS, ROWS // 100)]
            database.write(stop_list.add, account.account_id, phones=stops, channels=["sms"])
            with _watched(database, account.account_id) as seen:
                with service.client(key) as api:
                    import_ = imported(api, text, list="Customers", create_fields=True)
                started = time.monotonic()
                if undisturbed is not None:
                    time.sleep(random.uniform(0, seconds))
                    state = database.read(imports.get, account.account_id, import_["id"]).state
                    if whom == "service":
                        service.kill()
                        service = Service(url, *flags)
                    else:
                        for worker in _workers(service):
                            os.kill(worker, signal.SIGKILL)
                    if state != "done":
                        killed_in.append(state)
                with service.client(key) as api:
                    import_ = ended(api, import_["id"])
            assert import_["state"] == "done", import_
            assert all(each.items == each.members for each in seen)
            outcome = _outcome(database, account.account_id, import_)
            if undisturbed is None:
                undisturbed, seconds = outcome, time.monotonic() - started
            assert outcome == undisturbed
    print(f"killed the {whom} while it was {killed_in}")
    assert service.stop() == 0
