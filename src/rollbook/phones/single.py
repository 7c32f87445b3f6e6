"""One phone number: from what people write to E.164 digits, by the rules of libphonenumber."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata

from rollbook.phones import changes, one, several
from rollbook.phones.spelling import WIDE, NoDigits, cleaned, plain
from rollbook.phones.verdict import SENTENCES

DIGITS_MIN = 9
DIGITS_MAX = 15
"""Of E.164 without `+`. 15 is the recommendation's own limit (ITU-T E.164, section 6); 9 is what strict
clients of the API accept at least."""

_WRITTEN = re.compile(r"\s{0,99}+\+?[\s(]{0,99}+[1-9][\d\s()\-]*+", re.ASCII)
_PUNCTUATION = str.maketrans("", "", " \t\r\n\v\f()-+")
_FRAGMENT = re.compile(r"(?:tel:)?[+\d\s().\-/\[\]]*+", re.IGNORECASE | re.ASCII)
_CONTRACT = re.compile(
    r"(?:tel:\+?[\d\s().\-/\[\]]++(?:;[a-z\-]{1,20}=[\w.\-+]{0,40}){0,5}|[\s(]{0,9}+\+?[\d\s().\-/\[\]]*+)",
    re.IGNORECASE | re.ASCII,
)
_NO_DIGITS = re.compile(r"\D++", re.ASCII)
_DIGITS = re.compile(r"\+?\d++", re.ASCII)
_UNREADABLE = "must be digits, with an optional +, spaces, dots, dashes and brackets"
_BOUNDS = f"must have {DIGITS_MIN} to {DIGITS_MAX} digits with its country code"


class BadPhone(ValueError):
    """A text that is no phone number; the message says why."""


class _Beginning(NamedTuple):
    """What a numbering plan says about all numbers with the same first `BEGINNING_DIGITS` digits of E.164.

    Args:
        lengths: how many digits such a number has; none where only `one.read` can decide.
        doubtful: matches the numbers of these lengths that only `one.read` can decide; `None` if there are
            none.
    """

    lengths: frozenset[int]
    doubtful: re.Pattern[str] | None


class _Beginnings(dict[str, _Beginning]):
    """By the first digits of numbers, each made when it is first asked for."""

    def __missing__(self, start: str) -> _Beginning:
        found = self[start] = _beginning(start)
        return found


_BEGINNINGS = _Beginnings()
BEGINNING_DIGITS = 4
"""A country calling code of three digits at most, and the one digit that most trunk prefixes have."""


def parse(text: str | int, region: str | None = None) -> int:
    """Read a phone number, as files are read (see `one.read`), or refuse it.

    Args:
        text: the digits of E.164, as a number or as text with an optional `+` or 00, spaces, dots, dashes and
            brackets of every kind. Letters do not stand for digits here, and nothing else may stand beside
            the number, but for the parameters of a `tel:`.
        region: two letters (ISO 3166-1) of the country whose national format is meant where no country
            code stands. Without it a country code is never guessed: the digits begin with one.

    Returns:
        The digits of E.164 as a number, `DIGITS_MIN` to `DIGITS_MAX` of them. The number is possible (its
        country code exists and it has a length that the plan has); whether it is assigned, see `is_valid`.

    Raises:
        BadPhone: it is no possible number.
    """
    if isinstance(text, int):
        if text < 0:
            raise BadPhone(_UNREADABLE)
        text = str(text)
    if len(text) > one.CHARACTERS_MAX:
        raise BadPhone(_UNREADABLE)
    if region is None and (quickly := _quickly(text)):
        return quickly
    return _accepted(text, one.read(text, region), region)


def _quickly(text: str) -> int | None:
    """A number with its country code in plain digits and punctuation; `None` for any other text."""
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


def _accepted(text: str, reading: one.Reading, region: str | None) -> int:
    """The phone of a reading."""
    reason = reading.verdict.reason
    within = 10 ** (DIGITS_MIN - 1) <= reading.phone < 10**DIGITS_MAX
    if not within and _DIGITS.fullmatch(text) and not DIGITS_MIN <= len(text.lstrip("+")) <= DIGITS_MAX:
        raise BadPhone(_BOUNDS)
    if reason in ("empty", "not_a_number") or (reading.phone and several.has_letters(cleaned(text))):
        raise BadPhone(_UNREADABLE)
    if reading.phone and not _is_by_contract(text):
        raise BadPhone(_UNREADABLE)
    if not reading.verdict.possible or reason == "local_only":
        raise BadPhone(one.sentence(reason, text, region) or _UNREADABLE)
    if not within:
        raise BadPhone(_BOUNDS)
    return reading.phone


def _is_by_contract(text: str) -> bool:
    """Whether a text that was read has only what the contract names, in whatever spelling: where files guess
    what a mark beside a number means, the API refuses."""
    return not _is_beside_the_contract(text) and bool(_CONTRACT.fullmatch(cleaned(text)))


def _is_beside_the_contract(text: str) -> bool:
    """Whether there are digits of other scripts, or a comma behind the number."""
    if text.isascii():
        return text.rstrip().endswith(",")
    return plain(text).rstrip().endswith(",") or any(
        letter.isdecimal() and not letter.isascii() and ord(letter) not in WIDE for letter in text
    )


def fragment(text: str) -> str:
    """The digits of a part of a phone, or of a whole one, however it is spelled; nothing for an empty text.

    Raises:
        BadPhone: it is not made of digits.
    """
    try:
        spelled = cleaned(text[: one.CHARACTERS_MAX + 1])
    except NoDigits as error:
        raise BadPhone(SENTENCES[str(error)]) from None
    digits = _NO_DIGITS.sub("", spelled)
    if _is_beside_the_contract(text):
        raise BadPhone(_UNREADABLE)
    if spelled and not (digits and _FRAGMENT.fullmatch(spelled)):
        raise BadPhone(_UNREADABLE)
    if len(digits) >= DIGITS_MIN:
        with suppress(BadPhone):
            return str(parse(text))
    return digits


def literally(text: str) -> int | None:
    """The digits of a text that is no phone, country code in front, where no plan has such numbers (any
    more); `None` where they are a phone, or can be none."""
    try:
        digits = fragment(text).removeprefix("00")
    except BadPhone:
        return None
    if not DIGITS_MIN <= len(digits) <= DIGITS_MAX or digits[0] == "0" or one.read(digits, None).phone:
        return None
    return int(digits)


def renewed(phone: int) -> int | None:
    """The form that an old number has since its plan changed (see `changes`), both E.164 digits; `None` where
    it has no other."""
    new = one.read(f"+{phone}", None).phone
    return new if new not in (0, phone) else None


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


def _beginning(start: str) -> _Beginning:
    """What is known about the numbers with some first digits."""
    for size in (1, 2, 3):
        code = start[:size]
        if not code.startswith("0") and (known := _metadata(int(code))) is not None:
            return _of_plan(start, code, known)
    return _Beginning(frozenset(), None)


def _metadata(country_code: int) -> PhoneMetadata | None:
    """What `phonenumbers` knows about a country calling code; `None` if it does not exist."""
    region = phonenumbers.region_code_for_country_code(country_code)
    if region == phonenumbers.UNKNOWN_REGION:
        return None
    return PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)


def _of_plan(start: str, code: str, known: PhoneMetadata) -> _Beginning:
    """What a plan says about the numbers with some first digits, `code` among them."""
    general = known.general_desc
    lengths = {len(code) + national for national in general.possible_length} if general else set()
    lengths.intersection_update(range(DIGITS_MIN, DIGITS_MAX + 1))
    doubts = []
    if int(code) in changes.PLANS:
        for old, digits, _ in changes.PLANS[int(code)].changes:
            doubts.append(rf"{code}{old}\d{{{digits - len(old)}}}\Z")
    # What `phonenumbers` takes for a trunk prefix, it strips.
    trunk = known.national_prefix_for_parsing
    if trunk and trunk.isdigit() and len(code + trunk) <= len(start):
        if start.startswith(code + trunk):
            lengths.clear()
    elif trunk:
        # Only what has to be there: a prefix that may be empty strips nothing where it is empty.
        doubts.append(rf"{code}(?=.)(?:{trunk})(?<!^{code})")
    return _Beginning(frozenset(lengths), re.compile("|".join(doubts)) if doubts else None)
