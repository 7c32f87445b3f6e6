"""`phones.column` says of every text what `phonenumbers` says.

The environment may ask for more: PHONE_TEST_FULL=1 for every default region and every interval,
PHONE_TEST_ROWS for more texts of each region, PHONE_TEST_REGIONS for some regions (`UA,US`),
PHONE_TEST_SHARE for one part of several processes (`1/2` and `2/2`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import phonenumbers
import pytest
from phonenumbers import SUPPORTED_REGIONS

from rollbook.phones.plans import BEHIND_PLUS, table
from tests.phones.nasty import Nasty
from tests.phones.oracle import differences

Item = TypeVar("Item")

FULL = os.environ.get("PHONE_TEST_FULL") == "1"
ROWS = int(os.environ.get("PHONE_TEST_ROWS", "200000" if FULL else "200"))
ROWS_AT_ONCE = 20_000
MANY_TEXTS = [
    "AR",
    "AU",
    "BR",
    "CN",
    "CO",
    "DE",
    "FI",
    "GA",
    "GB",
    "GG",
    "HK",
    "IT",
    "JP",
    "KR",
    "KZ",
    "LU",
    "MX",
]
MANY_TEXTS += ["AG", "CR", "ID", "IL", "NF", "PL", "RU", "SG", "SM", "TR", "UA", "US", "UZ", "VA"]
FEW = 15
INTERVALS_OF_A_SAMPLE = 600


def regions() -> Sequence[str]:
    chosen = os.environ.get("PHONE_TEST_REGIONS", "").upper().split(",")
    every = sorted(set(chosen) & set(SUPPORTED_REGIONS)) or sorted(SUPPORTED_REGIONS)
    return share_of(every)


def share_of(items: Sequence[Item]) -> Sequence[Item]:
    """Those that this process looks at."""
    share, _, of = os.environ.get("PHONE_TEST_SHARE", "1/1").partition("/")
    return items[int(share) - 1 :: int(of)]


@pytest.fixture(autouse=True, scope="module")
def quick_library() -> None:
    """The library compiles its patterns once; what it says stays the same."""
    phonenumbers.enable_pattern_cache()


@pytest.mark.timeout(100_000)
@pytest.mark.parametrize("region", regions())
def test_a_region_reads_every_text_as_phonenumbers_does(region: str) -> None:
    nasty = Nasty(region, seed=int(os.environ.get("PHONE_TEST_SEED", "1")))
    rows = ROWS if FULL or region in MANY_TEXTS else min(ROWS, FEW)
    for first in range(0, rows, ROWS_AT_ONCE):
        assert differences(nasty.texts(min(ROWS_AT_ONCE, rows - first)), region) == []


def test_without_a_region_every_text_begins_with_a_country_code() -> None:
    texts = [text for region in MANY_TEXTS for text in Nasty(region, seed=2).texts(ROWS // 5)]
    assert differences(texts, None) == []


@pytest.mark.timeout(100_000)
@pytest.mark.parametrize("region", share_of([None, "UA", "BR", "US", "AR"]))
def test_every_interval_says_what_phonenumbers_says_of_its_members(region: str | None) -> None:
    """Both ends and two members in between; of numbers behind a `+` with no region, of bare digits with one."""
    known = table(region)
    ranges = list(intervals(known.starts, behind_plus=region is None))
    chance = random.Random(f"intervals {region}")
    if not FULL:
        ranges = chance.sample(ranges, INTERVALS_OF_A_SAMPLE)
    plus = "+" if region is None else ""
    texts = []
    for low, high in ranges:
        members = {low, high - 1, chance.randrange(low, high), chance.randrange(low, high)}
        texts += [plus + str(key)[1:] for key in sorted(members)]
    for first in range(0, len(texts), ROWS_AT_ONCE):
        assert differences(texts[first : first + ROWS_AT_ONCE], region) == []


def intervals(starts: np.ndarray, *, behind_plus: bool) -> Iterator[tuple[int, int]]:
    """First key and the one behind the last of each range of a table. A key is a 1 and the digits."""
    own = starts[starts >= BEHIND_PLUS] - BEHIND_PLUS if behind_plus else starts[starts < BEHIND_PLUS]
    ends = np.append(own[1:], 2 * 10**18)
    for low, high in zip(own.tolist(), ends.tolist(), strict=True):
        if low >= 1000:  # three digits
            yield low, min(high, 2 * 10 ** (len(str(low)) - 1))
