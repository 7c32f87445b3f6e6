"""Many clients at once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from tests.conftest import Live

CLIENTS = 64
REQUESTS = 20


def test_of_64_clients_exactly_one_wins_each_name(live: Live) -> None:
    key = live.new_key()
    shared = [f"shared {number}" for number in range(CLIENTS * REQUESTS // 10 // 4)]
    wanted: list[list[str]] = []
    dice = random.Random(7)
    for client in range(CLIENTS):
        own = [f"client {client} list {number}" for number in range(REQUESTS)]
        wanted.append([dice.choice(shared) if dice.random() < 0.1 else name for name in own])
    won: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    errors: list[str] = []

    def create(names: list[str]) -> None:
        with live.client(key) as http:
            for name in names:
                answer = http.post("/api/groups", json={"name": name, "default": name.endswith("0")})
                if answer.status_code == 201:
                    won[name] += 1
                elif answer.json()["message"] == "Contact group is already exists":
                    lost[name] += 1
                else:
                    errors.append(answer.text)

    threads = [threading.Thread(target=create, args=(names,)) for names in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = Counter(name for names in wanted for name in names)
    assert errors == []
    assert set(won.values()) == {1}
    assert set(won) == set(asked)
    assert {name: count - 1 for name, count in asked.items() if count > 1} == dict(lost)
    assert sum(lost.values()) > 20
    with live.client(key) as http:
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = http.get("/api/groups", params={"page[limit]": 500, "page[after]": after}).json()
            rows += page["data"]
            after = page["next"]
    assert Counter(row["name"] for row in rows) == won
    assert sum(row["default"] for row in rows) == 1
    assert "rror" not in live.service.log().replace('"errors"', "")
