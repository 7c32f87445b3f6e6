"""Idempotency-Key: the same request again has the same answer and no second effect."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.conftest import Live


def test_the_first_answer_is_replayed(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = api.post("/api/groups", json={"name": "Customers"}, headers=headers)
    again = api.post("/api/groups", json={"name": "Customers"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Content-Type"] == "application/json"
    assert api.get("/api/groups").json()["total"] == 1


def test_a_replay_looks_as_the_first_answer_did(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    prefer = {"Prefer": "dates=rfc3339"}
    first = api.post("/api/groups", json={"name": "Customers"}, headers=headers | prefer)
    assert first.headers["Preference-Applied"] == "dates=rfc3339"
    assert first.json()["data"]["created_at"].endswith("Z")
    for more in ({}, prefer):
        again = api.post("/api/groups", json={"name": "Customers"}, headers=headers | more)
        assert again.content == first.content
        assert "Preference-Applied" not in again.headers


def test_every_method_that_changes_can_be_replayed(api: httpx.Client) -> None:
    row = api.post("/api/groups", json={"name": "Customers"}).json()["data"]
    path = f"/api/groups/{row['id']}"
    for _ in range(2):
        changed = api.put(path, json={"name": "Buyers"}, headers={"Idempotency-Key": "put"})
        assert (changed.status_code, changed.json()["data"]["name"]) == (200, "Buyers")
    api.put(path, json={"name": "Others"})
    assert api.put(path, json={"name": "Buyers"}, headers={"Idempotency-Key": "put"}).status_code == 200
    assert api.get(path).json()["data"]["name"] == "Others"
    for _ in range(2):
        gone = api.delete(path, headers={"Idempotency-Key": "delete"})
        assert (gone.status_code, gone.content) == (204, b"")
    assert api.delete(path).status_code == 422


def test_a_refusal_is_replayed_too(api: httpx.Client) -> None:
    row = api.post("/api/groups", json={"name": "Customers"}).json()["data"]
    headers = {"Idempotency-Key": "k"}
    first = api.post("/api/groups", json={"name": "Customers"}, headers=headers)
    api.delete(f"/api/groups/{row['id']}")
    again = api.post("/api/groups", json={"name": "Customers"}, headers=headers)
    assert (first.status_code, again.status_code) == (422, 422)
    assert again.json()["message"] == "Contact group is already exists"
    assert api.get("/api/groups").json()["total"] == 0


def test_a_refused_change_leaves_nothing_behind(api: httpx.Client) -> None:
    """A change that first clears the old default list and then finds no list undoes the first part."""
    row = api.post("/api/groups", json={"name": "Customers", "default": True}).json()["data"]
    refused = api.put("/api/groups/99999999", json={"default": True}, headers={"Idempotency-Key": "k"})
    assert refused.status_code == 422
    assert api.get(f"/api/groups/{row['id']}").json()["data"]["default"] is True


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/groups", {"name": "Others"}),
        ("POST", "/api/groups?x=1", {"name": "Customers"}),
        ("PUT", "/api/groups/1", {"name": "Customers"}),
    ],
)
def test_the_same_key_with_another_request_is_refused(
    api: httpx.Client, method: str, path: str, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "k"}
    assert api.post("/api/groups", json={"name": "Customers"}, headers=headers).status_code == 201
    answer = api.request(method, path, json=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json() == {
        "message": "This Idempotency-Key was already used with a different request.",
        "errors": [],
    }
    assert api.get("/api/groups").json()["total"] == 1


def test_an_invalid_request_does_not_use_up_its_key(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    assert api.post("/api/groups", json={"name": "x"}, headers=headers).status_code == 422
    assert api.post("/api/groups", json={"name": "Customers"}, headers=headers).status_code == 201


def test_accounts_do_not_share_keys(live: Live) -> None:
    for _ in range(2):
        with live.client(live.new_key()) as client:
            answer = client.post(
                "/api/groups", json={"name": "Customers"}, headers={"Idempotency-Key": "shared"}
            )
            assert answer.status_code == 201
            assert "Idempotent-Replayed" not in answer.headers


def test_the_same_request_at_the_same_time_has_one_effect(live: Live) -> None:
    key = live.new_key()
    answers: list[httpx.Response] = []

    def send() -> None:
        with live.client(key) as client:
            answers.append(
                client.post("/api/groups", json={"name": "Customers"}, headers={"Idempotency-Key": "k"})
            )

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 16
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    with live.client(key) as client:
        assert client.get("/api/groups").json()["total"] == 1
