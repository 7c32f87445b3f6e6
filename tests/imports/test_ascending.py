"""Numbers are found in an ascending array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rollbook.imports import ascending

CASES: Sequence[tuple[str, Sequence[int], Sequence[int], Sequence[int | None]]] = [
    ("below, at and behind each end", [10, 20, 30], [9, 10, 30, 31], [None, 0, 2, None]),
    ("between two", [10, 20, 30], [11, 20, 29], [None, 1, None]),
    ("in no order and twice", [10, 20], [20, 10, 20], [1, 0, 1]),
    ("nothing to find", [10], [], []),
    ("nothing to find it in", [], [10], [None]),
]


@pytest.mark.parametrize(("name", "values", "wanted", "where"), CASES, ids=[case[0] for case in CASES])
def test_where_numbers_stand(
    name: str, values: Sequence[int], wanted: Sequence[int], where: Sequence[int | None]
) -> None:
    places, found = ascending.places(np.array(values, np.int64), np.array(wanted, np.int64))
    pairs = zip(places.tolist(), found.tolist(), strict=True)
    assert [place if there else None for place, there in pairs] == list(where), name
