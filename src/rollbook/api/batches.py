"""Batches: items are read one by one, so that what is wrong with one changes nothing about the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from rollbook import phones
from rollbook.api import wire
from rollbook.api.body import Body
from rollbook.api.wire import ApiError
from rollbook.errors import Invalid

Value = TypeVar("Value")
Outcome = TypeVar("Outcome")
Result = TypeVar("Result")


class Items(Generic[Value]):
    """The items of a batch: the values of those that can be read, in their order, and why others cannot.

    Args:
        raws: what came.
        name: of the member of the body that they are in.
        reader: of one of them; what it calls an item is what messages call it.
        value_of: makes a value of what was read; raises `Invalid` or `BadPhone`.

    Raises:
        ApiError: an item is no JSON; the message says where.
    """

    def __init__(
        self, raws: Sequence[msgspec.Raw], name: str, reader: Body, value_of: Callable[[Any], Value]
    ) -> None:
        self.values: list[Value] = []
        self._places: list[int] = []
        self._references: list[str | None] = []
        self._reasons: dict[int, str] = {}
        for index, raw in enumerate(raws):
            self._references.append(wire.reference_of(raw))
            try:
                self.values.append(value_of(reader.read(bytes(raw))))
                self._places.append(index)
            except Invalid as error:
                self._reasons[index] = str(error)
            except phones.BadPhone as error:
                self._reasons[index] = f"The phone {error}."
            except ApiError as error:  # the JSON is malformed where only this item's reader looks
                where = f" of {name}[{index}])."
                raise ApiError(error.status, error.body.message.replace(").", where)) from None

    def results(
        self,
        outcomes: Sequence[Outcome],
        done: Callable[[int, str | None, Value, Outcome], Result],
        invalid: Callable[[int, str | None, str], Result],
    ) -> list[Result]:
        """What is told of each item, in the order of the request.

        Args:
            outcomes: what became of each of `values`.
            done: what is told of an item: of its place, its reference, its value and its outcome.
            invalid: what is told of one that could not be read: of its place, its reference and the reason.
        """
        told = {
            place: done(place, self._references[place], value, outcome)
            for place, value, outcome in zip(self._places, self.values, outcomes, strict=True)
        }
        told |= {
            place: invalid(place, self._references[place], reason) for place, reason in self._reasons.items()
        }
        return [told[place] for place in sorted(told)]
