"""Patterns as automata say of every number what `re` says of it."""

from __future__ import annotations

import random
import re
from collections.abc import Hashable, Sequence
from typing import TypeVar

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata

from rollbook.phones.plans.automaton import Match, PrefixReader, Recognizer, Run
from rollbook.phones.plans.patterns import UnknownPattern, groups_of, parse

Value = TypeVar("Value", bound=Hashable)

PATTERNS = [
    "",
    "5",
    r"\d\d",
    "[2-57]1",
    "1|12|123",
    r"0?(?:1|2\d)?",
    r"1{2}\d{1,3}",
    "(?:1(?:23|4)|5)?6",
    "[13-5]{0,2}7?",
]
PREFIXES = [
    *PATTERNS,
    "(1)?2",
    "(?:(1)|(2))3?",
    r"0(8\d)?",
    r"([2-4]\d{2})$|1",
    r"(1|12)(\d?)",
    r"(?:0|90)(?:(1[245])(\d{2,3}))?",
    r"(\d{1,2}){1,2}",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_takes_the_numbers_that_re_takes(pattern: str) -> None:
    recognizer = Recognizer([("it", pattern)], [("begins", pattern)])
    for length in range(5):
        runs = recognizer.runs(length, lambda names: names)
        for number in range(10**length):
            text = f"{number:0{length}}" if length else ""
            expected = {"it"} if re.fullmatch(pattern, text) else set()
            expected |= {"begins"} if re.match(pattern, text) else set()
            assert of(runs, number) == expected, text


@pytest.mark.parametrize("pattern", PREFIXES)
def test_a_prefix_ends_where_re_ends_it(pattern: str) -> None:
    reader = PrefixReader(pattern)
    for length in range(6):
        runs = reader.runs(length)
        assert sum(width for width, _ in runs) == 10**length
        for number in range(0, 10**length, 1 if length < 5 else 7):
            text = f"{number:0{length}}" if length else ""
            assert of(runs, number) == by_re(pattern, text), text


def test_prefixes_of_all_countries_end_where_re_ends_them() -> None:
    chance = random.Random(1)
    patterns = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        known = PhoneMetadata.metadata_for_region(region, None)
        assert known is not None
        patterns |= {known.national_prefix_for_parsing or "", known.international_prefix or ""}
    for pattern in sorted(patterns):
        reader = PrefixReader(pattern)
        for length in (4, 7, 10, 13):
            runs = reader.runs(length)
            starts = [
                sum(width for width, _ in runs[:at])
                for at in chance.sample(range(len(runs)), min(len(runs), 9))
            ]
            for number in starts:
                text = f"{number:0{length}}"
                assert of(runs, number) == by_re(pattern, text), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "1*",
        "1+",
        "1??",
        "1{2}?",
        "1{2}+",
        "(?=1)",
        "(?!1)2",
        r"\D",
        "[^1]",
        "(1",
        "1)",
        "[1",
        "1{",
        "1{,2}",
        "[5-2]",
        r"[\d-3]",
        "^1",
        r"\1",
        "1{3,2}",
        ".",
        "(?P<name>1)",
        "٣",
        "1{2",
        "[a]",
    ],
)
def test_what_the_dialect_does_not_have_is_an_error(pattern: str) -> None:
    with pytest.raises(UnknownPattern):
        parse(pattern)


def test_an_end_within_a_whole_number_is_an_error() -> None:
    with pytest.raises(UnknownPattern):
        Recognizer([("it", "1$|2")])


@pytest.mark.parametrize(("pattern", "groups"), [("1", 0), ("(1)(?:(2)|3)?", 2), ("((1))", 2), ("(1){2}", 1)])
def test_groups_are_counted(pattern: str, groups: int) -> None:
    assert groups_of(parse(pattern)) == groups


def by_re(pattern: str, text: str) -> Match | None:
    found = re.match(pattern, text)
    if found is None:
        return None
    spans = [found.span(group + 1) for group in range(re.compile(pattern).groups)]
    return Match(found.end(), tuple(None if span == (-1, -1) else span for span in spans))


def of(runs: Sequence[Run[Value]], number: int) -> Value:
    """What the runs say of a number."""
    for width, value in runs:
        if number < width:
            return value
        number -= width
    raise AssertionError(f"the runs end {number} before")
