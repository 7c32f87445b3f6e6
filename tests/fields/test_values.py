from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbook import fields, texts
from rollbook.fields import Type

NUMBERS = st.from_regex(r"[+-]?([0-9]{1,14}(\.[0-9]{1,14})?|\.[0-9]{1,14})", fullmatch=True)


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("text", "Kyiv", "Kyiv"),
        ("text", "Cafe\u0301", "Caf\u00e9"),
        ("text", " two spaces  ", " two spaces  "),
        ("text", "x" * 255, "x" * 255),
        ("number", "007", "7"),
        ("number", "+7.50", "7.5"),
        ("number", "-0", "0"),
        ("number", "-0.000", "0"),
        ("number", ".5", "0.5"),
        ("number", " 12 ", "12"),
        ("number", "1000", "1000"),
        ("number", "9" * 30, "9" * 30),
        ("date", "2022-04-28", "2022-04-28"),
        ("date", "2022-04-28 00:00:00", "2022-04-28"),
        ("date", "2022-04-28 14:21", "2022-04-28 14:21:00"),
        ("date", "2022-04-28T14:21:16.9+02:00", "2022-04-28 12:21:16"),
        ("date", "0999-01-01", "0999-01-01"),
    ],
)
def test_a_value_has_one_canonical_form(type: Type, text: str, value: str) -> None:
    kept = fields.canonical(type, text)
    assert kept.value == value
    assert fields.canonical(type, value) == kept


@pytest.mark.parametrize(
    ("type", "text", "reason"),
    [
        ("text", "x" * 256, "may not be greater than 255 characters"),
        ("text", "a\0b", "NUL"),
        ("number", "many", "must be a number"),
        ("number", "", "must be a number"),
        ("number", "1,5", "must be a number"),
        ("number", "1e5", "must be a number"),
        ("number", "1.", "must be a number"),
        ("number", "0x10", "must be a number"),
        ("number", "\u0661", "must be a number"),
        ("number", "1" * 31, "more than 30 digits"),
        ("number", "1." + "1" * 30, "more than 30 digits"),
        ("date", "28.04.2022", "must be a date"),
        ("date", "2022-02-30", "must be a date"),
        ("date", "1650000000", "must be a date"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(type: Type, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fields.canonical(type, text)


@given(NUMBERS, NUMBERS)
def test_keys_of_numbers_stand_in_the_order_of_the_numbers(one: str, other: str) -> None:
    first, second = fields.canonical("number", one), fields.canonical("number", other)
    assert (first.key < second.key) == (Decimal(one) < Decimal(other))
    assert (first.key == second.key) == (Decimal(one) == Decimal(other)) == (first.value == second.value)
    assert Decimal(first.value) == Decimal(one)


@given(st.text(max_size=255))
def test_a_key_fits_into_an_index_entry(text: str) -> None:
    """PostgreSQL refuses an index entry of more than 2,704 bytes."""
    if "\0" not in text and len(texts.normal(text)) <= 255:
        assert len(fields.canonical("text", text).key.encode("utf-8", "surrogatepass")) < 2_600


@pytest.mark.parametrize("letter", ["\U0001f4de", "\ufb03", "\u0390", "\u1fb7", "\u1e96", "\u0149", "\u4e2d"])
def test_the_longest_texts_of_awkward_letters_fit_too(letter: str) -> None:
    assert len(fields.canonical("text", letter * 255).key.encode()) < 2_600
