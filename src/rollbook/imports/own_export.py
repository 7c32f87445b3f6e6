"""Exports of rollbook that come back: what is stopped in one stays stopped where it is imported."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rollbook import channels
from rollbook.channels import mask_of

CONTACT = ("phone", "id", "created_at", "stopped")
"""The columns of every export of contacts (`exports.columns`)."""

STOP = frozenset(("phone", "channels", "created_at"))
"""Those of an export of the stop list, which may have `id` too."""

FIELD = " (field)"
"""What an export adds to the name of a field that is called as one of its own columns."""


_BETWEEN = re.compile(r"[,;|]")
"""What stands between channels; programs that save a file anew may change it."""

_E164 = re.compile(r"[1-9][0-9]{7,14}")


class OwnExport(NamedTuple):
    """What the columns of an export mean, other than fields.

    Args:
        stops: names the channels that each row's phone is stopped on.
        ignored: of the book that it came from only.
        whole: it has the columns that an export has when nobody chooses, and phones as an export has them:
            with their country codes, and of whatever plan.
        only_stops: it is one of the stop list, and its phones are no contacts.
    """

    stops: str
    ignored: frozenset[str]
    whole: bool
    only_stops: bool


def recognised(
    columns: Sequence[str], sample: Sequence[Sequence[str | None]], said: Container[str]
) -> OwnExport | None:
    """What a file is if it is an export of rollbook, told by its columns and what is in them.

    An export of contacts begins with `CONTACT`, or has at least `phone` and `stopped` where columns were
    chosen; one of the stop list has `STOP`. In `stopped` and `channels` there are names of channels: in all
    cells that are filled, or at least in some of a whole export, in which somebody may have changed others.

    Args:
        sample: rows from the top.
        said: columns whose meaning was said.
    """
    if "phone" not in columns:
        return None
    for column, only_stops in (("stopped", False), ("channels", True)):
        if column not in columns or column in said:
            continue
        if only_stops and not STOP <= set(columns) <= STOP | {"id"}:
            continue
        place = columns.index(column)
        cells = [(row[place] or "").strip() for row in sample]
        phones = [(row[columns.index("phone")] or "").strip() for row in sample]
        whole = only_stops or tuple(columns[: len(CONTACT)]) == CONTACT
        whole = whole and all(map(_E164.fullmatch, filter(None, phones)))
        filled = [_is_mask(cell) for cell in cells if cell]
        if all(filled) or (whole and any(filled)):
            own = {"id", "created_at", "lists"} if whole else set()
            return OwnExport(column, frozenset(own & set(columns)), whole, only_stops and whole)
    return None


def masks(cells: pa.Array) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The channels that rows name, as masks.

    Returns:
        The masks; and for each place where something else stands, why it cannot be.
    """
    encoded = pc.dictionary_encode(pc.fill_null(cells, ""))
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    distinct = np.zeros(len(encoded.dictionary), np.int64)
    wrong: dict[int, str] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            distinct[code] = _mask(text)
        except ValueError as error:
            wrong[code] = str(error)
    places = np.flatnonzero(np.isin(indices, list(wrong))).tolist() if wrong else []
    return distinct[indices], {place: wrong[indices[place]] for place in places}


def _is_mask(cell: str) -> bool:
    try:
        _mask(cell)
    except ValueError:
        return False
    return True


def _mask(cell: str) -> int:
    """The channels that a cell names, as a mask; 0 for an empty one.

    Raises:
        ValueError: it names something else; see `channels.parse`.
    """
    if cell.startswith("[") and cell.endswith("]"):
        cell = cell[1:-1].replace('"', "")  # a list in JSON
    return mask_of(channels.parse(_BETWEEN.split(cell))) if cell.strip() else 0
