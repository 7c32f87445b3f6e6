"""The phones in the rows of a file: which of a row's cells go in, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollbook.phones import column
from rollbook.phones.column import Column
from rollbook.phones.single import DIGITS_MAX, DIGITS_MIN

PHONE_MIN, PHONE_MAX = 10 ** (DIGITS_MIN - 1), 10**DIGITS_MAX - 1
OUT_OF_BOUNDS = f"must have {DIGITS_MIN} to {DIGITS_MAX} digits with its country code"

_LOCAL_ONLY = column.REASONS.index("local_only")
"""Numbers without an area code: possible to dial there, but not from anywhere else."""

_EMPTY = column.REASONS.index("empty")

_WORDS = np.array([*column.REASONS, "out_of_bounds"], object)
_SENTENCES = [*(column.SENTENCES.get(word, "") for word in column.REASONS), OUT_OF_BOUNDS]


class Found(NamedTuple):
    """Phones in the rows of a batch, good ones and others, in the order of the rows. Every row has at least
    one; arrays of one length.

    Args:
        rows: the places of their rows in the batch, ascending.
        columns: which of the columns of phones each is from.
        phones: digits of E.164, where they are good.
        ok: which are good.
        reasons: why others are not: places in `_WORDS`.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    phones: NDArray[np.int64]
    ok: NDArray[np.bool_]
    reasons: NDArray[np.uint8]

    def why(self, places: NDArray[np.int64], names: Sequence[str]) -> tuple[NDArray[np.object_], list[str]]:
        """Why some of them are not good, as words and as sentences.

        Args:
            names: of the columns of phones.
        """
        reasons = self.reasons[places]
        if len(names) == 1:
            return _WORDS[reasons], [f"The phone {_SENTENCES[reason]}." for reason in reasons.tolist()]
        told = [
            f"The phone in {names[which]!r} {_SENTENCES[reason]}."
            for which, reason in zip(self.columns[places].tolist(), reasons.tolist(), strict=True)
        ]
        return _WORDS[reasons], told


def phones_in(columns: Sequence[Column], *, only_valid: bool, every: bool) -> Found:
    """Find the phones of some rows.

    Args:
        columns: what the cells of each column of phones are.
        only_valid: take no phones that are merely possible.
        every: take all phones of a row, each once; otherwise the first one that is good.
    """
    looked = [_looked_at(one, only_valid=only_valid) for one in columns]
    if len(columns) == 1:
        ok, reasons = looked[0]
        size = len(ok)
        return Found(np.arange(size), np.zeros(size, np.int64), columns[0].phone, ok, reasons)
    phones = np.stack([one.phone for one in columns])
    ok = np.stack([good for good, _ in looked])
    reasons = np.stack([why for _, why in looked])
    filled = reasons != _EMPTY
    if every:
        for place in range(1, len(columns)):
            for before in range(place):
                filled[place] &= ~(ok[place] & ok[before] & (phones[place] == phones[before]))
        filled[0] |= ~filled.any(axis=0)
        rows, which = np.nonzero(filled.T)
    else:
        rows = np.arange(ok.shape[1])
        which = np.where(ok.any(axis=0), ok.argmax(axis=0), filled.argmax(axis=0))
    return Found(rows, which, phones[which, rows], ok[which, rows], reasons[which, rows])


def _looked_at(found: Column, *, only_valid: bool) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    accepted = found.valid if only_valid else found.possible & (found.reason != _LOCAL_ONLY)
    within = (found.phone >= PHONE_MIN) & (found.phone <= PHONE_MAX)
    reasons = np.where(accepted & ~within, np.uint8(len(_WORDS) - 1), found.reason)
    return accepted & within, reasons
