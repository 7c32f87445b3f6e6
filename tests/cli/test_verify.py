"""`rollbook verify`: what it says, how it exits, and what the service shows of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import httpx

from rollbook import accounts, contacts, lists
from rollbook.contacts import NewContact
from rollbook.db import Database
from rollbook.lists import NewList
from tests.conftest import Live, opened
from tests.servers import run


def broken(db: Database, name: str) -> int:
    """An account with a list of two contacts, that says it has five."""
    account_id = db.write(accounts.create, name=name).account_id
    list_id: int = db.write(lists.create, account_id, NewList("Customers")).id
    for phone in (380000000001, 380000000002):
        db.write(contacts.create, account_id, NewContact(phone, (list_id,)))
    db.write(
        lambda tx: tx.run(
            "UPDATE contact_list SET items = 5 WHERE account_id = :account_id", account_id=account_id
        )
    )
    return list_id


def test_a_right_database_is_said_to_be_right(db: Database, url: str) -> None:
    db.write(accounts.create, name="alice")
    done = run("verify", "--database-url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "All counts in 1 account are correct.\n"
    done = run("verify", "--json", "--database-url", url)
    assert json.loads(done.stdout) == {"accounts": 1, "drift": [], "fixed": False}


def test_drift_is_printed_and_exits_with_1_until_it_is_mended(db: Database, url: str) -> None:
    list_id = broken(db, "alice")
    done = run("verify", "--database-url", url)
    assert done.returncode == 1
    assert re.search(rf"^alice +{list_id} +Customers +items +5 +2$", done.stdout, re.MULTILINE)
    assert "--fix" in done.stdout
    done = run("verify", "--json", "--database-url", url)
    assert done.returncode == 1
    assert json.loads(done.stdout)["drift"] == [
        {
            "account": "alice",
            "sandbox": False,
            "list_id": list_id,
            "about": "Customers",
            "count": "items",
            "kept": 5,
            "actual": 2,
        }
    ]
    done = run("verify", "--fix", "--database-url", url)
    assert done.returncode == 1
    assert "Fixed." in done.stdout
    assert run("verify", "--database-url", url).returncode == 0


def test_one_account_can_be_verified_alone(db: Database, url: str) -> None:
    broken(db, "alice")
    db.write(accounts.create, name="bob")
    assert run("verify", "--account", "bob", "--database-url", url).returncode == 0
    assert run("verify", "--account", "alice", "--database-url", url).returncode == 1
    done = run("verify", "--account", "nobody", "--database-url", url)
    assert done.returncode == 1
    assert "There is no account 'nobody'." in done.stderr


def test_the_service_shows_what_was_last_verified(live: Live, api: httpx.Client) -> None:
    def gauge(name: str) -> float:
        [value] = re.findall(rf"^{name} ([\d.e+]+)$", api.get("/metrics").text, re.MULTILINE)
        return float(value)

    assert gauge("rollbook_verified_drift") == 0
    with opened(live.service.database_url) as database:
        broken(database, "an account that is broken")
    assert run("verify", "--database-url", live.service.database_url).returncode == 1
    eventually(lambda: gauge("rollbook_verified_drift") == 1)
    assert abs(gauge("rollbook_verified_timestamp_seconds") - time.time()) < 60
    run("verify", "--fix", "--database-url", live.service.database_url)
    eventually(lambda: gauge("rollbook_verified_drift") == 0)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
