"""The file under a service that is removed, replaced, moved, or reached by another name."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.servers import Service, run

SECONDS_MAX = 60


class Book(NamedTuple):
    """A service on a file of its own."""

    path: Path
    service: Service
    client: httpx.Client


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    path = tmp_path / "rollbook.db"
    service = Service(f"sqlite:///{path}", "--duplicate-window-seconds", "0")
    with service.client() as client:
        assert stop(client, 0).status_code == 200
        yield Book(path, service, client)
        service.stop()


def stop(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/api/stoplist/attach", json={"phones": [380000000000 + number], "types": ["sms"]})


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def is_refused(client: httpx.Client, number: int = 1) -> None:
    """Nothing is acknowledged any more, from the next request on; within a second nothing is answered."""
    ready, stopped = client.get("/readyz"), stop(client, number)
    for answer in (ready, stopped):
        assert answer.status_code == 503
        assert "was removed or replaced" in answer.json()["message"]
        assert answer.headers["Retry-After"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/api/groups").status_code == 503


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("harm", [remove, replace], ids=["removed", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(book: Book, suffix: str, harm: object) -> None:
    assert callable(harm)
    harm(beside(book.path, suffix))
    is_refused(book.client)
    assert "while it is in use. Nothing is stored" in book.service.log()
    assert book.service.stop() == 0


def test_a_first_write_after_the_file_went_is_refused_too(book: Book) -> None:
    book.path.unlink()
    assert stop(book.client, 1).status_code == 503
    assert book.service.stop() == 0
    again = run("serve", "--port", "0", "--create", "--database-url", f"sqlite:///{book.path}")
    assert again.returncode == 1
    assert "One was here:" in again.stderr
    assert not book.path.exists()


def test_the_log_says_within_seconds_that_the_file_went_though_nobody_asks(book: Book) -> None:
    book.path.rename(book.path.with_name("moved.db"))
    deadline = time.monotonic() + SECONDS_MAX
    while "is gone (No such file or directory)" not in book.service.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_same_file_may_come_back(book: Book) -> None:
    moved = book.path.with_name("moved.db")
    book.path.rename(moved)
    is_refused(book.client)
    moved.rename(book.path)
    assert book.client.get("/readyz").status_code == 200
    assert stop(book.client, 2).status_code == 200
    assert "is there again" in book.service.log()
    assert book.client.get("/api/stoplist").json()["total"] == 2


def test_a_replaced_file_is_served_after_a_restart(book: Book) -> None:
    kept = book.path.with_name("kept.db")
    assert run("account", "create", "other", "--database-url", f"sqlite:///{kept}").returncode == 0
    kept.replace(book.path)
    is_refused(book.client)
    assert book.service.stop() == 0
    for suffix in ("-wal", "-shm"):
        beside(book.path, suffix).unlink(missing_ok=True)
    again = Service(f"sqlite:///{book.path}", create=False)
    assert again.stop() == 0
    assert '"other"' in run("account", "list", "--json", "--database-url", f"sqlite:///{book.path}").stdout


@pytest.mark.parametrize("how", ["symbolic link", "hard link", "hard link elsewhere", "moved"])
def test_no_other_name_of_the_file_goes_round_the_lock(book: Book, how: str, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    if how == "symbolic link":
        other.symlink_to(book.path)
    elif how == "hard link":
        os.link(book.path, other)
    elif how == "hard link elsewhere":
        other = tmp_path / "elsewhere" / "rollbook.db"
        other.parent.mkdir()
        os.link(book.path, other)
    else:
        book.path.rename(other)
    done = run("serve", "--port", "0", "--database-url", f"sqlite:///{other}")
    assert done.returncode == 1
    assert "Another rollbook serves" in done.stderr
    listed = run("account", "list", "--database-url", f"sqlite:///{other}")
    if how.startswith("hard"):
        assert listed.returncode == 1
        assert "under another name of the same file (a hard link)" in listed.stderr
        assert not beside(other, "-wal").exists()
    else:
        assert listed.returncode == 0


def test_a_link_to_the_file_that_is_pointed_elsewhere_is_seen(tmp_path: Path) -> None:
    link, path = tmp_path / "rollbook.db", tmp_path / "real" / "book.db"
    path.parent.mkdir()
    assert run("migrate", "--database-url", f"sqlite:///{path}").returncode == 0
    link.symlink_to(path)
    service = Service(f"sqlite:///{link}")
    assert beside(path, ".lock").exists()
    with service.client() as client:
        assert stop(client, 1).status_code == 200
        other = tmp_path / "other.db"
        assert run("migrate", "--database-url", f"sqlite:///{other}").returncode == 0
        link.unlink()
        link.symlink_to(other)
        is_refused(client)
    assert service.stop() == 0


def test_what_the_service_keeps_is_for_its_user_only(book: Book) -> None:
    file = {"file": ("a.csv", b"phone\n+380000000001\n")}
    started = book.client.post("/api/imports", files=file)
    assert started.status_code == 202
    kept = list(book.path.parent.iterdir()) + list(book.service.spool.rglob("*"))
    assert {path.name for path in kept} >= {
        "rollbook.db",
        "rollbook.db-wal",
        "rollbook.db-shm",
        "rollbook.db.lock",
    }
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in kept if path.exists()} == {
        path.name: "0o0" for path in kept if path.exists()
    }
