"""The numbering plan of each country calling code: a verdict for every national number.

The validity, region and type of a number follow from the patterns and lengths in the metadata of the
installed `phonenumbers`, by the rules of its functions `region_code_for_number`, `number_type`,
`is_valid_number` and `is_possible_number_with_reason`. Here the rules are applied once for each set of
patterns that a number can match, instead of once for each number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phonenumbers import PhoneMetadata, PhoneNumberDesc, region_codes_for_country_code

from rollbook.phones.plans.automaton import Recognizer, Run
from rollbook.phones.plans.patterns import UnknownPattern
from rollbook.phones.plans.pieces import DIGITS_MAX, Steps
from rollbook.phones.verdict import ASK, E164_DIGITS_MAX, Verdict

NATIONAL_DIGITS_MIN = 2
"""The fewest digits of a national number in libphonenumber."""

_TYPES = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
"""Types in the order in which `number_type` tries them; fixed lines and mobile phones come last."""

_Pattern = tuple[str, str]
"""A region and the name of one of its patterns."""


def verdicts(country_code: int) -> Steps:
    """A packed `Verdict` for each key of a national number.

    Args:
        country_code: an existing country calling code.
    """
    return _CountryPlan(country_code).verdicts()


def metadata(country_code: int, region: str | None = None) -> PhoneMetadata:
    """The metadata of libphonenumber for a region, or for the main region of a country calling code."""
    region = region or region_codes_for_country_code(country_code)[0]
    found = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    assert found is not None  # there is metadata for each region that it lists
    return found


def general(metadata: PhoneMetadata) -> PhoneNumberDesc:
    """The general description of a plan: a pattern and the possible lengths of all its national numbers."""
    assert metadata.general_desc is not None  # every plan has one
    return metadata.general_desc


def country_code(metadata: PhoneMetadata) -> int:
    """The country calling code of a plan."""
    assert metadata.country_code is not None
    return metadata.country_code


def length_verdict(digits: int, lengths: PhoneNumberDesc) -> Verdict:
    """The verdict by the number of digits alone, as in `is_possible_number_with_reason`.

    Args:
        digits: the number of digits of the national number.
        lengths: the general description of the plan, which has the possible lengths.
    """
    if digits in lengths.possible_length_local_only:
        return Verdict("local_only", possible=True)
    if digits in lengths.possible_length:
        return Verdict("", possible=True)
    if digits < lengths.possible_length[0]:
        return Verdict("too_short")
    return Verdict("too_long" if digits > lengths.possible_length[-1] else "invalid_length")


class _CountryPlan:
    """One country calling code, with all regions that share it."""

    def __init__(self, country_code: int) -> None:
        self.country_code = country_code
        self.regions: Mapping[str, PhoneMetadata] = {
            region: metadata(country_code, region) for region in region_codes_for_country_code(country_code)
        }
        self.main = next(iter(self.regions.values()))

    def verdicts(self) -> Steps:
        patterns = []
        prefixes = []
        for region, metadata in self.regions.items():
            for name in ("general_desc", "fixed_line", "mobile", *_TYPES):
                described: PhoneNumberDesc | None = getattr(metadata, name)
                if described is not None and described.national_number_pattern:
                    patterns.append(((region, name), described.national_number_pattern))
            if metadata.leading_digits:
                prefixes.append(((region, "leading_digits"), metadata.leading_digits))
        try:
            recognizer = Recognizer(patterns, prefixes)
        except UnknownPattern:
            return Steps.of({digits: [(10**digits, ASK)] for digits in range(DIGITS_MAX + 1)})
        return Steps.of({digits: self._runs(recognizer, digits) for digits in range(DIGITS_MAX + 1)})

    def _runs(self, recognizer: Recognizer[_Pattern], digits: int) -> Sequence[Run[int]]:
        possible = length_verdict(digits, general(self.main)).possible
        if not possible and not any(
            digits in general(metadata).possible_length for metadata in self.regions.values()
        ):
            # No region accepts a number of this length, whatever it matches.
            return [(10**digits, self._verdict(digits, frozenset()).packed())]
        return recognizer.runs(digits, lambda matched: self._verdict(digits, matched).packed())

    def _verdict(self, digits: int, matched: frozenset[_Pattern]) -> Verdict:
        if digits + len(str(self.country_code)) > E164_DIGITS_MAX:
            return Verdict("too_long")
        if digits < NATIONAL_DIGITS_MIN:
            return Verdict("too_short")
        region = self._region(digits, matched)
        type = self._type(region, digits, matched) if region else None
        length = length_verdict(digits, general(self.main))
        if type is not None:
            return Verdict("", length.possible, region, type)
        if not length.possible:
            return length
        return Verdict(length.reason or "not_assigned", True, region)

    def _region(self, digits: int, matched: frozenset[_Pattern]) -> str:
        """`region_code_for_number`: of several regions, the first one whose leading digits match or, if it
        lists no leading digits, the first one that has a type for the number."""
        if len(self.regions) == 1:
            return next(iter(self.regions))
        for region, metadata in self.regions.items():
            if metadata.leading_digits:
                if (region, "leading_digits") in matched:
                    return region
            elif self._type(region, digits, matched):
                return region
        return ""

    def _type(self, region: str, digits: int, matched: frozenset[_Pattern]) -> str | None:
        """`number_type` within a region; `None` if no pattern fits, so that the number is not valid."""
        metadata = self.regions[region]

        def fits(name: str) -> bool:
            described: PhoneNumberDesc | None = getattr(metadata, name)
            return (
                described is not None
                and (region, name) in matched
                and (not described.possible_length or digits in described.possible_length)
            )

        if not fits("general_desc"):
            return None
        for name in _TYPES:
            if fits(name):
                return name
        if fits("fixed_line"):
            both = metadata.same_mobile_and_fixed_line_pattern or fits("mobile")
            return "fixed_line_or_mobile" if both else "fixed_line"
        if not metadata.same_mobile_and_fixed_line_pattern and fits("mobile"):
            return "mobile"
        return None
