"""Search against a plain-Python model, on both engines."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbook import lists, search
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.errors import Invalid
from rollbook.lists import ContactList, NewList
from rollbook.search import Criterion, PageRequest, Search
from tests.length import sized

TEXTS = [
    "Customers", "customers of 2022", "CAF\u00c9 100%", "cafe_1", "Stra\u00dfe", "STRASSE", "\u0130stanbul",
    "\u041f\u043e\u043a\u0443\u043f\u0446\u0456", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "50%_off", "emoji \U0001f4de", "tab\tand\\slash",
]  # fmt: skip
NEEDLES = [
    *TEXTS,
    "c",
    "CUST",
    "%",
    "_",
    "\\",
    "\u00e9",
    "e\u0301",
    "e",
    "strasse",
    "\u043f\u041e\u041a",
    "\u03c3\u03c2",
    "nothing",
    "",
]


@pytest.fixture
def book(db: Database, alice: Account, bob: Account) -> tuple[Database, int, list[ContactList]]:
    """Lists of one account, created at different seconds, beside another account's."""
    rows = []
    for number, text in enumerate(TEXTS):
        made = db.write(lists.create, alice.account_id, NewList(text, TEXTS[-number] if number % 3 else None))
        db.write(lists.create, bob.account_id, NewList(text))
        db.write(
            lambda tx, list_id, n: tx.run(
                "UPDATE contact_list SET created_at = created_at - :age, items = :items "
                "WHERE account_id = :account_id AND id = :id",
                account_id=alice.account_id,
                id=list_id,
                age=(n % 4) * 3600,
                items=n % 5,
            ),
            made.id,
            number,
        )
        rows.append(db.read(lists.get, alice.account_id, made.id))
    return db, alice.account_id, rows


def holds(row: ContactList, criterion: Criterion) -> bool:
    value: Any = getattr(row, criterion.field)
    if criterion.operator == "like":
        return folded(criterion.value) in folded(value or "")
    if value is None:
        return False
    wanted: Any = criterion.value
    if isinstance(value, int):
        wanted = int(wanted)
    elif isinstance(value, datetime):
        wanted = datetime.fromisoformat(wanted).replace(tzinfo=UTC)
    else:
        wanted = unicodedata.normalize("NFC", wanted)
    return bool(
        {
            "=": value == wanted,
            ">": value > wanted,
            ">=": value >= wanted,
            "<": value < wanted,
            "<=": value <= wanted,
        }[criterion.operator]
    )


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


HOURS = [
    (datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")
    for hours in range(-1, 6)
]
CRITERIA = st.one_of(
    st.builds(
        Criterion,
        st.sampled_from(["name", "description"]),
        st.sampled_from(["=", "like"]),
        st.sampled_from(NEEDLES),
    ),
    st.builds(
        Criterion,
        st.sampled_from(["id", "items"]),
        st.sampled_from(search.COMPARISONS),
        st.integers(-3, 30).map(str),
    ),
    st.builds(Criterion, st.just("created_at"), st.sampled_from(search.COMPARISONS), st.sampled_from(HOURS)),
)


@pytest.mark.sized
@settings(
    max_examples=sized(75, 150),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    criteria=st.lists(CRITERIA, max_size=3),
    sort=st.sampled_from([name for name, column in lists.COLUMNS.items() if column.sortable]),
    descending=st.booleans(),
    limit=st.integers(1, 5),
)
def test_a_search_finds_what_the_model_finds(
    book: tuple[Database, int, list[ContactList]],
    criteria: list[Criterion],
    sort: str,
    descending: bool,
    limit: int,
) -> None:
    db, account_id, rows = book
    expected = [row for row in rows if all(holds(row, criterion) for criterion in criteria)]
    expected.sort(
        key=lambda row: ("" if (v := getattr(row, sort)) is None else v, row.id), reverse=descending
    )
    by_offset: list[ContactList] = []
    by_keyset: list[ContactList] = []
    page = PageRequest(limit=limit)
    while True:
        found = db.read(lists.find, account_id, Search(tuple(criteria), sort, descending, page))
        assert found.total == len(expected)
        by_keyset += found.rows
        assert (found.next is not None) == (len(by_keyset) < len(expected))
        offset = PageRequest(limit=limit, offset=len(by_offset))
        by_offset += db.read(lists.find, account_id, Search(tuple(criteria), sort, descending, offset)).rows
        if found.next is None:
            break
        page = PageRequest(limit=limit, after=found.next)
    assert by_keyset == by_offset == expected


def test_numbers_beyond_64_bits_compare_as_numbers(book: tuple[Database, int, list[ContactList]]) -> None:
    db, account_id, rows = book
    for operator, count in (("<", len(rows)), (">", 0), ("=", 0)):
        criteria = (Criterion("id", operator, "9" * 30),)
        assert db.read(lists.find, account_id, Search(criteria)).total == count


@pytest.mark.parametrize(
    ("criterion", "part"),
    [
        (Criterion("color", "=", "x"), "field"),
        (Criterion("id", "like", "1"), "operator"),
        (Criterion("id", "; DROP TABLE", "1"), "operator"),
        (Criterion("items", "=", "1.5"), "value"),
        (Criterion("items", "=", "\u0661"), "value"),
        (Criterion("created_at", "=", "28.04.2022"), "value"),
        (Criterion("created_at", "=", "2022-13-01"), "value"),
        (Criterion("name", "=", "a\0"), "value"),
    ],
)
def test_a_bad_criterion_is_named(db: Database, alice: Account, criterion: Criterion, part: str) -> None:
    with pytest.raises(Invalid, match=rf"The search\[{part}\] "):
        db.read(lists.find, alice.account_id, Search((criterion,)))


def test_an_unknown_sort_is_named(db: Database, alice: Account) -> None:
    with pytest.raises(Invalid, match="'color' is not one of id, name"):
        db.read(lists.find, alice.account_id, Search(sort="color"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-04-28", datetime(2022, 4, 28, tzinfo=UTC)),
        ("2022-04-28 14:21", datetime(2022, 4, 28, 14, 21, tzinfo=UTC)),
        ("2022-04-28 14:21:16", datetime(2022, 4, 28, 14, 21, 16, tzinfo=UTC)),
        ("2022-04-28T14:21:16Z", datetime(2022, 4, 28, 14, 21, 16, tzinfo=UTC)),
        ("2022-04-28t14:21:16z", datetime(2022, 4, 28, 14, 21, 16, tzinfo=UTC)),
        ("2022-04-28T14:21:16.5+02:00", datetime(2022, 4, 28, 12, 21, 16, 500_000, tzinfo=UTC)),
    ],
)
def test_moments_are_read(text: str, moment: datetime) -> None:
    assert search.moment(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2022",
        "2022-4-28",
        "28.04.2022",
        "2022-02-30",
        "0000-00-00",
        "2022-04-28 25:00",
        "1650000000",
        "0001-01-01T00:00:00+23:00",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date"):
        search.moment(text)
