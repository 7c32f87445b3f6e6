"""One text, however odd: what is not plain digits and punctuation is read by `phonenumbers` itself."""

from __future__ import annotations

import re
from typing import NamedTuple

import phonenumbers
from phonenumbers import (
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from rollbook.errors import Invalid, Problem
from rollbook.phones.verdict import E164_DIGITS_MAX, Verdict

CHARACTERS_MAX = 250
"""Of a text that libphonenumber reads; its own limit."""

_SCIENTIFIC = re.compile(r"[+-]?\d{1,250}(?:[.,]\d{0,250})?[eE][+-]?\d{1,250}", re.ASCII)
_FLOAT = re.compile(r"\+?\d{1,250}\.0", re.ASCII)
_FIRST = re.compile(r"[+＋\d]")
_LOCAL_CONTEXT = ";phone-context="

_UNREADABLE = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown_country_code",
    NumberParseException.NOT_A_NUMBER: "not_a_number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    NumberParseException.TOO_SHORT_NSN: "too_short",
    NumberParseException.TOO_LONG: "too_long",
}
_LENGTHS = {
    ValidationResult.IS_POSSIBLE: "not_assigned",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "local_only",
    ValidationResult.INVALID_COUNTRY_CODE: "unknown_country_code",
    ValidationResult.TOO_SHORT: "too_short",
    ValidationResult.TOO_LONG: "too_long",
    ValidationResult.INVALID_LENGTH: "invalid_length",
}


class Reading(NamedTuple):
    """What a text was read as.

    Args:
        phone: digits of E.164 as a number; 0 when it is no possible number.
        verdict: about it.
        number: the same as `phonenumbers` has it; `None` when it is no possible number.
    """

    phone: int
    verdict: Verdict
    number: PhoneNumber | None = None


def read(text: str | None, region: str | None) -> Reading:
    """Read a text by the rules that `column.classify` states.

    Args:
        region: see `known_region`.
    """
    if text is not None and len(text) > CHARACTERS_MAX:
        return Reading(0, Verdict("not_a_number"))
    text = cleaned(text or "")
    if not text:
        return Reading(0, Verdict("empty"))
    if _SCIENTIFIC.fullmatch(text):
        return Reading(0, Verdict("scientific_notation"))
    if region is None:
        return _parsed(_with_plus(text), None)
    found = _parsed(text, region)
    if found.verdict.reason and "+" not in text and text[0].isdigit():
        abroad = _parsed(f"+{text}", None)
        if not abroad.verdict.reason:
            return abroad
    return found


def known_region(region: str | None) -> str | None:
    """A region as libphonenumber spells it.

    Raises:
        Invalid: it does not know that region.
    """
    if region is None or (region := region.upper()) in SUPPORTED_REGIONS:
        return region
    raise Invalid(
        [Problem("region", f"The region must be two letters such as UA (ISO 3166-1), not {region!r}.")]
    )


def cleaned(text: str) -> str:
    """Without what spreadsheets put around a number: white space, an apostrophe in front that marks it as
    text, `.0` behind it that marks it as a fraction."""
    text = text.strip().removeprefix("'").strip()
    return text[:-2] if _FLOAT.fullmatch(text) else text


def _with_plus(text: str) -> str:
    """Its first digits made a country code, if they are not marked as one."""
    first = _FIRST.search(text)
    if first is None or not first[0].isdigit() or _LOCAL_CONTEXT in text:
        return text
    return f"{text[: first.start()]}+{text[first.start() :]}"


def _parsed(text: str, region: str | None) -> Reading:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        return Reading(0, Verdict(_UNREADABLE[error.error_type]))
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    if len(digits) > E164_DIGITS_MAX:
        return Reading(0, Verdict("too_long"))
    length = phonenumbers.is_possible_number_with_reason(number)
    possible = length in (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)
    valid = phonenumbers.is_valid_number(number)
    if not valid and not possible:
        return Reading(0, Verdict(_LENGTHS[length]))
    verdict = Verdict(
        "" if valid else _LENGTHS[length],
        possible,
        phonenumbers.region_code_for_number(number) or "",
        PhoneNumberType.to_string(phonenumbers.number_type(number)).lower(),
    )
    return Reading(int(digits), verdict, number)
