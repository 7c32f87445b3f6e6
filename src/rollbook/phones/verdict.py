"""What may be said about a phone number, in words and packed into a number.

A verdict of a table is one integer, so that neighbours with the same verdict are one range and a million
verdicts are an array. Its bits, from the lowest: type 4, reason 4, region 9, then flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from phonenumbers import PhoneNumberType
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

E164_DIGITS_MAX = 15
"""With the country calling code (ITU-T E.164, section 6). Some plans have longer numbers; they are refused as
too long, since no message reaches them."""

E164_DIGITS_MIN = 9
"""With the country calling code: what strict clients of the API accept at least."""

PHONE_MIN, PHONE_MAX = 10 ** (E164_DIGITS_MIN - 1), 10**E164_DIGITS_MAX - 1
"""The least number that is kept, and the greatest."""

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
"""Why a number is not valid, as words for machines; the first stands for one that is."""

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
"""The reasons for people, to be put behind the number."""

OUT_OF_BOUNDS = f"must have {E164_DIGITS_MIN} to {E164_DIGITS_MAX} digits with its country code"
NOT_DIGITS = "must be digits, with an optional +, spaces, dots, dashes and brackets"
"""Why a number is refused that may be one otherwise: by what can be kept, and by the contract of the API."""

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
"""The table does not know: `phonenumbers` has to be asked."""

AGAIN = 1 << 19
"""An international prefix came off: what is left has to be looked up as an international number."""

RETRIED = 1 << 18
"""Not valid as a national number, but valid when read as an international one."""

POSSIBLE = 1 << 17
"""Its country code exists and has numbers of this length, be it only for calls within an area."""

REASON_BITS = 15 << 4


class Verdict(NamedTuple):
    """About one number.

    Args:
        reason: why it is not valid, one of `REASONS`.
        possible: see `POSSIBLE`.
        region: one of `REGIONS`.
        type: one of `TYPES`.
    """

    reason: str
    possible: bool = False
    region: str = ""
    type: str = "unknown"

    def packed(self) -> int:
        """As a number."""
        return (
            TYPES.index(self.type)
            | REASONS.index(self.reason) << 4
            | REGIONS.index(self.region) << 8
            | self.possible * POSSIBLE
        )
