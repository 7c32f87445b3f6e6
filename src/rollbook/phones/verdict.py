"""Verdicts on phone numbers: reasons, regions and types, as words and packed into an integer.

A verdict of a table is one integer, so that neighbours with the same verdict form one range, and a million
verdicts form an array. Its bits, from the lowest: 4 for the type, 4 for the reason, 9 for the region, then
flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from phonenumbers import PhoneNumberType
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

E164_DIGITS_MAX = 15
"""The most digits, including the country calling code (ITU-T E.164, section 6). Some plans have longer
numbers; they are refused as too long, since no message reaches them."""

E164_DIGITS_MIN = 9
"""The fewest digits, including the country calling code, that strict clients of the API accept."""

PHONE_MIN, PHONE_MAX = 10 ** (E164_DIGITS_MIN - 1), 10**E164_DIGITS_MAX - 1
"""The smallest and the largest phone that is stored."""

REASONS: tuple[str, ...] = (
    "",
    "empty",
    "not_a_number",
    "scientific_notation",
    "unknown_country_code",
    "too_short",
    "too_long",
    "invalid_length",
    "local_only",
    "not_assigned",
    "two_numbers",
    "letters_behind",
)
"""The reasons why a number is not valid, as words for programs; the first stands for a valid number."""

SENTENCES: Mapping[str, str] = {
    "empty": "is empty",
    "not_a_number": "is not a phone number",
    "scientific_notation": "is in scientific notation that has lost digits",
    "unknown_country_code": "has a country code that does not exist",
    "too_short": "is too short",
    "too_long": "is too long",
    "invalid_length": "has a length that its country does not have",
    "local_only": "lacks its area code",
    "not_assigned": "is in no range that its country assigns",
    "two_numbers": "holds more than one number",
    "letters_behind": "has letters behind or among its digits",
}
"""The reasons for people, as the end of a sentence that begins with the number."""

OUT_OF_BOUNDS = f"must have {E164_DIGITS_MIN} to {E164_DIGITS_MAX} digits with its country code"
NOT_DIGITS = "must be digits, with an optional +, spaces, dots, dashes and brackets"
"""The reason for refusing a text that may otherwise be read as a number, but that the API's contract
excludes."""

REGIONS: tuple[str, ...] = (
    "",
    *sorted({region for regions in COUNTRY_CODE_TO_REGION_CODE.values() for region in regions}),
)
"""Two letters for a country or territory, `001` for numbers of no country; the first stands for unknown."""

TYPES: tuple[str, ...] = (
    "unknown",
    *(PhoneNumberType.to_string(value).lower() for value in PhoneNumberType.values()[:-1]),
)
"""`fixed_line`, `mobile`, ... in the order of libphonenumber; the first stands for unknown."""

ASK = 1 << 20
"""The table cannot decide: `phonenumbers` has to read the number."""

AGAIN = 1 << 19
"""An international prefix was removed: the rest has to be looked up as an international number."""

RETRIED = 1 << 18
"""Not valid as a national number, but valid when read as an international one."""

POSSIBLE = 1 << 17
"""Its country code exists and has numbers of this length, including numbers for calls within an area."""

REASON_BITS = 15 << 4


class Verdict(NamedTuple):
    """The verdict on one number.

    Args:
        reason: the reason why it is not valid, one of `REASONS`.
        possible: see `POSSIBLE`.
        region: one of `REGIONS`.
        type: one of `TYPES`.
    """

    reason: str
    possible: bool = False
    region: str = ""
    type: str = "unknown"

    def packed(self) -> int:
        """The verdict as an integer."""
        return (
            TYPES.index(self.type)
            | REASONS.index(self.reason) << 4
            | REGIONS.index(self.region) << 8
            | self.possible * POSSIBLE
        )
