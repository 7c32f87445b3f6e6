"""Numbers without a book on the wire: `POST /api/numbers/check`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import Live

PATH = "/api/numbers/check"
KEYS = [
    "number",
    "valid",
    "possible",
    "reason",
    "message",
    "phone",
    "region",
    "type",
    "e164",
    "international",
    "national",
    "carrier",
    "time_zones",
]


def test_numbers_are_told_about_in_their_order(api: httpx.Client) -> None:
    answer = api.post(PATH, json={"numbers": ["(050) 765-43-21", 442079460018, "12"], "region": "UA"})
    assert answer.status_code == 200
    first, second, third = answer.json()["data"]
    assert list(first) == KEYS
    assert first == {
        "number": "(050) 765-43-21",
        "valid": True,
        "possible": True,
        "reason": None,
        "message": None,
        "phone": 380507654321,
        "region": "UA",
        "type": "mobile",
        "e164": "+380507654321",
        "international": "+380 50 765 4321",
        "national": "050 765 4321",
        "carrier": "Vodafone",
        "time_zones": ["Europe/Kyiv"],
    }
    assert (second["number"], second["phone"], second["region"]) == ("442079460018", 442079460018, "GB")
    assert third == dict.fromkeys(KEYS) | {
        "number": "12",
        "valid": False,
        "possible": False,
        "reason": "too_short",
        "message": "The number is too short.",
        "type": "unknown",
        "time_zones": [],
    }


def test_without_a_region_digits_begin_with_a_country_code(api: httpx.Client) -> None:
    [found] = api.post(PATH, json={"numbers": ["0507654321"], "region": None}).json()["data"]
    assert (found["valid"], found["reason"]) == (False, "unknown_country_code")


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "numbers", "The numbers field is required."),
        ({"numbers": []}, "numbers", "The numbers must have 1 to 10000 items, not 0."),
        ({"numbers": ["1"] * 10_001}, "numbers", "The numbers must have 1 to 10000 items, not 10001."),
        ({"numbers": ["1", 1.5]}, "numbers[1]", "The numbers[1] must be a whole number or a string."),
        ({"numbers": "1"}, "numbers", "The numbers must be a list."),
        ({"numbers": ["1"], "region": 380}, "region", "The region must be a string or null."),
        (
            {"numbers": ["1"], "region": "Kyiv"},
            "region",
            "The region must be two letters such as UA (ISO 3166-1), not 'KYIV'.",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(api: httpx.Client, body: object, field: str, message: str) -> None:
    answer = api.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "message": message}]


def test_ten_thousand_numbers_stall_nobody(live: Live) -> None:
    """The event loop answers between the numbers: the slowest of its other answers takes no second."""
    numbers = [f"+3805{number:08}" for number in range(10_000)]
    key = live.new_key()
    with live.client(key) as api, live.client(key) as other, ThreadPoolExecutor(1) as pool:
        api.post(PATH, json={"numbers": ["1"]})
        asked = pool.submit(api.post, PATH, json={"numbers": numbers, "region": "UA"}, timeout=60)
        slowest = 0.0
        while not asked.done():
            started = time.perf_counter()
            assert other.get("/api/groups").status_code == 200
            slowest = max(slowest, time.perf_counter() - started)
        found = asked.result().json()["data"]
    assert [each["phone"] for each in found] == [int(number[1:]) for number in numbers]
    assert slowest < 1


def test_too_many_checks_at_once_are_told_to_come_again(live: Live) -> None:
    numbers = [f"+3805{number:08}" for number in range(4_000)]
    key = live.new_key()
    with live.client(key) as api, ThreadPoolExecutor(20) as pool:
        answers = [
            pool.submit(api.post, PATH, json={"numbers": numbers, "region": "UA"}, timeout=60)
            for _ in range(20)
        ]
        statuses = [answer.result().status_code for answer in answers]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 8


def test_a_key_that_may_only_read_may_check(live: Live) -> None:
    with live.client(live.new_key(rights=["read"])) as reader:
        assert reader.post(PATH, json={"numbers": ["1"]}).status_code == 200
    with live.client(live.new_key(rights=["write"])) as writer:
        assert writer.post(PATH, json={"numbers": ["1"]}).status_code == 403
