"""Numbers without a book: what can be told about a phone number by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from rollbook import phones
from rollbook.errors import Invalid, Problem

CHECKED_AT_ONCE_MAX = 10_000
"""Takes a second and a half."""

_NO_TIME_ZONE = "Etc/Unknown"


class Number(NamedTuple):
    """About one text.

    Args:
        text: as it came.
        valid: it is in a range that the plan of its country assigns.
        possible: its country code exists and has numbers of that length.
        reason: why it is not valid, one of `phones.REASONS`; "" when it is.
        sentence: the reason for people, to be put behind the number.
        phone: digits of E.164; `None` when it is no possible number. The other members are empty then.
        region: two letters (ISO 3166-1), or 001 for numbers of no country; "" when unknown.
        type: `mobile`, `fixed_line`, ..., one of `phones.TYPES`; `unknown` when not valid.
        e164, international, national: the number, written in these ways.
        carrier: who was given the range, in English; numbers may have been ported since. "" when unknown.
        time_zones: of where it is in use, such as Europe/Kyiv.
    """

    text: str
    valid: bool
    possible: bool
    reason: str
    sentence: str
    phone: int | None
    region: str
    type: str
    e164: str
    international: str
    national: str
    carrier: str
    time_zones: tuple[str, ...]


def check(texts: Sequence[str], region: str | None) -> list[Number]:
    """Tell about some texts, in their order; 8,000 a second.

    Args:
        texts: at most `CHECKED_AT_ONCE_MAX`; how they are read, see `phones.column.classify`.
        region: two letters of the country whose national format is meant where no country code stands; with
            `None` the digits begin with a country code.

    Raises:
        Invalid: there are too many texts, or the region is unknown.
    """
    if len(texts) > CHECKED_AT_ONCE_MAX:
        problem = f"There may be at most {CHECKED_AT_ONCE_MAX} numbers, not {len(texts)}."
        raise Invalid([Problem("numbers", problem)])
    region = phones.parse_region(region)
    checked = {text: _checked(text, region) for text in dict.fromkeys(texts)}
    return [checked[text] for text in texts]


def _checked(text: str, region: str | None) -> Number:
    reading = phones.read(text, region)
    verdict, number = reading.verdict, reading.number
    e164 = international = national = carrier = ""
    time_zones: tuple[str, ...] = ()
    if number is not None:
        e164, international, national = (
            phonenumbers.format_number(number, form)
            for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)
        )
        if not verdict.reason:
            carrier, time_zones = _whereabouts(number)
    return Number(
        text=text,
        valid=not verdict.reason,
        possible=verdict.possible,
        reason=verdict.reason,
        sentence=phones.sentence(verdict.reason, text, region),
        phone=reading.phone or None,
        region=verdict.region,
        type=verdict.type,
        e164=e164,
        international=international,
        national=national,
        carrier=carrier,
        time_zones=time_zones,
    )


def _whereabouts(number: PhoneNumber) -> tuple[str, tuple[str, ...]]:
    # Not before somebody asks: the names and zones take 12 MB.
    from phonenumbers import carrier, timezone

    zones = timezone.time_zones_for_number(number)
    return carrier.name_for_number(number, "en"), tuple(zone for zone in zones if zone != _NO_TIME_ZONE)
