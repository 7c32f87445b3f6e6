"""Look-ups in an ascending array: finds the phones of the book among those of a stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def places(
    ascending: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Look numbers up in an ascending array.

    Returns:
        For each of `numbers` its place in `ascending`, and whether it is there. The place of a number that is
        not there has no meaning, but it is a valid one unless `ascending` is empty.
    """
    if not len(ascending):
        return np.zeros(len(numbers), np.intp), np.zeros(len(numbers), np.bool_)
    found = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    return found, ascending[found] == numbers
