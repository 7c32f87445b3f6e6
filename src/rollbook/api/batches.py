"""Batches: items are read one by one, so that a fault in one does not affect the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from rollbook import phones
from rollbook.api.body import Body
from rollbook.api.errors import ApiError, problems_of
from rollbook.errors import Invalid, RollbookError, UnknownIds
from rollbook.upserts import Outcome

REFERENCE_LENGTH_MAX = 255
"""How many characters of a reference are returned."""

Value = TypeVar("Value")
Became = TypeVar("Became")
Result = TypeVar("Result")


class Item(msgspec.Struct):
    """The result of one item of a batch."""

    index: Annotated[int, msgspec.Meta(description="Its place in the request, from 0.", examples=[0])]
    result: Literal["created", "updated", "unchanged", "invalid"]
    id: Annotated[int | None, msgspec.Meta(description="Of the contact; null when invalid.", examples=[1])]
    phone: Annotated[
        int | None,
        msgspec.Meta(description="As it is kept; null when it is none.", examples=[380000000001]),
    ]
    reference: Annotated[
        str | None, msgspec.Meta(description="Yours, when you sent one.", examples=["row 1"])
    ]
    reason: Annotated[str | None, msgspec.Meta(description="Why it is invalid, else null.")]


class SummaryJson(msgspec.Struct):
    """The number of items with each result, and all items in the order of the request."""

    created: int
    updated: int
    unchanged: int
    invalid: int
    results: list[Item]


class BatchJson(msgspec.Struct):
    """The result of a batch: invalid items were left out, all others are stored."""

    data: SummaryJson


class Items(Generic[Value]):
    """The items of a batch: the values of those that can be read, in order, and the faults of the others.

    Args:
        raws: the items, as JSON.
        name: the name of the member of the body that holds them.
        reader: reads one item, which has a `reference`; its `called` is the name of an item in messages.
        value_of: makes a value from an item; raises `Invalid` or `BadPhone`.

    Raises:
        ApiError: an item is not JSON; the message says where.
    """

    def __init__(
        self, raws: Sequence[msgspec.Raw], name: str, reader: Body, value_of: Callable[[Any], Value]
    ) -> None:
        self.values: list[Value] = []
        self._places: list[int] = []
        self._references: list[str | None] = []
        self._reasons: dict[int, str] = {}
        for index, raw in enumerate(raws):
            item: Any = None
            try:
                item = reader.read(bytes(raw))
                self.values.append(value_of(item))
                self._places.append(index)
            except Invalid as error:
                self._reasons[index] = str(error)
            except phones.BadPhone as error:
                self._reasons[index] = f"The phone {error}."
            except ApiError as error:  # malformed JSON that only the reader of the item notices
                where = f" of {name}[{index}])."
                raise ApiError(error.status, error.body.message.replace(").", where)) from None
            self._references.append(_reference_of(raw) if item is None else _reference_text(item.reference))

    def results(
        self,
        outcomes: Sequence[Became],
        done: Callable[[int, str | None, Value, Became], Result],
        invalid: Callable[[int, str | None, str], Result],
    ) -> list[Result]:
        """The result of each item, in the order of the request.

        Args:
            outcomes: the outcome of each of `values`.
            done: makes the result of an item from its place, its reference, its value and its outcome.
            invalid: makes the result of an item that cannot be read from its place, its reference and the
                reason.
        """
        results = {
            place: done(place, self._references[place], value, outcome)
            for place, value, outcome in zip(self._places, self.values, outcomes, strict=True)
        }
        results |= {
            place: invalid(place, self._references[place], reason) for place, reason in self._reasons.items()
        }
        return [results[place] for place in sorted(results)]


def batch_of(results: list[Item]) -> BatchJson:
    """The answer to a batch."""
    count = Counter(item.result for item in results)
    return BatchJson(
        SummaryJson(count["created"], count["updated"], count["unchanged"], count["invalid"], results)
    )


def item_of(index: int, phone: int, reference: str | None, outcome: Outcome | RollbookError) -> Item:
    """The result of one item of a batch."""
    if isinstance(outcome, Outcome):
        return Item(index, outcome.result, outcome.id, phone, reference, None)
    problems = problems_of(outcome) if isinstance(outcome, UnknownIds) else []
    reason = " ".join(problem.message for problem in problems) or str(outcome)
    return Item(index, "invalid", None, phone, reference, reason)


class _Referred(msgspec.Struct):
    reference: Any = None


def _reference_of(raw: msgspec.Raw) -> str | None:
    """The reference of an item of a batch, which may itself be invalid."""
    try:
        return _reference_text(msgspec.json.decode(raw, type=_Referred).reference)
    except msgspec.DecodeError:  # it is not an object
        return None


def _reference_text(reference: Any) -> str | None:
    """A reference as answers show it; `None` for one that is not valid."""
    if reference is None:
        return None
    if isinstance(reference, bool) or not isinstance(reference, (str, int)):
        return None
    return str(reference)[:REFERENCE_LENGTH_MAX]
