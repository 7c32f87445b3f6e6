"""What is told about a number without a book."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rollbook import numbers
from rollbook.errors import Invalid
from rollbook.numbers import CHECKED_AT_ONCE_MAX, Number


def test_a_valid_number_is_told_about_in_full() -> None:
    assert numbers.check(["(050) 765-43-21"], "UA") == [
        Number(
            text="(050) 765-43-21",
            valid=True,
            possible=True,
            reason="",
            sentence="",
            phone=380507654321,
            region="UA",
            type="mobile",
            e164="+380507654321",
            international="+380 50 765 4321",
            national="050 765 4321",
            carrier="Vodafone",
            time_zones=("Europe/Kyiv",),
        )
    ]


def test_a_number_that_is_not_assigned_is_written_all_the_same() -> None:
    [found] = numbers.check(["380000000001"], None)
    assert (found.valid, found.possible, found.reason) == (False, True, "not_assigned")
    assert (found.phone, found.e164, found.region) == (380000000001, "+380000000001", "UA")
    assert (found.type, found.carrier, found.time_zones) == ("unknown", "", ())


def test_a_text_that_is_no_number_is_told_why() -> None:
    [found] = numbers.check(["3.80E+11"], "UA")
    assert found == Number(
        text="3.80E+11",
        valid=False,
        possible=False,
        reason="scientific_notation",
        sentence="is in scientific notation that has lost digits",
        phone=None,
        region="",
        type="unknown",
        e164="",
        international="",
        national="",
        carrier="",
        time_zones=(),
    )


@pytest.mark.parametrize(
    ("text", "region", "zones"),
    [
        ("+1 202 555 0123", "US", ("America/New_York",)),
        ("+44 20 7946 0018", "GB", ("Europe/London",)),
        ("+800 1234 5678", "001", ()),
    ],
)
def test_what_is_known_of_a_place_is_told(text: str, region: str, zones: tuple[str, ...]) -> None:
    [found] = numbers.check([text], None)
    assert found.region == region
    assert found.time_zones == zones


def test_numbers_keep_their_order_and_their_repetitions() -> None:
    texts = ["12", "+380507654321", "12", "380507654321"]
    assert [each.text for each in numbers.check(texts, None)] == texts


def test_no_numbers_are_no_answers() -> None:
    assert numbers.check([], "UA") == []


def test_too_many_numbers_are_refused() -> None:
    with pytest.raises(Invalid, match="at most 10000 numbers, not 10001"):
        numbers.check(["1"] * (CHECKED_AT_ONCE_MAX + 1), None)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(Invalid, match="two letters such as UA"):
        numbers.check(["1"], "Ukraine")


def test_checking_loads_neither_tables_nor_arrow() -> None:
    """The service that waits stays small; carriers and time zones come when they are asked for."""
    code = (
        "import sys; from rollbook import numbers; import rollbook.api.app; heavy = ('numpy', 'pyarrow', "
        "'phonenumbers.carrier'); before = [name for name in heavy if name in sys.modules]; "
        "numbers.check(['+380507654321'], None); "
        "print(before, [name for name in heavy[:2] if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
