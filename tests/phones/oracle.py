"""What `phonenumbers` itself says about a text, one at a time: the yardstick for `phones.column`.

Nothing of `rollbook.phones` is used, so that an error there cannot hide itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
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


REFUSALS: Mapping[str, Callable[[str], bool]] = {
    "two_numbers": lambda text: (
        len(re.findall(r"\d", text)) >= 13 or bool(re.search(r"\d.*[;,|&].*\d{6}", text))
    ),
    "letters_behind": lambda text: re.search(r"\d.*[^\W\d_]", text) is not None,
    "too_long": lambda text: re.search(r"[/(\[\s]\s*\d{1,2}\s*[)\]\s.]*$", text) is not None,
    "not_a_number": lambda text: (
        re.search(r"\d.*[^\W\d_]", text) is not None or re.fullmatch(r"[+]?\d{9,}[.]\d+", text) is not None
    ),
}
"""What is refused although `phonenumbers` reads it, and of which texts (in plain spelling) that may be said.

- `two_numbers`: it takes the second one for an extension, or both for one long number.
- `too_long`: it takes a mark behind a number, such as (2) and /2, for digits of it.
- `letters_behind`: it takes a name for digits.
- `not_a_number`: letters that stand for digits elsewhere than in the numbers that are advertised so; a fraction.

All other departures are a spelling (see `spelled`), 00 in front (see `said`), or a plan that changed (`RENEWED`).
"""


def spelled(text: str) -> str | None:
    """A text as `phonenumbers` is to read it; `None` for scientific notation that has lost digits."""
    letters = []
    for letter in text:
        kind = unicodedata.category(letter)
        if kind == "Nd":
            letters.append(str(int(letter)))
        elif kind == "Zs" or letter.isspace():
            letters.append(" ")
        elif kind == "Pd":
            letters.append("-")
        elif kind != "Cf":
            letters.append({"\uff0b": "+", "\u2212": "-"}.get(letter, letter))
    text = "".join(letters).strip()
    if text[:1] in ("'", '"'):
        text = text[1:].removesuffix(text[0]).strip()
    if re.fullmatch(r"[-+]?[0-9]+([.,][0-9]*)?[eE][-+]?[0-9]+", text):
        value = Decimal(text.replace(",", "."))
        mantissa, exponent = re.split("[eE]", text.replace(",", "."))
        complete = len(mantissa.partition(".")[2]) >= int(exponent) >= 0
        if not complete or value != int(value) or value < 0:
            return None
        text = ("+" if text[0] == "+" else "") + str(int(value))
    if fraction := re.fullmatch(r"([+]?[0-9]+)[.]0|([+]?[0-9]{9,})[.,]0*", text):
        text = fraction[1] or fraction[2]
    return text


def said(text: str | None, region: str | None) -> Said:
    """By the rules that `classify` states."""
    text = text or ""
    if len(text) > 250:
        return _refused("not_a_number")
    plain = spelled(text)
    if plain is None:
        return _refused("scientific_notation")
    text = plain
    if not text:
        return _refused("empty")
    zeros = None if ";phone-context=" in text else re.match(r"[^+\d]*[+]?[^+\dA-Za-z]*0[ ().\-/\[\]]*0", text)
    dialled = "+" + text[zeros.end() :] if zeros else None
    if region is None:
        first = next((at for at, letter in enumerate(text) if letter.isdecimal() or letter == "+"), None)
        if dialled:
            text = dialled
        elif first is not None and text[first].isdecimal() and ";phone-context=" not in text:
            text = f"{text[:first]}+{text[first:]}"
        return _parsed(text, None)
    found = _parsed(text, region)
    if not found.valid and text[0].isdigit() and "+" not in text:
        retried = _parsed("+" + text, None)
        if retried.valid:
            return retried
    if not found.valid and dialled:
        abroad = _parsed(dialled, None)
        if abroad.valid or (abroad.possible and not found.possible):
            return abroad
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
        if row != known[text] and not departs(text, Said(*row)):
            wrong.append((text, Said(*row), known[text]))
    return wrong


def departs(text: str | None, row: Said) -> bool:
    """Whether a text may be refused although `phonenumbers` reads it."""
    plain = spelled(text or "")
    return (
        bool(plain)
        and row == _refused(row.reason)
        and row.reason in REFUSALS
        and REFUSALS[row.reason](str(plain))
    )


def _refused(reason: str) -> Said:
    return Said(0, False, False, reason, "", "unknown")


RENEWED: Mapping[int, Sequence[tuple[str, str]]] = {
    52: [(r"1(\d{10})", r"\1")],
    55: [(r"([1-9][1-9])([6-9]\d{7})", r"\g<1>9\2")],
    57: [(r"([1245678]\d{7})", r"60\1")],
    84: [
        (r"120(\d{7})", r"70\1"), (r"121(\d{7})", r"79\1"), (r"122(\d{7})", r"77\1"), (r"126(\d{7})", r"76\1"),
        (r"128(\d{7})", r"78\1"), (r"12([345])(\d{7})", r"8\1\2"), (r"127(\d{7})", r"81\1"),
        (r"129(\d{7})", r"82\1"), (r"16([2-9])(\d{7})", r"3\1\2"), (r"18([68])(\d{7})", r"5\1\2"),
        (r"199(\d{7})", r"59\1"),
    ],
    225: [
        (r"([04-9][0-3]\d{6})", r"01\1"), (r"([04-9][4-6]\d{6})", r"05\1"), (r"([04-9][7-9]\d{6})", r"07\1"),
    ],
    229: [(r"(\d{8})", r"01\1")],
}  # fmt: skip
"""Plans that changed, by country calling code: what is not valid is read in its new form where that is."""


def _parsed(text: str, region: str | None) -> Said:
    try:
        number = phonenumbers.parse(text, region)
    except Bad as error:
        return _refused(UNREADABLE[error.error_type])
    code, national = number.country_code or 0, phonenumbers.national_significant_number(number)
    for old, new in RENEWED.get(code, ()):
        if not phonenumbers.is_valid_number(number) and re.fullmatch(old, national):
            renewed = phonenumbers.parse(f"+{code}{re.sub(old, new, national)}")
            number = renewed if phonenumbers.is_valid_number(renewed) else number
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
