"""The stop list on the wire, as wire.md sections 5 and 6 have it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.calls import PHONE, STOP_KEYS, counts, made_contact, made_list, paged, stopped, upserted
from tests.conftest import Live

CHANNELS = ("sms", "viber", "rcs", "whatsapp")


def flags(row: Any) -> set[str]:
    return {channel for channel in CHANNELS if row[f"{channel}_stoplist"]}


def freed(api: httpx.Client, *ids: int, types: tuple[str, ...]) -> None:
    answer = api.post("/api/stoplist/detach", json={"ids": ids, "types": types})
    assert (answer.status_code, answer.content) == (200, b"{}"), answer.text
    assert answer.headers["Content-Type"] == "application/json"


def test_stopped_phones_are_answered_exactly_in_their_order(api: httpx.Client) -> None:
    answer = api.post(
        "/api/stoplist/attach",
        json={"phones": [PHONE + 2, f"+{PHONE + 1}", PHONE + 2], "types": ["whatsapp", "sms"]},
    )
    assert answer.status_code == 200
    assert list(answer.json()) == ["data"]
    rows = answer.json()["data"]
    assert [list(row) for row in rows] == [STOP_KEYS] * 2
    assert [row["phone"] for row in rows] == [PHONE + 2, PHONE + 1]
    for row in rows:
        assert 0 < row["id"] < 2**53
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["created_at"])
        assert [row[key] for key in STOP_KEYS[3:]] == [True, False, False, True]
    newest = sorted(rows, key=lambda row: -row["id"])
    assert api.get("/api/stoplist").json() == {"data": newest, "total": 2, "next": None}


def test_stopping_again_adds_channels_and_keeps_the_row(api: httpx.Client) -> None:
    [first] = stopped(api, 1, types=("sms",))
    [again] = stopped(api, 1, types=("sms", "SMS"))
    assert again == first
    one, two = stopped(api, 1, 2, types=("rcs",))
    assert (one["id"], flags(one), flags(two)) == (first["id"], {"sms", "rcs"}, {"rcs"})
    [whole] = stopped(api, 1, types=CHANNELS)
    assert (whole["id"], flags(whole)) == (first["id"], set(CHANNELS))
    assert api.get("/api/stoplist").json()["total"] == 2


def test_a_row_disappears_with_its_last_flag(api: httpx.Client) -> None:
    one, two = stopped(api, 1, 2, types=CHANNELS)
    left = set(CHANNELS)
    for channel in CHANNELS:
        freed(api, one["id"], 999_999_999, one["id"], types=(channel, channel))
        left -= {channel}
        rows = {row["id"]: flags(row) for row in api.get("/api/stoplist").json()["data"]}
        assert rows == {two["id"]: set(CHANNELS)} | ({one["id"]: left} if left else {})
    freed(api, one["id"], two["id"], types=CHANNELS)
    assert api.get("/api/stoplist").json() == {"data": [], "total": 0, "next": None}
    [back] = stopped(api, 1)
    assert back["id"] not in (one["id"], two["id"])


def test_ids_are_those_of_rows_not_of_contacts(api: httpx.Client) -> None:
    contacts = [made_contact(api, number)["id"] for number in range(3)]
    rows = stopped(api, 0, 1, 2)
    freed(api, *(set(contacts) - {row["id"] for row in rows}) or {999_999_999}, types=("sms",))
    assert api.get("/api/stoplist").json()["total"] == 3


def test_counts_follow_sms_and_viber_and_count_a_contact_once(api: httpx.Client) -> None:
    one, two = made_list(api, "one")["id"], made_list(api, "two")["id"]
    upserted(api, [{"phone": PHONE + number, "groups": [one, two][: 1 + number % 2]} for number in range(6)])
    steps: list[tuple[tuple[str, ...], tuple[int, int]]] = [
        (("rcs", "whatsapp"), (0, 0)),
        (("viber",), (4, 2)),
        (("sms", "viber"), (4, 2)),
    ]
    for types, expected in steps:
        rows = stopped(api, 0, 1, 2, 3, 77, types=types)
        assert (counts(api, one), counts(api, two)) == ((6, expected[0]), (3, expected[1]))
    ids = [row["id"] for row in rows]
    freed(api, *ids, types=("viber",))
    assert (counts(api, one), counts(api, two)) == ((6, 4), (3, 2))
    freed(api, ids[1], types=("sms",))
    assert (counts(api, one), counts(api, two)) == ((6, 3), (3, 1))
    freed(api, *ids, types=CHANNELS)
    assert (counts(api, one), counts(api, two)) == ((6, 0), (3, 0))


def test_1000_phones_are_stopped_and_200_rows_freed_at_once(api: httpx.Client) -> None:
    rows = stopped(api, *range(1_000), types=CHANNELS)
    assert [row["phone"] for row in rows] == [PHONE + number for number in range(1_000)]
    freed(api, *(row["id"] for row in rows[:200]), types=CHANNELS)
    assert api.get("/api/stoplist?type=rcs").json()["total"] == 800


def test_the_index_has_20_rows_newest_first_and_pages_add_up(api: httpx.Client) -> None:
    rows = stopped(api, *range(0, 80, 2), types=("sms",)) + stopped(api, *range(1, 60, 2), types=("rcs",))
    stopped(api, *range(10), types=("whatsapp",))
    ids = sorted((row["id"] for row in rows), reverse=True)
    whole = api.get("/api/stoplist").json()
    assert list(whole) == ["data", "total", "next"]
    assert ([row["id"] for row in whole["data"]], whole["total"]) == (ids[:20], 70)
    totals = {"": 70, "sms": 40, "rcs": 30, "whatsapp": 10, "viber": 0}
    for channel, total in totals.items():
        for after in (True, False):
            pages = list(paged(api, "/api/stoplist", after=after, params={"type": channel}))
            found = [row for page in pages for row in page["data"]]
            assert [row["id"] for row in found] == sorted((row["id"] for row in found), reverse=True)
            assert all(not channel or channel in flags(row) for row in found)
            assert len(found) == total
            assert {page["total"] for page in pages} == {total}


# --- search ---------------------------------------------------------------------------------------

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Known(NamedTuple):
    """A row of the model."""

    id: int
    phone: int
    channels: frozenset[str]


def newest(ids: Iterable[int]) -> list[int]:
    return sorted(ids, reverse=True)


class Searched(NamedTuple):
    """An account with a stop list, and what is known of it."""

    api: httpx.Client
    rows: list[Known]
    lists: dict[int, set[int]]

    def found(self, *criteria: tuple[str, str, object], **more: object) -> list[int]:
        """Ids that the service finds, of all pages."""
        params: dict[str, Any] = dict(more)
        for number, (field, wanted, value) in enumerate(criteria):
            parts = {"field": field, "operator": wanted, "value": value}
            params |= {f"search_fields[{number}][{part}]": each for part, each in parts.items()}
        pages = list(paged(self.api, "/api/stoplist/search", after=True, params=params))
        ids = [row["id"] for page in pages for row in page["data"]]
        assert {page["meta"]["page"]["total"] for page in pages} == {len(ids)}
        return ids


@pytest.fixture(scope="module")
def book(live: Live) -> Iterator[Searched]:
    """40 rows; a small list, a large one, and an empty one."""
    with live.client(live.new_key()) as api:
        rows = []
        for number in range(40):
            types = tuple(channel for bit, channel in enumerate(CHANNELS) if (number % 15 + 1) & (1 << bit))
            [row] = stopped(api, number * 17 % 40 * 101, types=types)
            rows.append(Known(row["id"], row["phone"], frozenset(types)))
        lists = {made_list(api, name)["id"]: set[int]() for name in ("small", "large", "empty")}
        small, large, _ = lists
        lists[small] = {row.phone for row in rows[::5]}
        lists[large] = {row.phone for row in rows[::2]} | {PHONE + 900_000 + n for n in range(100)}
        for id, phones in lists.items():
            upserted(
                api, [{"phone": phone, "groups": [id]} for phone in sorted(phones)] or [{"phone": PHONE}]
            )
        yield Searched(api, rows, lists)


def test_a_search_answers_rows_and_meta_in_their_form(book: Searched) -> None:
    answer = book.api.get("/api/stoplist/search").json()
    assert list(answer) == ["data", "meta"]
    assert list(answer["data"][0]) == STOP_KEYS
    assert answer["meta"] == {"page": {"total": 40, "limit": 50, "offset": 0, "next": None}}
    assert [row["id"] for row in answer["data"]] == newest(row.id for row in book.rows)
    some = book.api.get("/api/stoplist/search?search[field]=type&search[value]=SMS&page[limit]=15").json()
    assert some["meta"]["search"] == {"field": "type", "operator": "=", "value": "SMS"}
    assert (some["meta"]["page"]["limit"], len(some["data"])) == (15, 15)


@pytest.mark.parametrize("sign", COMPARE)
def test_ids_and_dates_are_compared(book: Searched, sign: str) -> None:
    for each in book.rows[::13]:
        assert book.found(("id", sign, each.id)) == newest(
            row.id for row in book.rows if COMPARE[sign](row.id, each.id)
        )
    assert bool(book.found(("created_at", sign, "2020-01-01"))) is COMPARE[sign](1, 0)
    assert bool(book.found(("date", sign, "2999-01-01"))) is COMPARE[sign](0, 1)


def test_phones_are_found_whole_or_in_part(book: Searched) -> None:
    for each in book.rows[::9]:
        assert book.found(("phone", "=", f"+{each.phone}")) == [each.id]
    for part in ("01", "+380 00", "77", ""):
        digits = re.sub(r"\D", "", part)
        assert book.found(("phone", "like", part)) == newest(
            row.id for row in book.rows if digits in str(row.phone)
        )


def test_channels_are_found_alone_and_together(book: Searched) -> None:
    for one in CHANNELS:
        assert book.found(("type", "=", one)) == newest(row.id for row in book.rows if one in row.channels)
        for two in CHANNELS:
            found = book.found(("type", "=", one), ("types", "=", two), ("phone", "like", "0"))
            assert found == newest(row.id for row in book.rows if {one, two} <= row.channels)


@pytest.mark.parametrize("way", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["id", "phone"])
def test_phones_of_a_list_are_found_in_any_order(book: Searched, sort: str, way: str) -> None:
    values = {row.id: getattr(row, sort) for row in book.rows}
    for list_id, phones in book.lists.items():
        wanted = newest(row.id for row in book.rows if row.phone in phones)
        found = book.found(contact_group_id=list_id, sort=sort, way=way)
        assert found == sorted(wanted, key=values.__getitem__, reverse=way == "desc")
        some = book.found(("type", "=", "viber"), contact_group_id=list_id, sort=sort, way=way)
        assert set(some) == set(
            newest(row.id for row in book.rows if row.phone in phones and "viber" in row.channels)
        )
    assert book.found(contact_group_id=999_999_999) == []
    assert book.found(contact_group_id="") == newest(row.id for row in book.rows)


def test_a_deleted_list_has_no_phones(api: httpx.Client) -> None:
    row = made_list(api, "abc")["id"]
    made_contact(api, 1, groups=[row])
    stopped(api, 1)
    path = f"/api/stoplist/search?contact_group_id={row}"
    assert api.get(path).json()["meta"]["page"]["total"] == 1
    api.delete(f"/api/groups/{row}")
    assert api.get(path).json() == {
        "data": [],
        "meta": {"page": {"total": 0, "limit": 50, "offset": 0, "next": None}},
    }
