"""Phone numbers as files have them: many countries, many spellings, garbage and duplicates in between."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from phonenumbers import PhoneMetadata

from rollbook.phones.plans import plan
from rollbook.phones.plans.pieces import POWERS, digits_of
from rollbook.phones.verdict import REASON_BITS, TYPES
from rollbook.phones.verdict import REGIONS as KNOWN_REGIONS

# fmt: off
REGIONS = (
    "US", "GB", "DE", "FR", "IT", "ES", "UA", "PL", "RU", "TR", "BR", "MX", "AR", "CO", "IN", "CN", "JP",
    "KR", "ID", "PH", "VN", "TH", "PK", "BD", "NG", "EG", "ZA", "KE", "MA", "SA", "AE", "IL", "KZ", "RO",
    "NL", "BE", "CZ", "SE", "AU", "CA",
)
GARBAGE = (
    "", "n/a", "-", "unknown", "+", "abc", "12", "0", "null", "test@example.com", "+999123456789",
    "+0123456789", "4.47911E+11", "0000000000", "1234", "phone: none", "+380 44", "123456789012345678901",
    "++380501234567", "  ",
)
# fmt: on

DIGITS_MAX = 11
"""Of a national number."""

GARBAGE_SHARE = 0.05
DUPLICATES_SHARE = 0.03
HOME_SHARE = 0.2
"""Of the numbers, are of the default region and mostly in its national format."""

_TYPE_SHARES = ((("mobile", "fixed_line_or_mobile"), 0.75), (("fixed_line", "fixed_line_or_mobile"), 0.18))
"""What is left is of any type."""


def mixed(rows: int, region: str, seed: int) -> list[str]:
    """Texts of phone numbers, the same ones for the same arguments; nearly all are different and valid.

    Args:
        rows: how many.
        region: two letters of the country whose file it is.
    """
    texts: list[str] = mixed_array(rows, region, seed).to_pylist()
    return texts


def mixed_array(rows: int, region: str, seed: int) -> pa.StringArray:
    """The same as an Arrow array, 1 us for each."""
    random = np.random.default_rng(seed)
    kind = random.random(rows)
    order = []
    texts = []
    garbage = np.flatnonzero(kind < GARBAGE_SHARE)
    order.append(garbage)
    texts.append(_garbage(random, len(garbage)))
    left = np.flatnonzero(kind >= GARBAGE_SHARE)
    where = random.random(len(left))
    home = left[where < HOME_SHARE]
    order.append(home)
    texts.append(_at_home(random, region, len(home)))
    abroad = left[where >= HOME_SHARE]
    which = random.integers(len(REGIONS), size=len(abroad))
    for number, each in enumerate(REGIONS):
        at = abroad[which == number]
        order.append(at)
        texts.append(_abroad(random, each, len(at)))
    back = np.empty(rows, np.int64)
    back[np.concatenate(order)] = np.arange(rows)
    # Some rows show again what stands in another one.
    again = np.flatnonzero(random.random(rows) < DUPLICATES_SHARE)
    back[again] = back[random.integers(rows, size=len(again))] if rows else back[again]
    return pa.concat_arrays(texts).take(pa.array(back))


def _garbage(random: np.random.Generator, rows: int) -> pa.StringArray:
    words = pa.array(GARBAGE, pa.string()).take(pa.array(random.integers(len(GARBAGE), size=rows)))
    digits = _text((10 ** random.integers(3, 15, size=rows)) * (1 + 9 * random.random(rows)))
    plus = pc.if_else(pa.array(random.random(rows) < 0.5), "+", "")
    code = pa.array(["1", "7", "44", "380", "39", "49", "55", "54"], pa.string())
    code = code.take(pa.array(random.integers(len(code), size=rows)))
    trunk = _join("+", code, " (0) ", _text(random.integers(10**8, 10**9, size=rows)))
    extension = _join("+44 20 7946 0958 ext. ", _text(random.integers(1, 1000, size=rows)))
    return _one_of(random, (0.4, words), (0.4, _join(plus, digits)), (0.1, trunk), (0.1, extension))


def _at_home(random: np.random.Generator, region: str, rows: int) -> pa.StringArray:
    code, prefix, number = _valid(random, region, rows)
    pretty = _join("(", prefix, _cut(number, 0, 2), ") ", _cut(number, 2, 5), "-", _cut(number, 5, 7))
    pretty = _join(pretty, "-", _cut(number, 7))
    return _one_of(
        random, (0.4, pretty), (0.3, _join(prefix, number)), (0.1, number), (0.2, _join(code, number))
    )


def _abroad(random: np.random.Generator, region: str, rows: int) -> pa.StringArray:
    code, prefix, number = _valid(random, region, rows)
    spaced = _grouped(random, number, " ")
    trunk = f" ({prefix}) " if prefix else "-"
    return _one_of(
        random,
        (0.3, _join("+", code, " ", spaced)),
        (0.25, _join("+", code, number)),
        (0.1, _join("00", code, number)),
        (0.03, _join("+", code, trunk, _grouped(random, number, "-"))),
        (0.02, _join("\u00a0+", code, " ", pc.replace_substring(spaced, " ", "\u00a0"))),
        (0.3, _join(code, number)),
    )


def _valid(random: np.random.Generator, region: str, rows: int) -> tuple[str, str, pa.StringArray]:
    """Country calling code, national prefix, and national numbers without it."""
    known = PhoneMetadata.metadata_for_region(region, None)
    assert known is not None
    low, width, type = _ranges(region)
    allowed = np.ones((3, len(low)), bool)
    for row, (types, _) in enumerate(_TYPE_SHARES):
        chosen = np.isin(type, [TYPES.index(name) for name in types])
        allowed[row] = chosen if chosen.any() else True
    shares = [share for _, share in _TYPE_SHARES]
    which = np.searchsorted(np.cumsum(shares), random.random(rows), side="right")
    at = np.empty(rows, np.int64)
    for row, mask in enumerate(allowed):
        mine = np.flatnonzero(which == row)
        weights = width * mask
        at[mine] = random.choice(len(low), size=len(mine), p=weights / weights.sum())
    keys = low[at] + (random.random(rows) * width[at]).astype(np.int64)
    # A key is a 1 in front of the digits, which keeps leading zeros.
    return str(known.country_code), known.national_prefix or "", _cut(_text(keys), 1)


@cache
def _ranges(region: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Keys of the region's valid national numbers: first ones, widths, and types."""
    known = PhoneMetadata.metadata_for_region(region, None)
    assert known is not None
    steps = plan.verdicts(plan.country_code(known))
    behind = np.append(steps.starts[1:], 2 * steps.starts[-1])
    width = np.minimum(behind, 2 * POWERS[digits_of(steps.starts)]) - steps.starts
    chosen = ((steps.values & REASON_BITS) == 0) & (steps.values >> 8 & 511 == KNOWN_REGIONS.index(region))
    # The few very long numbers of some plans would outnumber all others.
    chosen &= digits_of(steps.starts) <= DIGITS_MAX
    return steps.starts[chosen], width[chosen], steps.values[chosen] & 15


def _text(numbers: NDArray[np.generic]) -> pa.StringArray:
    return pa.array(numbers.astype(np.int64)).cast(pa.string())


def _cut(texts: pa.StringArray, start: int, stop: int | None = None) -> pa.StringArray:
    return pc.utf8_slice_codeunits(texts, start, stop)


def _join(*parts: str | pa.StringArray) -> pa.StringArray:
    scalars = [pa.scalar(part, pa.string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, pa.scalar("", pa.string()))


def _grouped(random: np.random.Generator, number: pa.StringArray, between: str) -> pa.StringArray:
    """Digits in groups of 2 to 4, in one of three ways."""
    ways = []
    for edges in ((2, 5, 8), (3, 6), (2, 4, 7)):
        parts: list[str | pa.StringArray] = []
        for start, stop in zip((0, *edges), (*edges, None), strict=True):
            parts += [between, _cut(number, start, stop)] if start else [_cut(number, start, stop)]
        ways.append((1 / 3, pc.utf8_rtrim(_join(*parts), between)))
    return _one_of(random, *ways)


def _one_of(random: np.random.Generator, *ways: tuple[float, pa.StringArray]) -> pa.StringArray:
    """Each row from one of several arrays, by their shares."""
    which = np.searchsorted(np.cumsum([share for share, _ in ways]), random.random(len(ways[0][1])))
    return pc.choose(pa.array(np.minimum(which, len(ways) - 1)), *(texts for _, texts in ways))
