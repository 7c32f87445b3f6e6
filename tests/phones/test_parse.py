from __future__ import annotations

import random

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbook import phones
from rollbook.errors import Invalid
from rollbook.phones import BadPhone, changes
from tests.length import sized


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        (380000000001, 380000000001),
        ("380000000001", 380000000001),
        ("+380000000001", 380000000001),
        (" +380 (00) 000-00.01 ", 380000000001),
        ("+1 (202) 555-0123", 12025550123),
        ("+44 (0)20 7946 0018", 442079460018),
        ("+44 7700 900123", 447700900123),
        ("+39 06 1234 5678", 390612345678),
        (88312345678, 88312345678),
        ("380000000001.0", 380000000001),
        ("380000000001.00", 380000000001),
        ("380000000001,0", 380000000001),
        ("380,000,000,001", 380000000001),
        ("3.80000000001E11", 380000000001),
        ('="380000000001"', 380000000001),
        ("'380000000001", 380000000001),
        ("00380000000001", 380000000001),
        ("+00 380 00 000 00 01", 380000000001),
        ("tel:+380-00-000-00-01", 380000000001),
        ("TEL:+380-00-000-00-01;ext=7", 380000000001),
        ("+380\u00a000\u2009000\u202f00\u300001", 380000000001),
        ("+380\u201000\u2013000\u221200\u201401", 380000000001),
        ("\u202a+380\u200e000000001\u202c\ufeff", 380000000001),
        ("+3\ufe0f8\u200d0\u00ad000000001", 380000000001),
        ("\uff0b\uff13\uff18\uff10\uff08\uff10\uff10\uff09\uff0d0000001", 380000000001),
    ],
)
def test_what_people_write_is_read(written: str | int, phone: int) -> None:
    assert phones.parse(written) == phone


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "must be digits"),
        ("+", "must be digits"),
        ("call me", "must be digits"),
        ("+380 67 abc 00 01", "has letters behind or among its digits"),
        ("380000000001;380000000002", "holds two numbers: '380000000001' and '380000000002'"),
        ("+380000000001/+380000000002", "holds two numbers"),
        ("3.8E+11", "has lost digits"),
        ("380000000001.5", "must be digits"),
        ("380000000001 Eva", "has letters behind or among its digits"),
        ("1-800-FLOWERS", "must be digits"),
        ("380000000001,", "must be digits"),
        ("++380000000001", "must be digits"),
        ("+380 00 000 00 01 ext. 7", "must be digits"),
        ("380000000001;ext=5", "must be digits"),
        ("\u0663\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661", "must be digits"),
        ("380000000001 / +380 00 000 00 01", "must be digits"),
        ("Eva 380000000001", "must be digits"),
        ("000380000000001", "country code that does not exist"),
        (-380000000001, "must be"),
        (0, "must have 9 to 15 digits"),
        ("12345678", "must have 9 to 15 digits"),
        ("1" * 17, "must have 9 to 15 digits"),
        (10**30, "must have 9 to 15 digits"),
        ("999123456789", "country code that does not exist"),
        ("0380000000001", "country code that does not exist"),
        ("1202555012", "too short"),
        ("120255501234", "too long"),
        ("1202555012345", "too long"),
        ("0000000000000", "country code that does not exist"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(written: str | int, reason: str) -> None:
    with pytest.raises(BadPhone, match=reason):
        phones.parse(written)


def test_a_region_gives_a_national_number_its_country() -> None:
    assert phones.parse("020 7946 0018", "GB") == 442079460018
    assert phones.parse("+1 202 555 0123", "GB") == 12025550123
    for written in ("020", "nonsense", ""):
        with pytest.raises(BadPhone):
            phones.parse(written, "GB")


def test_a_number_that_nobody_has_is_possible_but_not_valid() -> None:
    assert phones.parse(15550100001) == 15550100001
    assert not phones.is_valid(15550100001)
    assert phones.is_valid(12025550123)
    assert not phones.is_valid(999123456789)


CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@pytest.mark.sized
@settings(max_examples=sized(1_000, 2_000), deadline=None)
@given(
    code=st.sampled_from([*CODES, 0, 999, 210]),
    prefix=st.sampled_from(["", "0", "1", "8", "9", "00", "15", "044"]),
    rest=st.text("0123456789", max_size=14),
)
def test_the_quick_way_agrees_with_phonenumbers(code: int, prefix: str, rest: str) -> None:
    text = f"{code}{prefix}{rest}"
    assert quick(text) == slow(text) or not 9 <= len(text) <= 16


def test_every_country_code_agrees_with_phonenumbers() -> None:
    """A sample of each length under each code."""
    chosen = random.Random(7)
    for code in CODES:
        for length in range(4, 14):
            for _ in range(3):
                text = f"{code}{chosen.randrange(10**length):0{length}}"
                if 9 <= len(text) <= 16:
                    assert quick(text) == slow(text), text


def test_every_beginning_agrees_with_phonenumbers() -> None:
    """What is known about a number by its first four digits; a few more behind a code whose plan changed."""
    chosen = random.Random(11)
    beginnings = [f"{start:04}" for start in range(10_000)]
    beginnings += [f"{code}{start:03}" for code in changes.CHANGED_PLANS for start in range(1000)]
    for beginning in beginnings:
        length = chosen.randrange(9, 16)
        text = beginning + "".join(chosen.choices("0123456789", k=length - len(beginning)))
        assert quick(text) == slow(text), text


@given(
    phone=st.sampled_from([380000000001, 12025550123, 447700900123, 88312345678]),
    plus=st.sampled_from(["", "+"]),
    marks=st.lists(st.sampled_from(["", "", "", " ", "-", "(", ")", " (", ") "]), min_size=15, max_size=15),
)
def test_a_spelling_changes_nothing(phone: int, plus: str, marks: list[str]) -> None:
    spelled = plus + "".join(digit + mark for digit, mark in zip(str(phone), marks, strict=False))
    assert quick(spelled) in (phone, None)
    assert quick(spelled) == slow(spelled.removeprefix("+"))
    assert phones.parse(phone) == phones.parse(str(phone)) == phones.parse(f"+{phone}") == phone


def quick(text: str) -> int | None:
    try:
        return phones.parse(text)
    except BadPhone:
        return None


def slow(text: str) -> int | None:
    try:
        return phones.parse(f"+{text}", "UA")
    except BadPhone:
        return None


@pytest.mark.parametrize(("text", "region"), [("UA", "UA"), (" gb\t", "GB"), (None, None)])
def test_a_region_is_read_in_any_case(text: str | None, region: str | None) -> None:
    assert phones.parse_region(text) == region


@pytest.mark.parametrize("text", ["", "U", "UKR", "ZZ", "001", "380"], ids=repr)
def test_what_is_not_a_region_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(Invalid, match="The region must be two letters such as UA") as refused:
        phones.parse_region(text)
    assert [problem.field for problem in refused.value.problems] == ["region"]
