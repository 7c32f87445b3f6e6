"""The stage: the accepted rows of a file, checked, without duplicates, sorted by phone, in files of their
own.

The sorted integers make a merge quick: it walks through every index from one end to the other. The stage of
ten million phones takes 240 MB of disk (docs/decisions/0019). With it, a merge continues after a crash
without reading the file again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rollbook import fields, paths
from rollbook.errors import BadFile
from rollbook.fields import Type
from rollbook.files import RowBatch, Table, formulas
from rollbook.imports import own_export, rejects
from rollbook.imports.found import FoundPhones, phones_in
from rollbook.imports.order import ImportLimits
from rollbook.imports.rejects import Rejects, Repaired
from rollbook.phones import calling_codes, column

NO_LIMITS = ImportLimits()

CLASSIFIERS = 2
"""Threads that classify phones. More of them would only wait for the reader of the file."""

_PHONES, _ROWS, _LINES, _VALUES = "phones.int64", "rows.int64", "lines.int64", "values.arrow"
_MASKS = "masks.int64"
_STAGED = (_PHONES, _ROWS, _LINES, _VALUES, _MASKS)


class Filled(NamedTuple):
    """A column of the file that fills a field.

    Args:
        column: the column of the file.
        field: the name of the field.
        type: the type of the field.
    """

    column: str
    field: str
    type: Type


VALUE_LEFT_OUT = "value left out"
"""Does not reject the row: one that stops its phone is imported without a value that its field cannot
store."""


class Totals(NamedTuple):
    """The totals of a file.

    Args:
        rows: all rows except blank ones.
        further: phones of rows beyond the first of each row; they count as rows below.
        blank: empty rows.
        rejected: rows left out, by reason.
        duplicates: rows whose phone occurs again in a later row.
        staged: rows in the stage.
        values_left_out: values that their fields cannot store, in rows that stop their phone.
    """

    rows: int
    further: int
    blank: int
    rejected: Mapping[str, int]
    duplicates: int
    staged: int
    values_left_out: int = 0


class PhoneReading(NamedTuple):
    """Where the phones of a file are, and how they are read.

    Args:
        columns: the columns with phones, at least one; the first valid phone of a row counts.
        region: the region of national numbers.
        only_valid: whether phones that are merely possible are rejected.
        every: whether all valid phones of a row count.
        split: whether all numbers of a cell with several count.
        in_book: returns which of the given phones are contacts; those are accepted whatever the numbering
            plan says.
        stops: a column that names the channels on which the phones of the row are stopped.
        all_stop: whether every phone is put on the stop list.
        codes: a column with the country codes of the phones.
        repaired: what a file of rejected rows holds when it is read again.
    """

    columns: Sequence[str]
    region: str | None = None
    only_valid: bool = True
    every: bool = False
    split: bool = False
    in_book: Callable[[Sequence[int]], Sequence[int]] | None = None
    stops: str | None = None
    all_stop: bool = False
    repaired: Repaired = Repaired()
    codes: str | None = None


def build(
    table: Table,
    phones: PhoneReading,
    filled: Sequence[Filled],
    folder: Path,
    *,
    progress: Callable[[int, int], None],
    limits: ImportLimits = NO_LIMITS,
) -> Totals:
    """Read a file and stage its accepted rows. An earlier stage in the folder is deleted.

    Args:
        filled: the columns whose values are kept.
        folder: the folder of the stage; it exists.
        limits: the limits on the text in all cells, and on the file of rejected rows.
        progress: called now and then with the bytes and rows done; an exception from it ends the reading.

    Raises:
        BadFile: the file cannot be read to its end.
        OSError: the disk cannot store the stage.
    """
    pa.enable_signal_handlers(False)  # a signal ends the work between two batches, not within one
    clear(folder)
    staged = _Staged([], [], [])
    rejected: Counter[str] = Counter()
    rows = blank = found_phones = decoded = 0
    with (
        Rejects(folder, table.columns, phones.repaired, bytes_max=limits.rejects_bytes_max) as left_out,
        _Values(folder, filled) as values,
    ):
        for batch, found in _classified(table.batches(), phones):
            good, values_of_good = _checked(batch, found, phones, filled, left_out, rejected)
            rows += batch.cells.num_rows + len(batch.bad)
            decoded += batch.cells.nbytes
            if decoded > limits.decoded_bytes_max:
                raise BadFile(
                    f"The cells of the file have more than {limits.decoded_bytes_max:,} bytes of text "
                    "(--import-decoded-bytes-max). Files of contacts do not; if it is good, split it."
                )
            found_phones += len(found.rows) + len(batch.bad)
            blank += batch.blank
            staged.phones.append(good.phones)
            staged.lines.append(batch.lines[good.places])
            if good.masks is not None:
                staged.masks.append(good.masks)
            values.add(values_of_good)
            progress(batch.bytes_done, rows)
    size, good_phones = _sort(staged, folder, keep_rows=bool(filled), keep_masks=phones.stops is not None)
    _sync(folder)
    values_left_out = rejected.pop(VALUE_LEFT_OUT, 0)
    return Totals(rows, found_phones - rows, blank, dict(rejected), good_phones - size, size, values_left_out)


class _Staged(NamedTuple):
    """The rows staged from the batches so far."""

    phones: list[NDArray[np.int64]]
    lines: list[NDArray[np.int64]]
    masks: list[NDArray[np.int64]]


class _Good(NamedTuple):
    """The accepted phones of a batch, and the places of their rows."""

    phones: NDArray[np.int64]
    places: NDArray[np.int64]
    masks: NDArray[np.int64] | None


def _classified(batches: Iterator[RowBatch], phones: PhoneReading) -> Iterator[tuple[RowBatch, FoundPhones]]:
    """Batches with their phones classified, in order. Other threads classify some batches while this one
    reads the next: they work on arrays, without holding the interpreter."""

    def whole(batch: RowBatch) -> RowBatch:
        if phones.codes is None:
            return batch
        cells, codes = batch.cells, batch.cells.column(phones.codes)
        for name in phones.columns:
            place = cells.schema.get_field_index(name)
            cells = cells.set_column(place, name, calling_codes.joined(cells.column(place), codes))
        return replace(batch, cells=cells)

    def look(batch: RowBatch) -> FoundPhones:
        columns = [column.classify(batch.cells.column(name), phones.region) for name in phones.columns]
        found = phones_in(columns, only_valid=phones.only_valid, every=phones.every)
        if phones.split:
            found = found.split(batch.cells, phones.columns, phones.region, only_valid=phones.only_valid)
        if phones.in_book is not None:
            found = found.with_contacts(batch.cells, phones.columns, phones.in_book)
        return found

    with ThreadPoolExecutor(CLASSIFIERS, "classify") as pool:
        ahead: deque[tuple[RowBatch, Future[FoundPhones]]] = deque()
        try:
            for batch in map(whole, batches):
                ahead.append((batch, pool.submit(look, batch)))
                if len(ahead) > CLASSIFIERS:
                    first, found = ahead.popleft()
                    yield first, found.result()
            while ahead:
                first, found = ahead.popleft()
                yield first, found.result()
        finally:
            for _, found in ahead:
                found.cancel()


def _checked(
    batch: RowBatch,
    found: FoundPhones,
    phones: PhoneReading,
    filled: Sequence[Filled],
    left_out: Rejects,
    rejected: Counter[str],
) -> tuple[_Good, list[pa.Array]]:
    cells, ok = batch.cells, found.ok.copy()
    bad_phones = np.flatnonzero(~ok)
    if len(bad_phones):
        words, sentences = found.why(bad_phones, cells, phones.columns, phones.region)
        rejected.update(words.tolist())
        left_out.add(batch.lines, cells, found.rows[bad_phones], words, sentences)

    def leave_out(why_not: Mapping[int, str], word: str) -> None:
        """Reject rows whose phones are good, for another reason."""
        if not why_not:
            return
        bad = ok & np.isin(found.rows, list(why_not))
        if bad.any():
            rejected[word] += int(bad.sum())
            rows = np.unique(found.rows[bad])
            words = np.full(len(rows), word, object)
            left_out.add(batch.lines, cells, rows, words, [why_not[row] for row in rows.tolist()])
            ok[bad] = False

    stops = None
    if phones.stops is not None:
        stops, why_not = own_export.masks(cells.column(phones.stops))
        leave_out({row: f"The {phones.stops} {why}." for row, why in why_not.items()}, "bad_stop")
    kept: list[pa.Array] = []
    for column_name, field, type_ in filled:
        values, why_not = canonical(type_, cells.column(column_name))
        if phones.all_stop or stops is not None:
            # An opt-out counts whatever else its row holds: only the value is left out.
            stopping = {row for row in why_not if phones.all_stop or (stops is not None and stops[row])}
            rejected[VALUE_LEFT_OUT] += len(stopping & set(found.rows[ok].tolist()))
            why_not = {row: why for row, why in why_not.items() if row not in stopping}
        leave_out({row: f"The {field} {why}." for row, why in why_not.items()}, "bad_value")
        kept.append(values)
    for row in batch.bad:
        rejected[row.reason] += 1
        left_out.add_unreadable(row)
    places = found.rows[ok]
    chosen = pa.array(places)
    masks = stops[places] if stops is not None else None
    return _Good(found.phones[ok], places, masks), [values.take(chosen) for values in kept]


def valid(texts: Sequence[str], region: str | None) -> list[bool]:
    """Which of some texts are valid phones."""
    found: list[bool] = column.classify(pa.array(texts, pa.string()), region).valid.tolist()
    return found


def canonical(type_: Type, cells: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Values of a field in their stored form.

    Args:
        type_: the type of the field.
        cells: texts. White space around them is dropped, and a cell that is then empty has no value. The mark
            that exports put before a text that looks like a formula is dropped too.

    Returns:
        The values, and the reason for each place that does not have a valid value.
    """
    encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(cells))
    if (texts := formulas.unmarked_column(encoded.dictionary)) is not encoded.dictionary:
        encoded = pa.DictionaryArray.from_arrays(encoded.indices, texts)
    unchanged = pa.array(np.zeros(len(texts), bool))
    if type_ == "text":
        short = pc.less_equal(pc.binary_length(texts), fields.VALUE_LENGTH_MAX)
        unchanged = pc.and_(pc.and_(pc.string_is_ascii(texts), short), pc.greater(pc.binary_length(texts), 0))
        unchanged = pc.and_(unchanged, pc.invert(pc.match_substring(texts, "\0")))
    odd = np.flatnonzero(~unchanged.to_numpy(zero_copy_only=False))
    if not len(odd):
        return encoded.cast(pa.string()), {}
    values: list[str | None] = texts.to_pylist()
    why_not: dict[int, str] = {}
    for place in odd.tolist():
        text = values[place]
        try:
            values[place] = fields.canonical(type_, text).value if text else None
        except ValueError as error:
            values[place], why_not[place] = None, str(error)
    indices = encoded.indices
    bad_places: dict[int, str] = {}
    if why_not:
        codes = indices.fill_null(-1).to_numpy(zero_copy_only=False)
        for place in np.flatnonzero(np.isin(codes, list(why_not))).tolist():
            bad_places[place] = why_not[int(codes[place])]
    return pa.array(values, pa.string()).take(indices), bad_places


def _sort(staged: _Staged, folder: Path, *, keep_rows: bool, keep_masks: bool) -> tuple[int, int]:
    """Write the phones in order, each once. The last row of a phone counts, but the phone is stopped on the
    channels of all its rows. Returns the number of phones written, and of rows."""
    everything = _joined(staged.phones)
    order = np.argsort(everything, kind="stable")
    ordered = everything[order]
    del everything
    last = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=last[:-1])
    _write(folder / _PHONES, ordered[last])
    rows = len(ordered)
    del ordered
    chosen = order[last]
    if keep_masks:
        masks = _joined(staged.masks)[order]
        firsts = np.flatnonzero(np.concatenate([[True], last[:-1]])) if len(last) else chosen
        _write(folder / _MASKS, np.bitwise_or.reduceat(masks, firsts) if len(firsts) else masks)
    del order, last
    _write(folder / _LINES, _joined(staged.lines)[chosen])
    if keep_rows:
        _write(folder / _ROWS, chosen)
    return len(chosen), rows


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The parts as one array. Their memory is released."""
    everything = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    parts.clear()
    return everything


def _write(path: Path, numbers: NDArray[np.int64]) -> None:
    with path.open("wb") as file:  # not by numpy, which does not distinguish a full disk from other errors
        file.write(np.ascontiguousarray(numbers, "<i8").data)


def _mapped(path: Path) -> NDArray[np.int64]:
    if not path.stat().st_size:
        return np.zeros(0, np.int64)
    return np.memmap(path, "<i8", "r")


class _Values:
    """The values of accepted rows, in the order of the file."""

    def __init__(self, folder: Path, filled: Sequence[Filled]) -> None:
        self._schema = pa.schema([(str(number), pa.string()) for number in range(len(filled))])
        self._writer: Any = None
        if filled:
            self._writer = pa.ipc.new_file(folder / _VALUES, self._schema)

    def __enter__(self) -> _Values:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, values: list[pa.Array]) -> None:
        """Append the rows of a batch."""
        if self._writer is not None:
            self._writer.write_batch(pa.record_batch(values, schema=self._schema))


class Stage:
    """A complete stage.

    Attributes:
        phones: E.164 digits, ascending, each once.
    """

    def __init__(self, folder: Path) -> None:
        self.phones = _mapped(folder / _PHONES)
        self._folder = folder
        self._rows: NDArray[np.int64] | None = None
        self._batches: list[pa.RecordBatch] = []
        if (folder / _ROWS).exists():
            self._rows = _mapped(folder / _ROWS)
            reader = pa.ipc.open_file(pa.memory_map(str(folder / _VALUES)))
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            sizes = [batch.num_rows for batch in self._batches]
            self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self.phones)

    @property
    def lines(self) -> NDArray[np.int64]:
        """The line of the file from which each phone comes."""
        return _mapped(self._folder / _LINES)

    def masks(self, place: int, rows: int) -> NDArray[np.int64] | None:
        """The channels on which the file itself stops the phones from `place` on; `None` when it has no such
        column."""
        if not (self._folder / _MASKS).exists():
            return None
        return np.array(_mapped(self._folder / _MASKS)[place : place + rows])

    def values(self, place: int, rows: int) -> list[list[str | None]]:
        """The values of the rows from `place` on in each of the columns that were kept."""
        if self._rows is None:
            return []
        wanted = self._rows[place : place + rows]
        order = np.argsort(wanted)
        ordered = wanted[order]
        pieces: list[list[pa.Array]] = []
        bounds = np.searchsorted(ordered, self._starts)
        for number, batch in enumerate(self._batches):
            inside = ordered[bounds[number] : bounds[number + 1]]
            if len(inside):
                taken = batch.take(pa.array(inside - self._starts[number]))
                pieces.append(taken.columns)
        back = pa.array(np.argsort(order))
        return [pa.concat_arrays(parts).take(back).to_pylist() for parts in zip(*pieces, strict=True)]


def clear(folder: Path) -> None:
    """Delete the stage in a folder."""
    for name in _STAGED:
        (folder / name).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Write the stage to the disk, before the database records that it exists."""
    for path in _files(folder):
        paths.store_path(path)


def _files(folder: Path) -> Iterator[Path]:
    names = (*_STAGED, rejects.NAME)
    yield from (folder / name for name in names if (folder / name).exists())
    yield folder
