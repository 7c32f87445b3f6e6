"""What `phonenumbers` itself says about a text, one at a time: the yardstick for `phones.column`.

Nothing of `rollbook.phones` is used, so that an error there cannot hide itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import phonenumbers
import pyarrow as pa
from phonenumbers import NumberParseException as Bad
from phonenumbers import ValidationResult as Length

from rollbook.phones.column import REASONS, REGIONS, TYPES, classify


class Said(NamedTuple):
    phone: int
    possible: bool
    valid: bool
    reason: str
    region: str
    type: str


UNREADABLE = {
    Bad.INVALID_COUNTRY_CODE: "unknown_country_code",
    Bad.NOT_A_NUMBER: "not_a_number",
    Bad.TOO_SHORT_AFTER_IDD: "too_short",
    Bad.TOO_SHORT_NSN: "too_short",
    Bad.TOO_LONG: "too_long",
}
LENGTHS = {
    Length.IS_POSSIBLE: "not_assigned",
    Length.IS_POSSIBLE_LOCAL_ONLY: "local_only",
    Length.TOO_SHORT: "too_short",
    Length.TOO_LONG: "too_long",
    Length.INVALID_LENGTH: "invalid_length",
}


def said(text: str | None, region: str | None) -> Said:
    """By the rules that `classify` states."""
    text = text or ""
    if len(text) > 250:
        return _refused("not_a_number")
    text = text.strip()
    if text.startswith("'"):
        text = text[1:].strip()
    if not text:
        return _refused("empty")
    if re.fullmatch(r"[-+]?[0-9]+([.,][0-9]*)?[eE][-+]?[0-9]+", text):
        return _refused("scientific_notation")
    if re.fullmatch(r"[+]?[0-9]+[.]0", text):
        text = text[:-2]
    if region is None:
        first = next((at for at, letter in enumerate(text) if letter.isdecimal() or letter in "+＋"), None)
        if first is not None and text[first].isdecimal() and ";phone-context=" not in text:
            text = f"{text[:first]}+{text[first:]}"
        return _parsed(text, None)
    found = _parsed(text, region)
    if not found.valid and text[0].isdigit() and "+" not in text:
        retried = _parsed("+" + text, None)
        if retried.valid:
            return retried
    return found


def differences(texts: Sequence[str | None], region: str | None) -> list[tuple[str | None, Said, Said]]:
    """Text, what the column says and what `phonenumbers` says, wherever they differ."""
    found = classify(pa.array(texts, pa.string()), region)
    table = zip(
        found.phone.tolist(),
        found.possible.tolist(),
        found.valid.tolist(),
        (REASONS[index] for index in found.reason),
        (REGIONS[index] for index in found.region),
        (TYPES[index] for index in found.type),
        strict=True,
    )
    known: dict[str | None, Said] = {}
    wrong = []
    for text, row in zip(texts, table, strict=True):
        if text not in known:
            known[text] = said(text, region)
        if row != known[text]:
            wrong.append((text, Said(*row), known[text]))
    return wrong


def _refused(reason: str) -> Said:
    return Said(0, False, False, reason, "", "unknown")


def _parsed(text: str, region: str | None) -> Said:
    try:
        number = phonenumbers.parse(text, region)
    except Bad as error:
        return _refused(UNREADABLE[error.error_type])
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    if len(digits) > 15:
        return _refused("too_long")
    possible = phonenumbers.is_possible_number(number)
    valid = phonenumbers.is_valid_number(number)
    reason = "" if valid else LENGTHS[phonenumbers.is_possible_number_with_reason(number)]
    if not possible and not valid:
        return _refused(reason)
    region = phonenumbers.region_code_for_number(number) or ""
    type = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(number)).lower()
    return Said(int(digits), possible, valid, reason, region, type)
