"""A large list is gone at once; the service removes what it held, also after a crash."""

from __future__ import annotations

import time
from typing import Any

import httpx

from rollbook import leftovers
from rollbook.db import Transaction
from tests.conftest import Live, cli, opened
from tests.servers import Service, run

MEMBERS = leftovers.CHUNK_ROWS * 2 + 10


def filled(api: httpx.Client, members: int) -> int:
    """A list of so many contacts."""
    list_id: int = api.post("/api/groups", json={"name": "Many"}).json()["data"]["id"]
    phones = [380000000000 + number for number in range(members)]
    for start in range(0, members, 10_000):
        chosen = {"phones": phones[start : start + 10_000]}
        assert api.post(f"/api/groups/{list_id}/contacts", json=chosen).status_code == 200
    return list_id


def left(tx: Transaction, list_id: int) -> int:
    sql = "SELECT count(*) FROM membership WHERE list_id = :list_id"
    return tx.one(int, sql, list_id=list_id) or 0


def test_a_large_list_is_gone_at_once_and_its_members_soon(live: Live, api: httpx.Client) -> None:
    list_id = filled(api, MEMBERS)
    assert api.get(f"/api/groups/{list_id}").json()["data"]["items"] == MEMBERS
    assert api.delete(f"/api/groups/{list_id}").status_code == 204
    gone: Any = {"message": "Contact group is not found", "errors": []}
    assert api.get(f"/api/groups/{list_id}").json() == gone
    search = f"search?search[field]=group_id&search[value]={list_id}"
    for path in (f"/api/contacts?groups[]={list_id}", f"/api/contacts/{search}"):
        assert api.get(path).json()["data"] == []
    row = api.get("/api/contacts").json()
    assert row["total"] == MEMBERS
    assert row["data"][0]["groups"] == []
    assert api.post("/api/groups", json={"name": "Many"}).status_code == 201
    with opened(live.service.database_url) as database:
        deadline = time.monotonic() + 30
        while database.read(left, list_id):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while database.read(leftovers.some):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert run("verify", "--database-url", live.service.database_url).returncode == 0


def test_what_a_crash_left_is_removed_after_the_next_start(url: str) -> None:
    service = Service(url)
    key = service.key
    if not key:
        cli(url, "account", "create", "default")
        key = str(cli(url, "key", "create", "default")["key"])
    with service.client(key) as api:
        list_id = filled(api, MEMBERS)
        assert api.delete(f"/api/groups/{list_id}").status_code == 204
    service.kill()
    assert run("verify", "--database-url", url).returncode == 0
    again = Service(url)
    with opened(url) as database:
        deadline = time.monotonic() + 30
        while database.read(left, list_id):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert again.stop() == 0
