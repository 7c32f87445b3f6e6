"""One phone number: from what people write to E.164 digits, by the rules of libphonenumber."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, ValidationResult

DIGITS_MIN = 9
DIGITS_MAX = 15
"""Of E.164 without `+`. 15 is the recommendation's own limit (ITU-T E.164, section 6); 9 is what strict
clients of the API accept at least."""

_WRITTEN = re.compile(r"\s*+\+?[\s(]*+\d[\d\s().\-]*+", re.ASCII)
_PUNCTUATION = str.maketrans("", "", " \t\r\n\v\f().-+")


class BadPhone(ValueError):
    """A text that is no phone number; the message says why."""


class _Plan(NamedTuple):
    """What the numbering plan of a country calling code says about every number in it."""

    lengths: frozenset[int]
    trunk: re.Pattern[str] | None


def parse(text: str | int, region: str | None = None) -> int:
    """Read a phone number.

    Args:
        text: the digits of E.164, as a number or as text with an optional `+`, spaces, dots, dashes and
            brackets; with a `region` also whatever `phonenumbers` reads.
        region: two letters (ISO 3166-1) of the country whose national format is meant where no country
            code stands. Without it a country code is never guessed: the digits begin with one.

    Returns:
        The digits of E.164 as a number, `DIGITS_MIN` to `DIGITS_MAX` of them. The number is possible (its
        country code exists and it has a length that the plan has); whether it is assigned, see `is_valid`.

    Raises:
        BadPhone: it is no possible number.
    """
    if isinstance(text, int):
        text = str(text)
    if region is not None:
        return _by_phonenumbers(text, region)
    if not _WRITTEN.fullmatch(text):
        raise BadPhone("must be digits, with an optional +, spaces, dots, dashes and brackets")
    digits = text.translate(_PUNCTUATION)
    if not DIGITS_MIN <= len(digits) <= DIGITS_MAX:
        # A trunk digit behind the country code may still have to go: +44 (0)20 ...
        if len(digits) == DIGITS_MAX + 1:
            return _by_phonenumbers(f"+{digits}", None)
        raise BadPhone(f"must have {DIGITS_MIN} to {DIGITS_MAX} digits with its country code")
    for size in (1, 2, 3):
        plan = _plan(digits[:size])
        if plan is not None:
            national = digits[size:]
            if len(national) in plan.lengths and not (plan.trunk and plan.trunk.match(national)):
                return int(digits)
            break
    return _by_phonenumbers(f"+{digits}", None)


def is_valid(phone: int) -> bool:
    """Whether the number is in a range that the numbering plan assigns. Plans change: what is not valid
    today may be next year.

    Args:
        phone: digits of E.164.
    """
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{phone}"))
    except NumberParseException:
        return False


def _by_phonenumbers(text: str, region: str | None) -> int:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise BadPhone(_REASONS.get(error.error_type, "is not a phone number")) from None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible not in (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
        raise BadPhone(_LENGTHS.get(possible, "is not a phone number"))
    if possible == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        raise BadPhone("is too short")
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    if not DIGITS_MIN <= len(digits) <= DIGITS_MAX:
        raise BadPhone(f"must have {DIGITS_MIN} to {DIGITS_MAX} digits with its country code")
    return int(digits)


_REASONS = {
    NumberParseException.INVALID_COUNTRY_CODE: "has a country code that does not exist",
    NumberParseException.TOO_SHORT_AFTER_IDD: "is too short",
    NumberParseException.TOO_SHORT_NSN: "is too short",
    NumberParseException.TOO_LONG: "is too long",
}
_LENGTHS = {
    ValidationResult.INVALID_COUNTRY_CODE: "has a country code that does not exist",
    ValidationResult.TOO_SHORT: "is too short",
    ValidationResult.TOO_LONG: "is too long",
    ValidationResult.INVALID_LENGTH: "has a length that its country does not have",
}


@cache
def _plan(country_code: str) -> _Plan | None:
    """The lengths of national numbers under a country calling code, and the digits in front of one that
    `phonenumbers` would take for a trunk prefix and strip; `None` when the code does not exist."""
    if country_code.startswith("0"):
        return None
    code = int(country_code)
    region = phonenumbers.region_code_for_country_code(code)
    if region == phonenumbers.UNKNOWN_REGION:
        return None
    if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        metadata = PhoneMetadata.metadata_for_nongeo_region(code)
    else:
        metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    # Only what has to be there: a prefix that may be empty strips nothing where it is empty.
    trunk = re.compile(f"(?=.)(?:{prefix})(?<!^)") if prefix else None
    return _Plan(frozenset(metadata.general_desc.possible_length), trunk)
