"""Single phone numbers: reads a number as people write it into E.164 digits, by the rules of libphonenumber.

Texts other than plain digits and punctuation are read by `phonenumbers` itself.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

import phonenumbers
from phonenumbers import (
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from rollbook.errors import Invalid, Problem
from rollbook.phones import changes, several
from rollbook.phones.spelling import WIDE, NoDigits, cleaned, plain
from rollbook.phones.verdict import (
    E164_DIGITS_MAX,
    E164_DIGITS_MIN,
    NOT_DIGITS,
    OUT_OF_BOUNDS,
    PHONE_MAX,
    PHONE_MIN,
    SENTENCES,
    Verdict,
)

CHARACTERS_MAX = 250
"""The longest text that libphonenumber reads; its own limit."""

_PLAIN = re.compile(r"\+?[\d ().-]*+", re.ASCII)
_DOUBLE_ZERO = re.compile(r"([^+\d]{0,250}+)\+?[ ().\-/\[\]]{0,99}+0[ ().\-/\[\]]{0,99}+0")
_FIRST = re.compile(r"[+＋\d]")
_LOCAL_CONTEXT = ";phone-context="
_LETTERED_TYPES = ("toll_free", "premium_rate", "shared_cost", "uan", "personal_number")
"""Types of numbers that are advertised with letters; in other numbers letters are a name more often than
digits."""

_PARSE_ERRORS = {
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
_WRITTEN = re.compile(r"\s{0,99}+\+?[\s(]{0,99}+[1-9][\d\s()\-]*+", re.ASCII)
_PUNCTUATION = str.maketrans("", "", " \t\r\n\v\f()-+")
_FRAGMENT = re.compile(r"(?:tel:)?[+\d\s().\-/\[\]]*+", re.IGNORECASE | re.ASCII)
_CONTRACT = re.compile(
    r"(?:tel:\+?[\d\s().\-/\[\]]++(?:;[a-z\-]{1,20}=[\w.\-+]{0,40}){0,5}|[\s(]{0,9}+\+?[\d\s().\-/\[\]]*+)",
    re.IGNORECASE | re.ASCII,
)
_NO_DIGITS = re.compile(r"\D++", re.ASCII)
_DIGITS = re.compile(r"\+?\d++", re.ASCII)


class BadPhone(ValueError):
    """A text is not a phone number; the message says why."""


class Reading(NamedTuple):
    """The result of reading a text.

    Args:
        phone: E.164 digits as a number; 0 if the text is not a possible number.
        verdict: the verdict about the number.
        number: the same number as an object of `phonenumbers`; `None` if the text is not a possible number.
    """

    phone: int
    verdict: Verdict
    number: PhoneNumber | None = None


def parse(text: str | int, region: str | None = None) -> int:
    """Read a phone number by the same rules as files (see `read`), or refuse it.

    Args:
        text: E.164 digits, as a number or as text with an optional `+` or 00, spaces, dots, dashes and
            brackets of every kind. Letters are not accepted for digits here, and no other text may stand
            beside the number, except the parameters of a `tel:` URI.
        region: two letters (ISO 3166-1) of the country whose national format applies to a number without a
            country code. Without a region a country code is never guessed: the digits must begin with one.

    Returns:
        E.164 digits as a number, from `PHONE_MIN` to `PHONE_MAX`. The number is possible: its country code
        exists and its length fits the plan. For whether it is assigned see `is_valid`.

    Raises:
        BadPhone: the text is not a possible number.
    """
    if isinstance(text, int):
        if text < 0:
            raise BadPhone(NOT_DIGITS)
        text = str(text)
    if len(text) > CHARACTERS_MAX:
        raise BadPhone(NOT_DIGITS)
    if region is None and (quickly := _quickly(text)):
        return quickly
    return _accepted(text, read(text, region), region)


def read(text: str | None, region: str | None) -> Reading:
    """Read a text by the rules of `column.classify`.

    Args:
        region: see `parse_region`.
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


def numbers_in(text: str | None, region: str | None) -> list[str]:
    """The numbers in a text that contains more than one (`two_numbers`); else an empty list."""
    if text is None or len(text) > CHARACTERS_MAX:
        return []
    try:
        return _numbers(cleaned(text), region)
    except NoDigits:
        return []


def sentence(reason: str, text: str | None, region: str | None) -> str:
    """A reason for people, as the end of a sentence that begins with the number. It quotes the numbers of a
    text that contains two."""
    if reason == "two_numbers" and (found := numbers_in(text, region)):
        quoted = ", ".join(f"'{number}'" for number in found[:-1])
        many = {2: "two"}.get(len(found), str(len(found)))
        return f"holds {many} numbers: {quoted} and '{found[-1]}'"
    return SENTENCES.get(reason, "")


def parse_region(region: str | None) -> str | None:
    """Read the two letters of a region (ISO 3166-1), in any case and with white space around them.

    Returns:
        The region in the spelling of libphonenumber; `None` if no region is given.

    Raises:
        Invalid: libphonenumber does not know it.
    """
    if region is None or (letters := region.strip().upper()) in SUPPORTED_REGIONS:
        return region and letters
    problem = f"The region must be two letters such as UA (ISO 3166-1), not {letters!r}."
    raise Invalid([Problem("region", problem)])


def fragment(text: str) -> str:
    """The digits of a phone or a part of one, in any spelling; "" for an empty text.

    Raises:
        BadPhone: the text does not consist of digits.
    """
    try:
        spelled = cleaned(text[: CHARACTERS_MAX + 1])
    except NoDigits as error:
        raise BadPhone(SENTENCES[str(error)]) from None
    digits = _NO_DIGITS.sub("", spelled)
    if _is_beside_the_contract(text):
        raise BadPhone(NOT_DIGITS)
    if spelled and not (digits and _FRAGMENT.fullmatch(spelled)):
        raise BadPhone(NOT_DIGITS)
    if len(digits) >= E164_DIGITS_MIN:
        with suppress(BadPhone):
            return str(parse(text))
    return digits


def literally(text: str) -> int | None:
    """The digits of a text that is not a phone, beginning with a country code, if no plan has such numbers
    (any more). `None` if they are a phone, or can never be one."""
    try:
        digits = fragment(text).removeprefix("00")
    except BadPhone:
        return None
    if not E164_DIGITS_MIN <= len(digits) <= E164_DIGITS_MAX or digits[0] == "0" or read(digits, None).phone:
        return None
    return int(digits)


def renewed(phone: int) -> int | None:
    """The new form of an old number whose plan changed (see `changes`), both as E.164 digits; `None` if it
    has no new form."""
    new = read(f"+{phone}", None).phone
    return new if new not in (0, phone) else None


def is_valid(phone: int) -> bool:
    """Whether the number is in a range that the numbering plan assigns. Plans change: a number that is not
    valid today may be valid next year.

    Args:
        phone: E.164 digits.
    """
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{phone}"))
    except NumberParseException:
        return False


def _is_counted(text: str, number: str, region: str | None) -> bool:
    """Whether a text is a number followed by a mark, and not a number that includes the digits of the
    mark."""
    whole = _parsed(_with_plus(text) if region is None else text, region)
    return bool(whole.verdict.reason) and not _alone(number, region).verdict.reason


def _numbers(text: str, region: str | None) -> list[str]:
    return several.numbers(text, lambda part: not _alone(part, region).verdict.reason)


def _lettered(text: str, digits: str, region: str | None) -> Reading:
    """Read a text with letters after its first digit: a name after a number, or letters for digits."""
    if _alone(digits, region).verdict.possible:
        return Reading(0, Verdict("letters_behind"))
    found = _alone(text, region)
    if found.phone and not (several.fill_their_groups(text) and found.verdict.type in _LETTERED_TYPES):
        return Reading(0, Verdict("not_a_number"))
    return found


def _alone(text: str, region: str | None) -> Reading:
    """Read one number in plain spelling."""
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


def _behind_double_zero(text: str) -> str | None:
    """A text with `+` instead of a leading 00; `None` without one. No country code begins with 0."""
    match = None if _LOCAL_CONTEXT in text else _DOUBLE_ZERO.match(text)
    return f"{match[1]}+{text[match.end() :]}" if match else None


def _with_plus(text: str) -> str:
    """A text with its first digits marked as a country code by a `+`, if they are not marked already."""
    first = _FIRST.search(text)
    if first is None or not first[0].isdigit() or _LOCAL_CONTEXT in text:
        return text
    return f"{text[: first.start()]}+{text[first.start() :]}"


def _parsed(text: str, region: str | None) -> Reading:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        return Reading(0, Verdict(_PARSE_ERRORS[error.error_type]))
    found = _looked_up(number)
    code = number.country_code or 0
    if found.verdict.reason and code in changes.CHANGED_PLANS:
        new = changes.renewed(code, phonenumbers.national_significant_number(number))
        if new is not None:
            reading = _looked_up(phonenumbers.parse(f"+{code}{new}", None))
            if not reading.verdict.reason:
                return reading
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


def _quickly(text: str) -> int | None:
    """Read a number with its country code in plain digits and punctuation; `None` for any other text."""
    digits = text.removeprefix("+")
    if not (digits.isdigit() and digits.isascii()):
        if not _WRITTEN.fullmatch(text) or several.without_mark(text) is not None:
            return None
        digits = text.translate(_PUNCTUATION)
        if len(digits) >= several.DIGITS_MIN:
            return None  # it may be two numbers
    lengths, doubtful = _BEGINNINGS[digits[:BEGINNING_DIGITS]]
    if len(digits) in lengths and (doubtful is None or not doubtful.match(digits)):
        return int(digits)
    return None


def _accepted(text: str, reading: Reading, region: str | None) -> int:
    """The phone of a reading."""
    reason = reading.verdict.reason
    within = PHONE_MIN <= reading.phone <= PHONE_MAX
    if (
        not within
        and _DIGITS.fullmatch(text)
        and not E164_DIGITS_MIN <= len(text.lstrip("+")) <= E164_DIGITS_MAX
    ):
        raise BadPhone(OUT_OF_BOUNDS)
    if reason in ("empty", "not_a_number") or (reading.phone and several.has_letters(cleaned(text))):
        raise BadPhone(NOT_DIGITS)
    if reading.phone and not _is_by_contract(text):
        raise BadPhone(NOT_DIGITS)
    if not reading.verdict.possible or reason == "local_only":
        raise BadPhone(sentence(reason, text, region) or NOT_DIGITS)
    if not within:
        raise BadPhone(OUT_OF_BOUNDS)
    return reading.phone


def _is_by_contract(text: str) -> bool:
    """Whether a text that was read contains only what the contract allows, in any spelling. For files the
    meaning of a mark beside a number is guessed; the API refuses it."""
    return not _is_beside_the_contract(text) and bool(_CONTRACT.fullmatch(cleaned(text)))


def _is_beside_the_contract(text: str) -> bool:
    """Whether the text has digits of other scripts, or a comma after the number."""
    if text.isascii():
        return text.rstrip().endswith(",")
    return plain(text).rstrip().endswith(",") or any(
        letter.isdecimal() and not letter.isascii() and ord(letter) not in WIDE for letter in text
    )


class _Beginning(NamedTuple):
    """The rules of a numbering plan for all numbers with the same first `BEGINNING_DIGITS` E.164 digits.

    Args:
        lengths: the possible numbers of digits; empty where only `read` can decide.
        doubtful: matches the numbers of these lengths about which only `read` can decide; `None` if there are
            none.
    """

    lengths: frozenset[int]
    doubtful: re.Pattern[str] | None


class _Beginnings(dict[str, _Beginning]):
    """The rules by the first digits of numbers, each computed on first use."""

    def __missing__(self, start: str) -> _Beginning:
        found = self[start] = _beginning(start)
        return found


_BEGINNINGS = _Beginnings()
BEGINNING_DIGITS = 4
"""A country calling code has at most three digits, and most trunk prefixes have one."""


def _beginning(start: str) -> _Beginning:
    """The rules for the numbers with the given first digits."""
    for size in (1, 2, 3):
        code = start[:size]
        if not code.startswith("0") and (metadata := _metadata(int(code))) is not None:
            return _of_plan(start, code, metadata)
    return _Beginning(frozenset(), None)


def _metadata(country_code: int) -> PhoneMetadata | None:
    """The metadata of `phonenumbers` for a country calling code; `None` if the code does not exist."""
    region = phonenumbers.region_code_for_country_code(country_code)
    if region == phonenumbers.UNKNOWN_REGION:
        return None
    return PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)


def _of_plan(start: str, code: str, metadata: PhoneMetadata) -> _Beginning:
    """The rules of a plan for the numbers with the given first digits, which include `code`."""
    general = metadata.general_desc
    lengths = {len(code) + national for national in general.possible_length} if general else set()
    lengths.intersection_update(range(E164_DIGITS_MIN, E164_DIGITS_MAX + 1))
    doubts = []
    if int(code) in changes.CHANGED_PLANS:
        for old, digits, _ in changes.CHANGED_PLANS[int(code)].changes:
            doubts.append(rf"{code}{old}\d{{{digits - len(old)}}}\Z")
    # `phonenumbers` strips digits that match the trunk prefix.
    trunk = metadata.national_prefix_for_parsing
    if trunk and trunk.isdigit() and len(code + trunk) <= len(start):
        if start.startswith(code + trunk):
            lengths.clear()
    elif trunk:
        # Only a nonempty match counts: a prefix that may be empty strips nothing where it is empty.
        doubts.append(rf"{code}(?=.)(?:{trunk})(?<!^{code})")
    return _Beginning(frozenset(lengths), re.compile("|".join(doubts)) if doubts else None)
