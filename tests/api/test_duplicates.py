"""The guard against the same request again and again."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import pytest

from rollbook.api import guard
from rollbook.api.errors import ApiError
from rollbook.api.guard import DuplicateGuard
from tests.servers import Service


def test_the_fifth_repeat_within_a_second_is_refused(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", "--duplicate-window-seconds", "30")
    with service.client() as client:
        answers = [client.post("/api/groups", json={"name": "Customers"}) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [201, 422, 422, 422, 422, 429, 429]
        assert answers[-1].json() == {"message": "Too many duplicate request detected", "errors": []}
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 31
        assert client.post("/api/groups", json={"name": "Others"}).status_code == 201
        for number in range(8):
            headers = {"Idempotency-Key": "safe"}
            answer = client.post("/api/groups", json={"name": "Retried"}, headers=headers)
            assert answer.status_code == 201, number
        path = f"/api/groups/{answers[0].json()['data']['id']}"
        assert [client.put(path, json={"name": "New"}).status_code for _ in range(8)] == [200] * 8
        assert client.get("/api/groups").json()["total"] == 3
    assert service.stop() == 0


def refused(guarded: DuplicateGuard, request: Hashable, now: float) -> bool:
    try:
        guarded.check(request, now)
    except ApiError as error:
        return error.status == 429
    return False


def test_the_window_ends() -> None:
    guarded = DuplicateGuard(1.0, 5)
    assert [refused(guarded, "a", 10 + n / 100) for n in range(7)] == [False] * 5 + [True] * 2
    assert not refused(guarded, "b", 10.1)
    assert not refused(guarded, "a", 11.01)
    assert [refused(guarded, "a", 11.02) for _ in range(5)] == [False] * 4 + [True]


def test_no_window_no_guard() -> None:
    assert not any(refused(DuplicateGuard(0, 1), "a", 1) for _ in range(100))


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ENTRIES_MAX", 100)
    guarded = DuplicateGuard(1.0, 5)
    for number in range(1000):
        assert not refused(guarded, number, number / 1000)
        assert len(guarded._seen) <= 101
