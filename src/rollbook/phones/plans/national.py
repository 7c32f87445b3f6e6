"""The way in which libphonenumber reads digits, computed for all numbers at once.

This follows `phonenumbers.parse` step by step: international prefix, country calling code, national prefix.
Where the library decides about one number, ranges are cut here until the decision is the same for each whole
range. A column of `Pieces` that is named after a step contains what to add to a key to get the number at that
step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from rollbook.phones import changes
from rollbook.phones.plans import plan, stored
from rollbook.phones.plans.automaton import Match, PrefixReader, Recognizer, Run
from rollbook.phones.plans.patterns import UnknownPattern
from rollbook.phones.plans.pieces import DIGITS_MAX, POWERS, Pieces, Steps, together
from rollbook.phones.verdict import AGAIN, ASK, POSSIBLE, REASON_BITS, RETRIED, Verdict

LENGTHS = range(DIGITS_MAX + 1)

BEGINNINGS_MAX = 64
"""A rule that removes more different beginnings would cut the ranges after it as often; China has 2,000
carrier codes. Such numbers are rare: `phonenumbers` reads them."""

_UNTOUCHED, _STRIPPED, _UNCLEAR = range(3)
"""The effects of a rule about beginnings on a number."""

_RULE_PART = r"\\(\d)|(\d+)"
_RULE = rf"(?:{_RULE_PART})+"
"""The replacement of a national prefix: digits, and groups of its pattern."""

_TOO_SHORT = Verdict("too_short").packed()
_UNKNOWN_COUNTRY_CODE = Verdict("unknown_country_code").packed()


def international(region: str | None) -> Pieces:
    """Digits after a `+`: for each range a packed verdict (column `verdict`), and the number to add to a key
    to get the E.164 digits (column `move`; where the verdict is `AGAIN`, to get the key to look up).

    Args:
        region: the region from which it is dialled. It matters only for digits that do not begin with a
            country calling code: there the library tries the international prefix of the region, as in `+00
            44 ...`.
    """
    read = _behind_plus()
    if region is None:
        return read
    strange = read["verdict"] == _UNKNOWN_COUNTRY_CODE
    dialled = _without_international_prefix(read.only(strange).set(number=0), _home(region))
    verdict = np.choose(dialled["kind"], [dialled["verdict"], AGAIN, ASK])
    return _table(read.only(~strange), dialled.set(verdict=verdict, move=dialled["number"]))


def national(region: str) -> Pieces:
    """Digits without a `+`, dialled in a region; columns as in `international`.

    Digits that are valid only as an international number are read as one: their verdict has the flag
    `RETRIED`.
    """
    read = _without_plus(region)
    to_retry = ((read["verdict"] & (AGAIN | ASK)) == 0) & ((read["verdict"] & REASON_BITS) != 0)
    abroad = _behind_plus()
    again = read.only(to_retry).set(number=0)
    again = again.look_up(Steps(abroad.low, np.arange(len(abroad))), "number", "abroad")
    abroad_verdict = abroad["verdict"][again["abroad"]]
    unclear = (abroad_verdict & ASK) != 0
    valid = ~unclear & ((abroad_verdict & REASON_BITS) == 0)
    verdict = np.select([unclear, valid], [ASK, abroad_verdict | RETRIED], again["verdict"])
    move = np.where(valid, abroad["move"][again["abroad"]], again["move"])
    return _table(read.only(~to_retry), again.set(verdict=verdict, move=move))


@cache
def _behind_plus() -> Pieces:
    """Digits after a `+`, without a region: all plans of the world, which take seconds to read."""
    return stored.pieces("international", _read_all_plans)


def _read_all_plans() -> Pieces:
    parts = [_without_assigned_code()]
    for code in COUNTRY_CODE_TO_REGION_CODE:
        size = len(str(code))
        numbers = Pieces.whole(range(DIGITS_MAX + 1 - size), number=0, ask=0)
        numbers = _finished(numbers, plan.metadata(code), code)
        to_front = (10**size + code - 1) * POWERS[numbers.digits()]
        parts.append(numbers.moved(to_front).set(move=numbers["move"] - to_front))
    return _table(*parts)


def _without_assigned_code() -> Pieces:
    """Digits that do not begin with a country calling code."""
    codes = "|".join(map(str, COUNTRY_CODE_TO_REGION_CODE))
    numbers = Pieces.whole(LENGTHS, number=0, move=0).look_up(_begins(codes), "number", "assigned")
    numbers = numbers.only(numbers["assigned"] == 0)
    return numbers.set(verdict=np.where(numbers.digits() <= 2, _TOO_SHORT, _UNKNOWN_COUNTRY_CODE))


def _without_plus(region: str) -> Pieces:
    """Digits without a `+`, dialled in a region, not retried."""
    home = _home(region)
    code = plan.country_code(home)
    numbers = _without_international_prefix(Pieces.whole(LENGTHS, number=0, ask=0), home)
    abroad = numbers.only(numbers["kind"] != _UNTOUCHED)
    numbers = _without_own_code(numbers.only(numbers["kind"] == _UNTOUCHED), home)
    return _table(
        abroad.set(verdict=np.where(abroad["kind"] == _STRIPPED, AGAIN, ASK), move=abroad["number"]),
        _finished(numbers.only(numbers["has_code"] == 1), plan.metadata(code), code),
        _finished(numbers.only(numbers["has_code"] == 0), home, code),
    )


def _without_international_prefix(numbers: Pieces, home: PhoneMetadata) -> Pieces:
    """`_parse_prefix_as_idd`: remove the international prefix unless a 0 follows, since no country calling
    code begins with 0. The column `kind` says whether it was removed."""
    numbers = numbers.set(kind=_UNTOUCHED)
    if home.international_prefix:
        kind, move = _beginnings(home.international_prefix, None)
        numbers = numbers.look_up(kind, "number", "kind").look_up(move, "number", "move")
        numbers = numbers.set(rest=numbers["number"] + numbers["move"])
        numbers = numbers.look_up(_begins("0"), "rest", "zero_follows")
        stripped = (numbers["kind"] == _STRIPPED) & (numbers["zero_follows"] == 0)
        numbers = numbers.set(
            kind=np.where((numbers["kind"] == _STRIPPED) & ~stripped, _UNTOUCHED, numbers["kind"]),
            number=np.where(stripped, numbers["rest"], numbers["number"]),
        )
    return numbers


def _without_own_code(numbers: Pieces, home: PhoneMetadata) -> Pieces:
    """The end of `_maybe_extract_country_code`: remove the country calling code of the region, and a national
    prefix after it, if the number is too long with it, or fits the plan only without it. The column
    `has_code` says whether it was removed."""
    code = str(plan.country_code(home))
    numbers = numbers.look_up(_begins(code), "number", "has_code")
    others = numbers.only(numbers["has_code"] == 0)
    numbers = numbers.only(numbers["has_code"] == 1)
    off = (10 ** len(code) + int(code) - 1) * POWERS[numbers.digits("number") - len(code)]
    numbers = _without_national_prefix(numbers.set(rest=numbers["number"] - off), home, "rest")
    general = _general(home)
    numbers = numbers.look_up(general, "number", "fits").look_up(general, "rest", "rest_fits")
    too_long = numbers.digits("number") > plan.general(home).possible_length[-1]
    has_code = ((numbers["fits"] == 0) & (numbers["rest_fits"] == 1)) | too_long
    number = np.where(has_code, numbers["rest"], numbers["number"])
    return together(
        *(
            part.pick("number", "ask", "has_code")
            for part in (others, numbers.set(has_code=has_code, number=number))
        )
    )


def _finished(numbers: Pieces, metadata: PhoneMetadata, code: int) -> Pieces:
    """The end of `parse`: remove a national prefix unless the rest is too short, and look up the plan of the
    country calling code."""
    numbers = _without_national_prefix(numbers.set(rest=numbers["number"]), metadata, "rest")
    long_enough = np.array(
        [plan.length_verdict(digits, plan.general(metadata)).reason in ("", "too_long") for digits in LENGTHS]
    )
    short = numbers.digits("number") < plan.NATIONAL_DIGITS_MIN
    take = long_enough[numbers.digits("rest")] & ~short
    numbers = numbers.set(number=np.where(take, numbers["rest"], numbers["number"]))
    numbers = _renewed(numbers.look_up(_verdicts(code), "number", "verdict"), code)
    to_front = (code - 1) * POWERS[numbers.digits("number")]
    return numbers.set(
        verdict=np.where(numbers["ask"] == 1, ASK, numbers["verdict"]), move=numbers["number"] + to_front
    )


def _renewed(numbers: Pieces, code: int) -> Pieces:
    """Replace numbers that are assigned only in their new form by that form (see `changes`)."""
    steps = _changes(code)
    if steps is None:
        return numbers
    numbers = numbers.look_up(steps, "number", "change")
    numbers = numbers.set(renewed=numbers["number"] + numbers["change"])
    numbers = numbers.look_up(_verdicts(code), "renewed", "new_verdict")
    take = (numbers["change"] != 0) & ((numbers["verdict"] & REASON_BITS) != 0)
    take &= (numbers["new_verdict"] & (REASON_BITS | ASK)) == 0
    return numbers.set(
        number=np.where(take, numbers["renewed"], numbers["number"]),
        verdict=np.where(take, numbers["new_verdict"], numbers["verdict"]),
    )


def _without_national_prefix(numbers: Pieces, metadata: PhoneMetadata, column: str) -> Pieces:
    """`_maybe_strip_national_prefix_carrier_code`: remove the prefix unless a number of the plan would not be
    one any more. If it is not clear what to remove, the column `ask` becomes 1."""
    if not metadata.national_prefix_for_parsing:
        return numbers
    kind, move = _beginnings(metadata.national_prefix_for_parsing, metadata.national_prefix_transform_rule)
    numbers = numbers.look_up(kind, column, "kind").look_up(move, column, "move")
    numbers = numbers.set(stripped=numbers[column] + numbers["move"])
    general = _general(metadata)
    numbers = numbers.look_up(general, column, "fits").look_up(general, "stripped", "still_fits")
    harmed = (numbers["fits"] == 1) & (numbers["still_fits"] == 0)
    take = (numbers["kind"] == _STRIPPED) & ~harmed
    return numbers.set(
        **{column: np.where(take, numbers["stripped"], numbers[column])},
        ask=numbers["ask"] | (numbers["kind"] == _UNCLEAR),
    )


def _table(*parts: Pieces) -> Pieces:
    """The result: only its two columns, with 0 to add where there is no number."""
    numbers = together(*(part.pick("verdict", "move") for part in parts))
    verdict = numbers["verdict"]
    has_number = ((verdict & (POSSIBLE | AGAIN)) != 0) | ((verdict & (REASON_BITS | ASK)) == 0)
    return numbers.set(move=np.where(has_number, numbers["move"], 0)).joined()


def _home(region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(region, None)
    assert found is not None  # callers have checked the region
    return found


@cache
def _changes(country_code: int) -> Steps | None:
    """The number to add to the key of a national number to get the key of its new form; 0 without a new
    form."""
    if country_code not in changes.CHANGED_PLANS:
        return None
    runs: dict[int, list[tuple[int, int]]] = {}
    for length in LENGTHS:
        runs[length] = []
        reached = 0
        for change in sorted(changes.CHANGED_PLANS[country_code].changes):
            if change.digits == length:
                width = 10 ** (length - len(change.old))
                first = int(change.old or "0") * width
                new_length = length - len(change.old) + len(change.new)
                move = 10**new_length - 10**length + int(change.new or "0") * width - first
                runs[length] += [(first - reached, 0)] * (first > reached) + [(width, move)]
                reached = first + width
        runs[length] += [(10**length - reached, 0)] * (10**length > reached)
    return Steps.of(runs)


@cache
def _verdicts(code: int) -> Steps:
    return plan.verdicts(code)


def _general(metadata: PhoneMetadata) -> Steps:
    """1 for numbers that the general pattern of a plan matches."""
    return _matches(plan.general(metadata).national_number_pattern or "")


@cache
def _matches(pattern: str) -> Steps:
    try:
        recognizer = Recognizer([("general", pattern)])
    except UnknownPattern:
        # The verdict on every number of the plan is `ASK` then, so this value does not matter.
        return Steps.of({length: [(10**length, 0)] for length in LENGTHS})
    return Steps.of(
        {length: recognizer.runs(length, lambda matched: int(bool(matched))) for length in LENGTHS}
    )


@cache
def _begins(pattern: str) -> Steps:
    """1 for numbers whose beginning a pattern matches."""
    recognizer = Recognizer((), [("beginning", pattern)])
    return Steps.of(
        {length: recognizer.runs(length, lambda matched: int(bool(matched))) for length in LENGTHS}
    )


@cache
def _beginnings(pattern: str, rule: str | None) -> tuple[Steps, Steps]:
    """The effect of a prefix pattern: `_UNTOUCHED`, `_STRIPPED` or `_UNCLEAR`, and the number to add to the
    key.

    Args:
        rule: the replacement of the match, which applies if the last group is part of the match.
    """
    try:
        if rule and not re.fullmatch(_RULE, rule):
            raise UnknownPattern(f"cannot read {rule!r}")
        reader = PrefixReader(pattern)
    except UnknownPattern:
        return (
            Steps.of({length: [(10**length, _UNCLEAR)] for length in LENGTHS}),
            Steps.of({length: [(10**length, 0)] for length in LENGTHS}),
        )
    kinds: dict[int, Sequence[Run[int]]] = {0: [(1, _UNTOUCHED)]}
    moves: dict[int, Sequence[Run[int]]] = {0: [(1, 0)]}
    for length in LENGTHS[1:]:
        replaced: list[Run[tuple[int, int]]] = []
        number = 0
        for width, match in reader.runs(length):
            replaced += _replaced(number, width, length, match, rule)
            number += width
        kinds[length] = [(width, kind) for width, (kind, _) in replaced]
        moves[length] = [(width, move) for width, (_, move) in replaced]
    return Steps.of(kinds), Steps.of(moves)


def _replaced(
    number: int, width: int, length: int, match: Match | None, rule: str | None
) -> list[Run[tuple[int, int]]]:
    """The same for a run of numbers that all match in the same places: one run for each beginning to remove.

    Args:
        number: the first number.
        width: how many numbers there are.
    """
    if match is None:
        return [(width, (_UNTOUCHED, 0))]
    # The replacement keeps literal digits and groups. A group at the very end of the match need not be cut
    # out.
    gone = match.end
    stays: list[str | tuple[int, int]] = []
    if rule and match.groups[-1] is not None:
        for group, literal in re.findall(_RULE_PART, rule):
            span = match.groups[int(group) - 1] if group else literal
            if span is not None:
                stays.append(span)
        if stays and isinstance(last_part := stays[-1], tuple) and last_part[1] == match.end:
            gone = last_part[0]
            del stays[-1]
    left = 10 ** (length - gone)
    first, last = number // left, (number + width - 1) // left
    longer = any(isinstance(part, tuple) and part[1] > gone for part in stays)
    if longer or last - first >= BEGINNINGS_MAX:
        return [(width, (_UNCLEAR, 0))]
    runs: list[Run[tuple[int, int]]] = []
    for value in range(first, last + 1):
        text = f"{value:0{gone}}" if gone else ""
        front = "".join(part if isinstance(part, str) else text[slice(*part)] for part in stays)
        many = min(number + width, (value + 1) * left) - max(number, value * left)
        if len(front) + length - gone > DIGITS_MAX:
            runs.append((many, (_UNCLEAR, 0)))
        else:
            move = (int(f"1{front}") - int(f"1{text}")) * left
            runs.append((many, (_STRIPPED, move)))
    return runs
