"""Number checks: validity, region, type, carrier and time zones of phone numbers, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from rollbook import phones
from rollbook.errors import Invalid, Problem

CHECKED_AT_ONCE_MAX = 10_000
"""One call takes at most this many texts, which take a second and a half."""

_NO_TIME_ZONE = "Etc/Unknown"


class Number(NamedTuple):
    """The result for one text.

    Args:
        text: the text as it was given.
        valid: whether the number is in a range that the plan of its country assigns.
        possible: whether its country code exists and has numbers of that length.
        reason: the reason why it is not valid, one of `phones.REASONS`; "" for a valid number.
        sentence: the reason for people, as the end of a sentence that begins with the number.
        phone: E.164 digits; `None` for an impossible number. The following members are empty then.
        region: two letters (ISO 3166-1), or 001 for a number of no country; "" when unknown.
        type: one of `phones.TYPES`, such as `mobile` or `fixed_line`; `unknown` for an invalid number.
        e164, international, national: the number in these formats.
        carrier: the carrier to which the range was assigned, in English; the number may have been ported
            since. "" when unknown.
        time_zones: the time zones in which the number is used, such as Europe/Kyiv.
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
    """Check phone numbers, about 8,000 in a second. The results come in the order of the texts.

    Args:
        texts: `CHECKED_AT_ONCE_MAX` at most; they are read as in `phones.column.classify`.
        region: two letters of the country whose national format applies to numbers without a country code.
            With `None` the digits always begin with a country code.

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
    # Imported on first use: the names and zones take 12 MB.
    from phonenumbers import carrier, timezone

    zones = timezone.time_zones_for_number(number)
    return carrier.name_for_number(number, "en"), tuple(zone for zone in zones if zone != _NO_TIME_ZONE)
