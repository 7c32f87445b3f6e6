"""The phones in the rows of a file: which cells of a row are accepted, and why others are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rollbook import phones
from rollbook.phones import OUT_OF_BOUNDS, PHONE_MAX, PHONE_MIN, REASONS, SENTENCES, column
from rollbook.phones.column import PhoneColumn

_LOCAL_ONLY = REASONS.index("local_only")
"""Numbers without an area code: they can be dialled locally, but not from anywhere else."""

_TWO_NUMBERS = REASONS.index("two_numbers")
_EMPTY = REASONS.index("empty")

_WORDS = np.array([*REASONS, "out_of_bounds"], object)
_SENTENCES = [*(SENTENCES.get(word, "") for word in REASONS), OUT_OF_BOUNDS]


class FoundPhones(NamedTuple):
    """The phones in the rows of a batch, valid ones and others, in the order of the rows. Every row has at
    least one. All arrays have the same length.

    Args:
        rows: the places of their rows in the batch, ascending.
        columns: the column of phones that each comes from.
        phones: E.164 digits, where the phone is valid.
        ok: whether each is valid.
        reasons: why the others are not valid: places in `_WORDS`.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    phones: NDArray[np.int64]
    ok: NDArray[np.bool_]
    reasons: NDArray[np.uint8]

    def why(
        self,
        places: NDArray[np.int64],
        cells: pa.Table | pa.RecordBatch,
        names: Sequence[str],
        region: str | None,
    ) -> tuple[NDArray[np.object_], list[str]]:
        """Why some of the phones are not valid, as words and as sentences.

        Args:
            cells: the cells of the batch.
            names: the names of the columns of phones.
            region: the region of national numbers.
        """
        reasons = self.reasons[places]
        sentences = [_SENTENCES[reason] for reason in reasons.tolist()]
        for at in np.flatnonzero(reasons == _TWO_NUMBERS).tolist():
            sentences[at] = phones.sentence("two_numbers", self.text(int(places[at]), cells, names), region)
        if len(names) == 1:
            return _WORDS[reasons], [f"The phone {why}." for why in sentences]
        columns = (names[which] for which in self.columns[places].tolist())
        return _WORDS[reasons], [
            f"The phone in {name!r} {why}." for name, why in zip(columns, sentences, strict=True)
        ]

    def text(self, place: int, cells: pa.Table | pa.RecordBatch, names: Sequence[str]) -> str | None:
        """The cell that a phone comes from."""
        text: str | None = cells.column(names[self.columns[place]])[int(self.rows[place])].as_py()
        return text

    def split(
        self,
        cells: pa.Table | pa.RecordBatch,
        names: Sequence[str],
        region: str | None,
        *,
        only_valid: bool,
    ) -> FoundPhones:
        """The same phones, with cells of several numbers split into their numbers."""
        places = np.flatnonzero(~self.ok & (self.reasons == _TWO_NUMBERS))
        if not len(places):
            return self
        parts = [phones.numbers_in(self.text(int(place), cells, names), region) for place in places]
        many = np.ones(len(self.rows), np.int64)
        many[places] = [max(1, len(numbers)) for numbers in parts]
        which = np.repeat(np.arange(len(many)), many)
        new = self._taken(which)
        classified = column.classify(
            pa.array([text for numbers in parts for text in numbers or [""]], pa.string()), region
        )
        at = np.flatnonzero(np.isin(which, places))
        new.phones[at] = classified.phone
        new.ok[at], new.reasons[at] = _looked_at(classified, only_valid=only_valid)
        return new

    def with_contacts(
        self,
        cells: pa.Table | pa.RecordBatch,
        names: Sequence[str],
        in_book: Callable[[Sequence[int]], Sequence[int]],
    ) -> FoundPhones:
        """The same phones, where a number that is not in any numbering plan is accepted if a contact has it:
        plans change, and every contact of the book must be stoppable.

        Args:
            in_book: returns which of the given phones are contacts.
        """
        bad = np.flatnonzero(~self.ok & (self.reasons != _EMPTY))
        texts = self._texts(bad, cells, names)
        read = {text: phones.literally(text) for text in set(texts)}  # most are a few words, over and over
        literal = {
            place: phone for place, text in zip(bad.tolist(), texts, strict=True) if (phone := read[text])
        }
        contacts = set(in_book(sorted(set(literal.values())))) if literal else set()
        places = [place for place, phone in literal.items() if phone in contacts]
        if not places:
            return self
        new = self._taken(np.arange(len(self.rows)))
        new.phones[places] = [literal[place] for place in places]
        new.ok[places] = True
        return new

    def _texts(
        self, places: NDArray[np.int64], cells: pa.Table | pa.RecordBatch, names: Sequence[str]
    ) -> list[str]:
        """The cells that some of them are from."""
        texts = np.empty(len(places), object)
        for number, name in enumerate(names):
            of_column = np.flatnonzero(self.columns[places] == number)
            cells_of_column = cells.column(name).take(pa.array(self.rows[places[of_column]]))
            texts[of_column] = [text or "" for text in cells_of_column.to_pylist()]
        found: list[str] = texts.tolist()
        return found

    def _taken(self, places: NDArray[np.intp]) -> FoundPhones:
        """Some of the phones, in arrays of their own."""
        rows, columns, numbers = self.rows[places], self.columns[places], self.phones[places]
        return FoundPhones(rows, columns, numbers, self.ok[places], self.reasons[places])


def phones_in(columns: Sequence[PhoneColumn], *, only_valid: bool, every: bool) -> FoundPhones:
    """Find the phones of some rows.

    Args:
        columns: the cells of each column of phones, as they were read.
        only_valid: whether phones that are merely possible are rejected.
        every: whether all phones of a row count, each once; otherwise only the first valid one does.
    """
    looked = [_looked_at(found, only_valid=only_valid) for found in columns]
    if len(columns) == 1:
        ok, reasons = looked[0]
        size = len(ok)
        return FoundPhones(np.arange(size), np.zeros(size, np.int64), columns[0].phone, ok, reasons)
    numbers = np.stack([found.phone for found in columns])
    ok = np.stack([good for good, _ in looked])
    reasons = np.stack([why for _, why in looked])
    filled = reasons != _EMPTY
    if every:
        for place in range(1, len(columns)):
            for before in range(place):
                filled[place] &= ~(ok[place] & ok[before] & (numbers[place] == numbers[before]))
        filled[0] |= ~filled.any(axis=0)
        rows, which = np.nonzero(filled.T)
    else:
        rows = np.arange(ok.shape[1])
        which = np.where(ok.any(axis=0), ok.argmax(axis=0), filled.argmax(axis=0))
    return FoundPhones(rows, which, numbers[which, rows], ok[which, rows], reasons[which, rows])


def _looked_at(found: PhoneColumn, *, only_valid: bool) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    accepted = found.valid if only_valid else found.possible & (found.reason != _LOCAL_ONLY)
    within = (found.phone >= PHONE_MIN) & (found.phone <= PHONE_MAX)
    reasons = np.where(accepted & ~within, np.uint8(len(_WORDS) - 1), found.reason)
    return accepted & within, reasons
