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
from rollbook.phones import changes, several
from rollbook.phones.spelling import NoDigits, cleaned
from rollbook.phones.verdict import E164_DIGITS_MAX, SENTENCES, Verdict

CHARACTERS_MAX = 250
"""Of a text that libphonenumber reads; its own limit."""

_PLAIN = re.compile(r"\+?[\d ().-]*+", re.ASCII)
_DOUBLE_ZERO = re.compile(r"([^+\d]{0,250}+)\+?[ ().\-/\[\]]{0,99}+0[ ().\-/\[\]]{0,99}+0")
_FIRST = re.compile(r"[+＋\d]")
_LOCAL_CONTEXT = ";phone-context="
_LETTERED_TYPES = ("toll_free", "premium_rate", "shared_cost", "uan", "personal_number")
"""Numbers that are advertised in letters; elsewhere they are a name more often than digits."""

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
    try:
        text = cleaned(text or "")
    except NoDigits as error:
        return Reading(0, Verdict(str(error)))
    if not text:
        return Reading(0, Verdict("empty"))
    if not _PLAIN.fullmatch(text) or sum(map(str.isdigit, text)) >= several.DIGITS_MIN:
        if found := _numbers(text, region):
            readings = [_alone(part, region) for part in found]
            same = {reading.phone for reading in readings} == {readings[0].phone}
            return readings[0] if same and readings[0].phone else Reading(0, Verdict("two_numbers"))
        if (digits := several.without_letters(text)) is not None:
            return _lettered(text, digits, region)
    if (number := several.without_mark(text)) is not None and _is_counted(text, number, region):
        return Reading(0, Verdict("too_long"))
    return _alone(text, region)


def _is_counted(text: str, number: str, region: str | None) -> bool:
    """Whether a text is a number with a mark behind it, and not one with the digits of the mark."""
    whole = _parsed(_with_plus(text) if region is None else text, region)
    return bool(whole.verdict.reason) and not _alone(number, region).verdict.reason


def numbers_in(text: str | None, region: str | None) -> list[str]:
    """The numbers in a text that holds more than one (`two_numbers`); else nothing."""
    if text is None or len(text) > CHARACTERS_MAX:
        return []
    try:
        return _numbers(cleaned(text), region)
    except NoDigits:
        return []


def sentence(reason: str, text: str | None, region: str | None) -> str:
    """A reason for people, to be put behind the number; it quotes the numbers of a text that holds two."""
    if reason == "two_numbers" and (found := numbers_in(text, region)):
        quoted = ", ".join(f"'{number}'" for number in found[:-1])
        many = {2: "two"}.get(len(found), str(len(found)))
        return f"holds {many} numbers: {quoted} and '{found[-1]}'"
    return SENTENCES.get(reason, "")


def _numbers(text: str, region: str | None) -> list[str]:
    return several.numbers(text, lambda part: not _alone(part, region).verdict.reason)


def _lettered(text: str, digits: str, region: str | None) -> Reading:
    """A text with letters behind its first digit: a name behind a number, or letters for digits."""
    if _alone(digits, region).verdict.possible:
        return Reading(0, Verdict("letters_behind"))
    found = _alone(text, region)
    if found.phone and not (several.fill_their_groups(text) and found.verdict.type in _LETTERED_TYPES):
        return Reading(0, Verdict("not_a_number"))
    return found


def _alone(text: str, region: str | None) -> Reading:
    """One number, in plain spelling."""
    text = text.replace("\n", " ")
    abroad = _behind_double_zero(text)
    if region is None:
        return _parsed(_with_plus(text if abroad is None else abroad), None)
    found = _parsed(text, region)
    if found.verdict.reason and "+" not in text and text[0].isdigit():
        retried = _parsed(f"+{text}", None)
        if not retried.verdict.reason:
            return retried
    if found.verdict.reason and abroad is not None:
        dialled = _parsed(abroad, None)
        if not dialled.verdict.reason or (dialled.verdict.possible and not found.verdict.possible):
            return dialled
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


def _behind_double_zero(text: str) -> str | None:
    """A text with `+` for the 00 that it begins with, if it does: no country code begins with 0."""
    match = None if _LOCAL_CONTEXT in text else _DOUBLE_ZERO.match(text)
    return f"{match[1]}+{text[match.end() :]}" if match else None


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
    found = _looked_up(number)
    code = number.country_code or 0
    if found.verdict.reason and code in changes.PLANS:
        new = changes.renewed(code, phonenumbers.national_significant_number(number))
        if new is not None:
            renewed = _looked_up(phonenumbers.parse(f"+{code}{new}", None))
            if not renewed.verdict.reason:
                return renewed
    return found


def _looked_up(number: PhoneNumber) -> Reading:
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
