"""Checks of phone numbers over HTTP, without the book: `/api/numbers/check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from rollbook import numbers
from rollbook.api import wire
from rollbook.api.wire import Call, Compute
from rollbook.errors import Invalid
from rollbook.numbers import CHECKED_AT_ONCE_MAX
from rollbook.phones import REASONS, TYPES


class NumbersCheck(msgspec.Struct, forbid_unknown_fields=True):
    """Texts to be read as phone numbers."""

    numbers: Annotated[
        list[Annotated[int | str, msgspec.Meta(extra_json_schema=wire.shown_as(type="string"))]],
        msgspec.Meta(
            description="As people write them; a number is taken for its digits.",
            examples=[["(050) 765-43-21", "12"]],
            extra_json_schema={"minItems": 1, "maxItems": CHECKED_AT_ONCE_MAX},
        ),
    ]
    region: Annotated[
        str | None,
        msgspec.Meta(
            description="Two letters (ISO 3166-1) of the country whose national format applies "
            "to numbers without a country code. If it is left out, digits begin with a country "
            "code.",
            examples=["UA"],
        ),
    ] = None


class CheckedNumber(msgspec.Struct):
    """What is known about a number."""

    number: Annotated[str, msgspec.Meta(description="As it was sent.", examples=["(050) 765-43-21"])]
    valid: Annotated[bool, msgspec.Meta(description="It is in a range that its country assigns.")]
    possible: Annotated[
        bool, msgspec.Meta(description="Its country code exists and has numbers of that length.")
    ]
    reason: Annotated[
        str | None,
        msgspec.Meta(
            description="Why it is not valid.",
            examples=["too_short"],
            extra_json_schema=wire.or_null(enum=sorted(REASONS[1:])),
        ),
    ]
    message: Annotated[
        str | None,
        msgspec.Meta(description="The reason as a sentence.", examples=["The number is too short."]),
    ]
    phone: Annotated[
        int | None,
        msgspec.Meta(
            description="The digits of E.164; null if the number is not possible.", examples=[380507654321]
        ),
    ]
    region: Annotated[
        str | None,
        msgspec.Meta(
            description="Two letters (ISO 3166-1); `001` for numbers of no country.", examples=["UA"]
        ),
    ]
    type: Annotated[
        str,
        msgspec.Meta(examples=["mobile"], extra_json_schema=wire.shown_as(enum=sorted(TYPES))),
    ]
    e164: Annotated[str | None, msgspec.Meta(examples=["+380507654321"])]
    international: Annotated[str | None, msgspec.Meta(examples=["+380 50 765 4321"])]
    national: Annotated[str | None, msgspec.Meta(examples=["050 765 4321"])]
    carrier: Annotated[
        str | None,
        msgspec.Meta(
            description="The operator that was assigned the range; the number may have been ported since.",
            examples=["Vodafone"],
        ),
    ]
    time_zones: Annotated[list[str], msgspec.Meta(examples=[["Europe/Kyiv"]])]


class CheckedNumbers(msgspec.Struct):
    """The result for each number, in the order of the request."""

    data: list[CheckedNumber]


def check(call: Call, body: NumbersCheck) -> Compute:
    """Classify phone numbers: valid or why not, country, type, and how they are written.

    Nothing is stored, and nothing is looked up in the book.
    """
    if problem := wire.too_many(body.numbers, "numbers", 1, CHECKED_AT_ONCE_MAX):
        raise Invalid([problem])
    texts = [str(number) for number in body.numbers]
    return Compute(numbers.check, texts, body.region, show=_shown)


def _shown(found: Sequence[numbers.Number]) -> CheckedNumbers:
    return CheckedNumbers(
        [
            CheckedNumber(
                number=each.text,
                valid=each.valid,
                possible=each.possible,
                reason=each.reason or None,
                message=f"The number {each.sentence}." if each.sentence else None,
                phone=each.phone,
                region=each.region or None,
                type=each.type,
                e164=each.e164 or None,
                international=each.international or None,
                national=each.national or None,
                carrier=each.carrier or None,
                time_zones=list(each.time_zones),
            )
            for each in found
        ]
    )


EXAMPLE = CheckedNumbers(
    [
        CheckedNumber(
            number="(050) 765-43-21",
            valid=True,
            possible=True,
            reason=None,
            message=None,
            phone=380507654321,
            region="UA",
            type="mobile",
            e164="+380507654321",
            international="+380 50 765 4321",
            national="050 765 4321",
            carrier="Vodafone",
            time_zones=["Europe/Kyiv"],
        ),
        CheckedNumber(
            number="12",
            valid=False,
            possible=False,
            reason="too_short",
            message="The number is too short.",
            phone=None,
            region=None,
            type="unknown",
            e164=None,
            international=None,
            national=None,
            carrier=None,
            time_zones=[],
        ),
    ]
)
"""The example of an answer."""
