"""Changes of numbering plans: which new form replaced the old form of a number.

An old form is read as the new one only if it is not assigned today and the new one is (see `phones.read`). So
the table can never redirect a number that somebody has now. In Argentina libphonenumber itself reads +54 11
15 ... as +54 9 11 ...; +54 11 ... without 9 or 15 is a different number, a fixed line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

VERSION = 1
"""Increase it when a plan is added: stored phones are then brought up to date (`renumbering`)."""


class PrefixChange(NamedTuple):
    """One rule of a plan: leading digits of national numbers were replaced by others.

    Args:
        old: the leading digits of the old national number.
        digits: the number of digits that it had.
        new: the leading digits of the new national number.
    """

    old: str
    digits: int
    new: str


class ChangedPlan(NamedTuple):
    """A numbering plan that changed.

    Args:
        country: two letters (ISO 3166-1).
        since: the date from which the new form can be dialled everywhere. The old one worked for up to a year
            more.
        source: the regulator's act about the change.
    """

    country: str
    since: str
    source: str
    changes: Sequence[PrefixChange]


_BRAZIL = {
    "1": "123456789", "2": "12478", "3": "1234578", "4": "123456789", "5": "1345", "6": "123456789",
    "7": "134579", "8": "123456789", "9": "123456789",
}  # fmt: skip
"""The second digits of area codes, by the first digit."""

_IVORY_COAST = {"01": "0123", "05": "456", "07": "789"}
_VIETNAM = {
    "120": "70", "121": "79", "122": "77", "126": "76", "128": "78",
    "123": "83", "124": "84", "125": "85", "127": "81", "129": "82",
    "162": "32", "163": "33", "164": "34", "165": "35", "166": "36", "167": "37", "168": "38", "169": "39",
    "186": "56", "188": "58", "199": "59",
}  # fmt: skip

CHANGED_PLANS: Mapping[int, ChangedPlan] = {
    52: ChangedPlan(
        "MX",
        "2019-08-03",
        "IFT, Plan Técnico Fundamental de Numeración (DOF 11/05/2018); the old form ended on 2020-08-03",
        [PrefixChange("1", 11, "")],
    ),
    55: ChangedPlan(
        "BR",
        "2016-11-06",
        "Anatel, Resolução nº 553 de 14/12/2010 (nono dígito); the last areas were 41 to 55",
        [
            PrefixChange(f"{area}{first}", 10, f"{area}9{first}")
            for tens, ones in _BRAZIL.items()
            for area in (tens + one for one in ones)
            for first in "6789"
        ],
    ),
    57: ChangedPlan(
        "CO",
        "2021-09-01",
        "CRC, Resolución 5826 de 2019 (marcación única nacional); the old form ended on 2022-06-01",
        [PrefixChange(area, 8, f"60{area}") for area in "1245678"],
    ),
    84: ChangedPlan(
        "VN",
        "2018-09-15",
        "Ministry of Information and Communications (MIC), conversion of 11-digit mobile numbers",
        [PrefixChange(old, 10, new) for old, new in _VIETNAM.items()],
    ),
    225: ChangedPlan(
        "CI",
        "2021-01-31",
        "ARTCI, passage de 8 à 10 chiffres (mobile numbers)",
        [
            PrefixChange(f"{first}{second}", 8, f"{new}{first}{second}")
            for new, seconds in _IVORY_COAST.items()
            for second in seconds
            for first in "0456789"
        ],
    ),
    229: ChangedPlan(
        "BJ", "2024-11-30", "ARCEP Bénin, passage de 8 à 10 chiffres", [PrefixChange("", 8, "01")]
    ),
}
"""By country calling code."""


def renewed(country_code: int, national: str) -> str | None:
    """The new form of a national number; `None` if the table has no new form for it."""
    if country_code in CHANGED_PLANS:
        for change in CHANGED_PLANS[country_code].changes:
            if len(national) == change.digits and national.startswith(change.old):
                return change.new + national[len(change.old) :]
    return None


def old_ranges() -> Iterator[tuple[int, int]]:
    """The ranges of E.164 numbers that contain old forms: the first and the last number of each."""
    ranges = sorted(
        (
            int(f"{code}{change.old}") * 10 ** (change.digits - len(change.old)),
            change.digits - len(change.old),
        )
        for code, plan in CHANGED_PLANS.items()
        for change in plan.changes
    )
    first, end = ranges[0][0], ranges[0][0]
    for low, free in ranges:
        if low > end:
            yield first, end - 1
            first = low
        end = low + 10**free
    yield first, end - 1


class NewRange(NamedTuple):
    """E.164 numbers in a new form that had an old one.

    Args:
        first, last: of them.
        to_old: the old form less the new one, the same for all of them.
    """

    first: int
    last: int
    to_old: int


def new_ranges() -> Iterator[NewRange]:
    """Where new forms are that had an old one, so that a column of them needs no look at each; a number can
    be in several. `old_forms` says the same of one number."""
    for code, plan in CHANGED_PLANS.items():
        for change in plan.changes:
            numbers = 10 ** (change.digits - len(change.old))
            first = int(f"{code}{change.new}") * numbers
            yield NewRange(first, first + numbers - 1, int(f"{code}{change.old}") * numbers - first)


def old_forms(phone: int) -> list[int]:
    """The old forms that a number can have had, as E.164 digits."""
    digits = str(phone)
    found = []
    for size in _SIZES:
        for old, length in _BY_NEW.get(digits[:size], ()):
            form = old + digits[size:]
            if len(form) == length:
                found.append(int(form))
    return found


def _by_new() -> dict[str, list[tuple[str, int]]]:
    """For the leading digits of new forms: the leading digits of their old forms, and the lengths of
    these."""
    found: dict[str, list[tuple[str, int]]] = {}
    for code, plan in CHANGED_PLANS.items():
        for change in plan.changes:
            forms = found.setdefault(f"{code}{change.new}", [])
            forms.append((f"{code}{change.old}", len(str(code)) + change.digits))
    return found


_BY_NEW = _by_new()
_SIZES = sorted(set(map(len, _BY_NEW)))
