"""Ranges of numbers with values, which represent the rules for all phone numbers at once.

A text of digits has a KEY: 10 to the power of its length, plus its value. `0441` is 10441. Keys keep leading
zeros, numbers of one length are neighbours in order, and a 64-bit integer holds those of up to 18 digits.
Removing leading digits of a number, or replacing them, means ADDING something to its key, and for the same
leading digits it is always the same addend. So a rule such as "drop the 0, put 380 in front" is a number,
`Pieces` holds the number to add in each range, and successive rules are a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIGITS_MAX = 18
"""The most digits whose key an int64 holds, with room for a flag on top: 2 * 10**18 < 2**62."""

POWERS = 10 ** np.arange(DIGITS_MAX + 1, dtype=np.int64)


@dataclass(frozen=True)
class Steps:
    """A value for every key.

    Args:
        starts: ascending keys; from each one on, the value at the same place in `values` applies.
    """

    starts: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, runs: Mapping[int, Sequence[tuple[int, int]]]) -> Steps:
        """Make steps from runs of neighbours: for each length, counts of consecutive numbers and their
        value."""
        starts: list[int] = []
        values: list[int] = []
        for length in sorted(runs):
            key = 10**length
            for width, value in runs[length]:
                starts.append(key)
                values.append(value)
                key += width
        return cls(np.array(starts, np.int64), np.array(values, np.int64))

    def at(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The values of keys, none of which is below the first start."""
        return self.values[np.searchsorted(self.starts, keys, side="right") - 1]


@dataclass(frozen=True)
class Pieces:
    """Ranges of keys, and columns with a value for each.

    Args:
        low: the first key of each range.
        high: the key after its last one; of the same length as `low`.
        columns: the values by name of the column. Some of them are numbers to add to the keys.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    columns: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def whole(cls, lengths: Iterable[int], **columns: int) -> Pieces:
        """All numbers of the given lengths, in ascending order; each column has a single value."""
        low = POWERS[sorted(lengths)]
        return cls(low, low * 2, {name: np.full(len(low), value) for name, value in columns.items()})

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, column: str) -> NDArray[np.int64]:
        return self.columns[column]

    def digits(self, column: str | None = None) -> NDArray[np.int64]:
        """The number of digits of the numbers in each range, now or after adding a column."""
        return digits_of(self.low + self.columns[column] if column else self.low)

    def set(self, **columns: ArrayLike) -> Pieces:
        """The same ranges with columns added or replaced; a single value applies to all ranges."""
        new = {
            name: np.broadcast_to(np.asarray(value, np.int64), self.low.shape)
            for name, value in columns.items()
        }
        return Pieces(self.low, self.high, {**self.columns, **new})

    def pick(self, *columns: str) -> Pieces:
        """The same ranges with only these columns."""
        return Pieces(self.low, self.high, {name: self.columns[name] for name in columns})

    def only(self, mask: NDArray[np.bool_]) -> Pieces:
        """The ranges that the mask selects."""
        return self._taken(np.flatnonzero(mask))

    def moved(self, by: NDArray[np.int64]) -> Pieces:
        """The same numbers under other keys: `by` is added to each range."""
        return Pieces(self.low + by, self.high + by, self.columns)

    def look_up(self, steps: Steps, after: str, into: str) -> Pieces:
        """Cut the ranges wherever the value of the steps changes, and write that value to a column.

        Args:
            after: a column that is added to the keys before they are looked up.
            into: the name of the column for the values.
        """
        by = self.columns[after]
        first = np.searchsorted(steps.starts, self.low + by, side="right") - 1
        last = np.searchsorted(steps.starts, self.high + by, side="left") - 1
        parts = last - first + 1
        source = np.repeat(np.arange(len(self)), parts)
        nth = np.arange(len(source)) - np.repeat(np.cumsum(parts) - parts, parts)
        step = first[source] + nth
        cut = self._taken(source)
        low = np.where(nth == 0, cut.low, steps.starts[step] - by[source])
        is_last = nth == parts[source] - 1
        # The last step may have no start after it: any index will do.
        behind = steps.starts[np.where(is_last, 0, step + 1)] - by[source]
        high = np.where(is_last, cut.high, behind)
        return Pieces(low, high, {**cut.columns, into: steps.values[step]})

    def sorted(self) -> Pieces:
        """The ranges in ascending order."""
        return self._taken(np.argsort(self.low, kind="stable"))

    def joined(self) -> Pieces:
        """Merge sorted neighbours that agree in every column."""
        if not len(self):
            return self
        new = self.low[1:] != self.high[:-1]
        for column in self.columns.values():
            new |= column[1:] != column[:-1]
        begins = np.flatnonzero(np.concatenate([[True], new]))
        ends = np.append(begins[1:], len(self)) - 1
        return Pieces(self.low[begins], self.high[ends], {n: c[begins] for n, c in self.columns.items()})

    def _taken(self, at: NDArray[np.intp]) -> Pieces:
        return Pieces(self.low[at], self.high[at], {name: c[at] for name, c in self.columns.items()})


def together(*parts: Pieces) -> Pieces:
    """Combine parts that have the same columns, in ascending order."""
    return Pieces(
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns},
    ).sorted()


def digits_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of digits of the numbers with these keys."""
    return np.searchsorted(POWERS, keys, side="right").astype(np.int64) - 1
