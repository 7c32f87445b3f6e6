"""`rollbook stops`, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollbook import accounts, contacts
from rollbook.contacts import NewContact
from tests.calls import PHONE
from tests.conftest import opened, with_account
from tests.servers import run


@pytest.fixture
def book(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A book; the environment names it."""
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(url))
    return url


def told(*arguments: str) -> list[tuple[Any, ...]]:
    done = run("stops", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [(row["phone"], row["result"], row["channels"]) for row in json.loads(done.stdout)]


def test_phones_are_stopped_and_let_go(book: str) -> None:
    one, two = PHONE + 1, PHONE + 2
    assert told("add", f"+{one}", str(two), "--channels", "sms,viber") == [
        (one, "created", ["sms", "viber"]),
        (two, "created", ["sms", "viber"]),
    ]
    assert told("add", str(one), str(one), "--channels", "rcs") == [
        (one, "updated", ["sms", "viber", "rcs"]),
        (one, "unchanged", ["sms", "viber", "rcs"]),
    ]
    assert told("release", str(one), "--channels", "sms,rcs") == [(one, "released", ["viber"])]
    assert told("release", str(two), str(PHONE + 3)) == [
        (two, "released", []),
        (PHONE + 3, "not_stopped", []),
    ]
    bad = run("stops", "add", str(PHONE + 4), "12", "--channels", "sms")
    assert (bad.returncode, "The phone '12' must have 9 to 15 digits" in bad.stderr) == (2, True)
    table = run("stops", "release", str(one)).stdout.splitlines()
    assert table == ["PHONE         RESULT    STOPPED ON", f"{one}  released  none"]
    exported = run("export", "--stop-list").stdout.splitlines()
    assert len(exported) == 1
    assert run("verify").returncode == 0


@pytest.mark.parametrize("arguments", [["add", "380000000001"], ["add", "--channels", "sms"], ["release"]])
def test_what_is_missing_is_said(tmp_path: Path, arguments: list[str]) -> None:
    done = run("stops", *arguments, "--database-url", f"sqlite:///{tmp_path}/x.db")
    assert (done.returncode, "Missing" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_whatever_the_book_holds_can_be_stopped_by_hand(book: str) -> None:
    unknown = 999123456789
    with opened(book) as database:
        account_id = database.read(accounts.named, "alice").account_id
        database.write(contacts.create, account_id, NewContact(unknown))
    bad = run("stops", "add", str(PHONE), str(unknown + 1), "--channels", "sms")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert f"The phone '{unknown + 1}' has a country code that does not exist." in bad.stderr
    assert run("export", "--stop-list").stdout.count("\n") == 1
    assert told("add", f"+{unknown}", "--channels", "sms") == [(unknown, "created", ["sms"])]
    assert told("release", str(unknown)) == [(unknown, "released", [])]
