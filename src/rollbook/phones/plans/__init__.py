"""The tables of numbering plans: for each region, one look-up gives the verdict on any number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rollbook.phones.plans import national
from rollbook.phones.plans.pieces import DIGITS_MAX, POWERS
from rollbook.phones.verdict import AGAIN

__all__ = ["BEHIND_PLUS", "DIGITS_MAX", "POWERS", "RangeTable", "table"]

BEHIND_PLUS = 1 << 62
"""Added to the key of digits that follow a `+`: these have a separate part of the table."""

REGIONS_KEPT = 16
"""The number of tables that are kept in memory."""


@dataclass(frozen=True)
class RangeTable:
    """A verdict for every key.

    Args:
        starts: ascending keys, each the first of a range.
        verdicts: the packed verdict of each range.
        moves: the number to add to a key of the range to get the E.164 digits as a number; where the verdict
            is `AGAIN`, to get the key to look up next.
    """

    starts: NDArray[np.int64]
    verdicts: NDArray[np.int32]
    moves: NDArray[np.int64]

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.intp]:
        """The index of the range of each key."""
        return np.searchsorted(self.starts, keys, side="right") - 1


@lru_cache(maxsize=REGIONS_KEPT)
def table(region: str | None) -> RangeTable:
    """The table for numbers written in a region. The first one of a process takes a moment (3 s without a
    cache on the disk), each further one 0.05 s and 4 MB.

    Args:
        region: a region that libphonenumber knows; with `None` the table only has numbers after a `+`.
    """
    abroad = national.international(region)
    again = (abroad["verdict"] & AGAIN) != 0
    starts = [abroad.low + BEHIND_PLUS]
    verdicts = [abroad["verdict"]]
    moves = [abroad["move"] - np.where(again, 0, BEHIND_PLUS)]
    if region is not None:
        home = national.national(region)
        again = (home["verdict"] & AGAIN) != 0
        starts.insert(0, home.low)
        verdicts.insert(0, home["verdict"])
        moves.insert(0, home["move"] + np.where(again, BEHIND_PLUS, 0))
    return RangeTable(
        np.concatenate(starts), np.concatenate(verdicts).astype(np.int32), np.concatenate(moves)
    )
