"""Exports of rollbook that are imported again: the stops in them stay stops."""

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
"""The columns of an export of the stop list, which may have `id` too."""

FIELD = " (field)"
"""What an export adds to the name of a field that has the name of one of its own columns."""


_BETWEEN = re.compile(r"[,;|]")
"""The separators between channels; programs that save a file again may change them."""

_E164 = re.compile(r"[1-9][0-9]{7,14}")


class OwnExport(NamedTuple):
    """The meaning of an export's columns other than fields.

    Args:
        stops: the column that names the channels on which the phone of each row is stopped.
        ignored: columns that have a meaning only in the book that they come from.
        whole: whether it has the default columns of an export, and phones as an export writes them: with
            their country codes, valid or not.
        only_stops: whether it is an export of the stop list, whose phones do not become contacts.
    """

    stops: str
    ignored: frozenset[str]
    whole: bool
    only_stops: bool


def recognised(
    columns: Sequence[str], sample: Sequence[Sequence[str | None]], said: Container[str]
) -> OwnExport | None:
    """Recognize an export of rollbook by its columns and its cells, and return the meaning of its columns.

    An export of contacts begins with `CONTACT`, or has at least `phone` and `stopped` where columns were
    chosen; one of the stop list has `STOP`. The cells of `stopped` and `channels` are names of channels: all
    cells that are filled, or at least some in a whole export, whose other cells may have been edited.

    Args:
        sample: rows from the top of the file.
        said: columns that the caller's mapping names.
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
        The masks; and for each place with an invalid cell, the reason.
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
        ValueError: the cell names something else; see `channels.parse`.
    """
    if cell.startswith("[") and cell.endswith("]"):
        cell = cell[1:-1].replace('"', "")  # a list in JSON
    return mask_of(channels.parse(_BETWEEN.split(cell))) if cell.strip() else 0
