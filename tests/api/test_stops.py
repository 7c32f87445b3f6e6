"""Stops with a result for each item: `/api/stops` and `/api/stops/release`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rollbook import accounts, contacts
from rollbook.contacts import NewContact
from tests.calls import PHONE, counts, made, made_contact, made_list, stopped
from tests.conftest import Live, cli, opened

STOP, RELEASE = "/api/stops", "/api/stops/release"
KEYS = ["index", "result", "id", "phone", "channels", "reference", "reason"]


def stop(api: httpx.Client, *items: Any) -> Any:
    return made(api, STOP, {"stops": items}, 200)


def release(api: httpx.Client, *items: Any) -> Any:
    return made(api, RELEASE, {"stops": items}, 200)


def item(number: int, *channels: str, **more: Any) -> dict[str, Any]:
    return {"phone": PHONE + number, "channels": channels, **more}


def rows(api: httpx.Client) -> dict[int, set[str]]:
    """The stop list: for each number its channels."""
    found = api.get("/api/stoplist").json()
    assert found["total"] == len(found["data"])
    return {
        row["phone"] - PHONE: {
            name.removesuffix("_stoplist") for name, is_set in row.items() if is_set is True
        }
        for row in found["data"]
    }


def told(data: Any) -> list[tuple[Any, ...]]:
    return [(each["result"], each["phone"], each["channels"], each["reference"]) for each in data["results"]]


def test_phones_are_stopped_each_on_its_channels(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    made_contact(api, 1, groups=[row])
    [known] = stopped(api, 2, types=("viber",))
    data = stop(
        api,
        item(1, "sms", "rcs", reference="row 1"),
        {"phone": f"+{PHONE + 2}", "channels": ["SMS"], "reference": 2},
        item(2, "viber"),
        item(3, "whatsapp"),
    )
    assert list(data) == ["created", "updated", "unchanged", "invalid", "results"]
    assert [data[name] for name in ("created", "updated", "unchanged", "invalid")] == [2, 1, 1, 0]
    assert all(list(each) == KEYS for each in data["results"])
    assert told(data) == [
        ("created", PHONE + 1, ["sms", "rcs"], "row 1"),
        ("updated", PHONE + 2, ["sms", "viber"], "2"),
        ("unchanged", PHONE + 2, ["sms", "viber"], None),
        ("created", PHONE + 3, ["whatsapp"], None),
    ]
    assert [each["id"] for each in data["results"][1:3]] == [known["id"]] * 2
    assert rows(api) == {1: {"sms", "rcs"}, 2: {"sms", "viber"}, 3: {"whatsapp"}}
    assert counts(api, row) == (1, 1)


def test_of_a_phone_that_comes_twice_all_channels_count(api: httpx.Client) -> None:
    data = stop(api, item(1, "sms"), item(1, "viber"), item(1, "sms"), item(2, "rcs", "rcs"))
    assert [each["result"] for each in data["results"]] == ["created", "updated", "unchanged", "created"]
    assert len({each["id"] for each in data["results"][:3]}) == 1
    assert rows(api) == {1: {"sms", "viber"}, 2: {"rcs"}}
    data = release(api, item(1, "sms"), item(1, "sms"), item(1, "viber"), {"phone": PHONE + 1})
    assert [each["result"] for each in data["results"]] == [
        *("released", "not_stopped", "released", "not_stopped")
    ]
    assert rows(api) == {2: {"rcs"}}


def test_phones_are_let_go_on_channels_or_on_all(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    for number in (1, 2):
        made_contact(api, number, groups=[row])
    stop(api, item(1, "sms", "viber"), item(2, "sms", "rcs"), item(3, "sms"))
    data = release(
        api,
        item(1, "sms", "whatsapp", reference="a"),
        {"phone": f"+{PHONE + 2}"},
        item(3, "viber"),
        {"phone": PHONE + 4, "reference": "d"},
    )
    assert list(data) == ["released", "not_stopped", "invalid", "results"]
    assert [data[name] for name in ("released", "not_stopped", "invalid")] == [2, 2, 0]
    assert told(data) == [
        ("released", PHONE + 1, ["viber"], "a"),
        ("released", PHONE + 2, [], None),
        ("not_stopped", PHONE + 3, ["sms"], None),
        ("not_stopped", PHONE + 4, [], "d"),
    ]
    assert [each["id"] is None for each in data["results"]] == [False, True, False, True]
    assert rows(api) == {1: {"viber"}, 3: {"sms"}}
    assert counts(api, row) == (2, 1)


JUNK: list[tuple[Any, str]] = [
    (None, "The stop must be a JSON object."),
    (1.5, "The stop must be a JSON object."),
    (True, "The stop must be a JSON object."),
    (PHONE, "The stop must be a JSON object."),
    ({}, "The phone field is required."),
    ({"phone": True, "channels": ["sms"]}, "The phone must be "),
    ({"phone": 1.5, "channels": ["sms"]}, "The phone must be "),
    ({"phone": "12", "channels": ["sms"]}, "The phone must have 9 to 15 digits"),
    ({"phone": PHONE, "channels": []}, "The channels must be any of sms, viber, rcs, whatsapp, not empty."),
    (
        {"phone": PHONE, "channels": ["sms", "telex"]},
        "The channels must be any of sms, viber, rcs, whatsapp, not 'telex'.",
    ),
    ({"phone": PHONE, "channels": "sms"}, "The channels must be a list."),
    ({"phone": PHONE, "channels": None}, "The channels "),
    (
        {"phone": PHONE, "chanels": ["sms"]},
        "There is no member chanels in the stop; there are phone, channels",
    ),
]


@pytest.mark.parametrize(("junk", "reason"), JUNK, ids=[str(junk) for junk, _ in JUNK])
def test_an_invalid_item_is_told_and_the_others_are_done(api: httpx.Client, junk: Any, reason: str) -> None:
    named = {**junk, "reference": "it"} if isinstance(junk, dict) else junk
    data = stop(api, item(1, "sms"), named, item(2, "sms"))
    result = data["results"][1]
    assert (data["created"], data["invalid"], result["result"]) == (2, 1, "invalid"), result
    assert reason in result["reason"]
    assert result["reference"] == ("it" if isinstance(junk, dict) else None)
    assert (result["id"], result["phone"], result["channels"]) == (None, None, [])
    if junk == {}:
        return  # to let go on all channels needs no channels, but a phone
    data = release(api, item(1, "sms"), named, item(2, "sms"))
    assert (data["released"], data["invalid"]) == (2, 1)
    assert reason in data["results"][1]["reason"]
    assert rows(api) == {}


@pytest.mark.parametrize("path", [STOP, RELEASE])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "stops"),
        ({"stops": []}, "stops"),
        ({"stops": [item(1, "sms")] * 10_001}, "stops"),
        ({"stops": item(1, "sms")}, "stops"),
        ({"stops": [item(1, "sms")], "dry_run": True}, "dry_run"),
        ([item(1, "sms")], "body"),
    ],
    ids=["nothing", "none", "10,001", "one", "more", "a list"],
)
def test_a_body_that_cannot_be_is_refused(api: httpx.Client, path: str, body: Any, field: str) -> None:
    answer = api.post(path, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert rows(api) == {}


def test_10000_phones_are_stopped_and_let_go_at_once(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    phones = [PHONE + number for number in range(100)]
    made(api, f"/api/groups/{row}/contacts", {"phones": phones}, 200)
    data = stop(api, *(item(number, "sms") for number in range(10_000)))
    assert (data["created"], len(data["results"])) == (10_000, 10_000)
    assert counts(api, row) == (100, 100)
    data = release(api, *(item(number) | {"channels": ["sms", "rcs"]} for number in range(10_000)))
    assert data["released"] == 10_000
    assert (counts(api, row), rows(api)) == ((100, 0), {})


def test_a_repeated_request_with_a_key_is_done_once(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "stops-1"}
    body = {"stops": [item(1, "sms"), None]}
    first = api.post(STOP, json=body, headers=headers)
    assert release(api, item(1, "sms"))["released"] == 1
    again = api.post(STOP, json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert rows(api) == {}


def test_a_key_that_only_reads_stops_nobody(live: Live) -> None:
    with live.client(live.new_key(rights=["read"])) as reader:
        for path in (STOP, RELEASE):
            assert reader.post(path, json={"stops": [item(1, "sms")]}).status_code == 403


def test_what_was_stopped_is_counted_right(live: Live, api: httpx.Client) -> None:
    stop(api, *(item(number, "sms", "viber") for number in range(20)))
    release(api, *(item(number, "viber") for number in range(0, 20, 3)), {"phone": PHONE + 1})
    assert cli(live.service.database_url, "verify")["drift"] == []


UNKNOWN = 999123456789
"""Digits that no numbering plan has."""


@pytest.fixture
def older(live: Live) -> Iterator[httpx.Client]:
    """A client of a book with a contact from the time when a plan had its number."""
    account = live.new_account()
    with opened(live.service.database_url) as database:
        account_id = database.read(accounts.named, account).account_id
        database.write(contacts.create, account_id, NewContact(UNKNOWN))
    with live.client(live.new_key(account)) as client:
        yield client


def test_whatever_the_book_holds_can_be_stopped_and_released(older: httpx.Client) -> None:
    data = stop(
        older,
        {"phone": f"+{UNKNOWN}", "channels": ["sms"], "reference": "a"},
        {"phone": UNKNOWN + 1, "channels": ["sms"], "reference": "b"},
        {"phone": UNKNOWN, "channels": ["viber"], "reference": "c"},
        item(1, "rcs", reference="d"),
    )
    assert told(data) == [
        ("created", UNKNOWN, ["sms"], "a"),
        ("invalid", None, [], "b"),
        ("updated", UNKNOWN, ["sms", "viber"], "c"),
        ("created", PHONE + 1, ["rcs"], "d"),
    ]
    reasons = [each["reason"] for each in data["results"]]
    assert reasons == [None, "The phone has a country code that does not exist.", None, None]
    [contact] = older.get("/api/contacts").json()["data"]
    assert older.delete(f"/api/contacts/{contact['id']}").status_code == 204
    data = release(
        older,
        {"phone": UNKNOWN, "channels": ["sms"]},
        {"phone": UNKNOWN + 1},
        {"phone": f"+{UNKNOWN}"},
    )
    assert told(data) == [
        ("released", UNKNOWN, ["viber"], None),
        ("invalid", None, [], None),
        ("released", UNKNOWN, [], None),
    ]
    assert told(release(older, {"phone": UNKNOWN})) == [("invalid", None, [], None)]


def test_the_vendors_call_takes_what_the_book_holds_all_or_nothing(older: httpx.Client) -> None:
    def attach(*phones: int | str) -> httpx.Response:
        return older.post("/api/stoplist/attach", json={"phones": phones, "types": ["sms"]})

    refused = attach("12", UNKNOWN, UNKNOWN + 1)
    assert refused.status_code == 422
    assert [problem["field"] for problem in refused.json()["errors"]] == ["phones[0]", "phones[2]"]
    assert attach(UNKNOWN + 1).status_code == 422
    assert rows(older) == {}
    [first, second] = made(older, "/api/stoplist/attach", {"phones": [UNKNOWN, PHONE], "types": ["sms"]}, 200)
    assert [first["phone"], second["phone"]] == [UNKNOWN, PHONE]
    assert attach(-UNKNOWN).status_code == 422
