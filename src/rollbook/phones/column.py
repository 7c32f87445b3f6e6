"""Columns of phone numbers as people and spreadsheets write them: reads millions at a time.

Texts of digits and common punctuation, which are nearly all, become keys directly from Arrow's buffers and
are looked up in the region's table, without work for each row. The others are read by `phonenumbers`, each
different text once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rollbook.errors import Invalid, Problem
from rollbook.phones import one, several, spelling
from rollbook.phones.plans import BEHIND_PLUS, DIGITS_MAX, POWERS, RangeTable, table
from rollbook.phones.verdict import (
    AGAIN,
    ASK,
    POSSIBLE,
    REASON_BITS,
    REASONS,
    REGIONS,
    RETRIED,
    SENTENCES,
    TYPES,
    Verdict,
)

__all__ = ["REASONS", "REGIONS", "SENTENCES", "TYPES", "PhoneColumn", "classify"]

BLOCK_ROWS = 1 << 16
"""Rows that are processed together: intermediate results stay in the processor's cache."""

SPACES_MAX = 8
"""Leading bytes of white space that are skipped without `phonenumbers`."""

DIGITS_MIN = 3
"""With fewer digits, libphonenumber considers their position in the text."""

_UNKNOWN_COUNTRY_CODE = Verdict("unknown_country_code").packed()

_NOT_A_NUMBER = Verdict("not_a_number").packed()

_PUNCTUATION, _PLUS, _SPACE, _APOSTROPHE, _HIGH, _OTHER = range(6)
"""Kinds of bytes that are not digits; high bytes are parts of characters beyond ASCII."""

_KINDS = np.full(256, _OTHER, np.uint8)
_KINDS[list(b" ().-/[]")] = _PUNCTUATION
_KINDS[list(b"\t\n\v\f\r\x1c\x1d\x1e\x1f")] = _SPACE
_KINDS[ord("+")] = _PLUS
_KINDS[ord("'")] = _APOSTROPHE
_KINDS[0x80:] = _HIGH

_IS_AROUND = _KINDS == _SPACE
_IS_AROUND[list(b" '\xc2\xa0")] = True
"""Bytes that may precede a text that begins with a digit: white space, one apostrophe, and the two bytes of a
no-break space."""


@dataclass(frozen=True)
class PhoneColumn:
    """The results for the texts of a column, as arrays of the same length.

    Args:
        phone: E.164 digits as a number; 0 if the text is not a possible number.
        possible: whether its country code exists and has numbers of that length, including numbers for calls
            within an area (the reason is `local_only` then). Some possible numbers have fewer than 9 digits.
        valid: whether it is in a range that the plan assigns.
        reason: the reason why it is not valid, an index of `REASONS`; 0 for a valid number.
        region: an index of `REGIONS`; 0 when unknown.
        type: an index of `TYPES`; 0 when unknown or not valid.
    """

    phone: NDArray[np.int64]
    possible: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    reason: NDArray[np.uint8]
    region: NDArray[np.uint16]
    type: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.phone)


def classify(texts: pa.Array | pa.ChunkedArray, region: str | None = None) -> PhoneColumn:
    """Read a column of texts as phone numbers.

    The spelling is normalized first (see `phones.spelling`): no invisible characters, one kind of space, dash
    and digit, no marks of a spreadsheet. Three kinds of text are refused: scientific notation that has lost
    digits, two numbers (`two_numbers`), and letters after the digits (`letters_behind`).

    With a region a text is read as by `phonenumbers.parse(text, region)`. If the result is not valid, and the
    text begins with a digit and has no `+`, it is read again with a `+` before it, and that result is used if
    it is valid; a text that begins with 00 is read with a `+` instead of 00. Without a region the digits
    begin with a country code, after `+`, after 00, or after neither; a country code is never guessed.

    Args:
        texts: strings (or large strings); nulls are allowed.
        region: two letters (ISO 3166-1) of the country whose national format applies to numbers without a
            country code.

    Returns:
        One row for each text, in the same order.

    Raises:
        Invalid: libphonenumber does not know the region, or `texts` are not strings.
    """
    region = one.parse_region(region)
    if texts.type not in (pa.string(), pa.large_string()):
        raise Invalid([Problem("texts", f"Phone numbers must be text, not {texts.type}.")])
    ranges = table(region)
    phone = np.zeros(len(texts), np.int64)
    verdict = np.zeros(len(texts), np.int32)
    first = 0
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        for at in range(0, len(chunk), BLOCK_ROWS):
            block = chunk.slice(at, BLOCK_ROWS)
            rows = slice(first, first + len(block))
            phone[rows], verdict[rows] = _block(block, ranges, always_abroad=region is None)
            first = rows.stop
    odd = np.flatnonzero(verdict & ASK)
    if len(odd):
        phone[odd], verdict[odd] = _asked(texts.take(pa.array(odd)), region, ranges)
    reason = ((verdict & REASON_BITS) >> 4).astype(np.uint8)
    return PhoneColumn(
        phone=phone,
        possible=(verdict & POSSIBLE) != 0,
        valid=reason == 0,
        reason=reason,
        region=(verdict >> 8 & 511).astype(np.uint16),
        type=(verdict & 15).astype(np.uint8),
    )


def _block(
    block: pa.Array, ranges: RangeTable, *, always_abroad: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Phones and verdicts of a block; `ASK` where `phonenumbers` has to read the text.

    Args:
        always_abroad: whether digits begin with a country code even without a `+`.
    """
    endless = pc.greater(pc.binary_length(block), 4 * one.CHARACTERS_MAX).fill_null(False)
    if pc.any(endless).as_py():
        block = pc.if_else(endless, pa.scalar("", block.type), block)
    read = _read(block)
    keys = np.where(read.plain, read.value + POWERS[read.size], 1)
    keys += np.where(read.plus | always_abroad, BEHIND_PLUS, 0)
    at = ranges.find(keys)
    verdict = ranges.verdicts[at]
    move = ranges.moves[at]
    again = np.flatnonzero(verdict & AGAIN)
    if len(again):
        rest = keys[again] + move[again]
        at = ranges.find(rest)
        found = ranges.verdicts[at]
        # An international prefix is removed only once. A rest that does not begin with 0 may begin with a
        # country code itself.
        found = np.where(found & AGAIN, _UNKNOWN_COUNTRY_CODE, found)
        begins_with_zero = read.value[again] < POWERS[read.size[again] - 1]
        unclear = ((found & REASON_BITS) != 0) & ~begins_with_zero & ~read.plus[again]
        keys[again], move[again], verdict[again] = rest, ranges.moves[at], np.where(unclear, ASK, found)
    verdict[((verdict & RETRIED) != 0) & ~read.begins] = ASK
    _dial_double_zero(read, ranges, keys, move, verdict, always_abroad=always_abroad)
    verdict[((verdict & REASON_BITS) != 0) & read.may_be_two] = ASK
    verdict[((verdict & (REASON_BITS | RETRIED)) != 0) & read.may_be_marked] = ASK
    verdict[~read.plain] = ASK
    verdict[endless.to_numpy(zero_copy_only=False)] = _NOT_A_NUMBER
    is_number = ((verdict & POSSIBLE) != 0) | ((verdict & REASON_BITS) == 0)
    return np.where(is_number, keys + move, 0), verdict


def _dial_double_zero(
    read: _Read,
    ranges: RangeTable,
    keys: NDArray[np.int64],
    move: NDArray[np.int64],
    verdict: NDArray[np.int32],
    *,
    always_abroad: bool,
) -> None:
    """Read texts that begin with 00 and are not national numbers with a `+` instead of 00, if that gives a
    number."""
    zeros = read.plain & (read.value < POWERS[np.maximum(read.size - 2, 0)])
    rows = np.flatnonzero(zeros & ((verdict & REASON_BITS) != 0) & ((verdict & ASK) == 0))
    if not len(rows):
        return
    size = read.size[rows] - 2
    abroad = read.value[rows] + POWERS[size] + BEHIND_PLUS
    at = ranges.find(abroad)
    found = np.where(size < DIGITS_MIN, ASK, ranges.verdicts[at])
    found[(found & AGAIN) != 0] = _UNKNOWN_COUNTRY_CODE
    take = (found & (REASON_BITS | ASK)) == 0
    take |= ((found & POSSIBLE) != 0) & ((verdict[rows] & POSSIBLE) == 0)
    take |= ((found & ASK) != 0) | always_abroad
    taken = rows[take]
    keys[taken], move[taken], verdict[taken] = abroad[take], ranges.moves[at][take], found[take]


def _asked(
    texts: pa.Array | pa.ChunkedArray, region: str | None, ranges: RangeTable
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Phones and verdicts of unusual texts; each different text is read once. Texts with only an unusual
    spelling are read like plain ones, the others one by one."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    different = texts.dictionary_encode(null_encoding="encode")
    plain = pa.array(
        [
            text and spelling.plain(text[: one.CHARACTERS_MAX + 1])
            for text in different.dictionary.to_pylist()
        ],
        texts.type,
    )
    phones, verdicts = np.zeros(len(plain), np.int64), np.full(len(plain), ASK, np.int32)
    for at in range(0, len(plain), BLOCK_ROWS):
        rows = slice(at, at + BLOCK_ROWS)
        phones[rows], verdicts[rows] = _block(plain[rows], ranges, always_abroad=region is None)
    odd = np.flatnonzero(verdicts & ASK)
    read = [one.read(text, region) for text in different.dictionary.take(pa.array(odd)).to_pylist()]
    phones[odd] = [answer.phone for answer in read]
    verdicts[odd] = [answer.verdict.packed() for answer in read]
    which = different.indices.to_numpy()
    return phones[which], verdicts[which]


class _Read(NamedTuple):
    """The content of the texts of a block.

    Args:
        plain: whether it is 3 to 18 digits with common punctuation and at most one leading `+`, and nothing
            else.
        value: the digits as a number; undefined if it is not plain.
        size: the number of digits; 0 if it is not plain.
        plus: whether there is a `+`.
        begins: whether it begins with a digit; may be false after a lot of white space.
        may_be_two: whether it has as many digits as two numbers, and other characters.
        may_be_marked: whether a mark that counts the number may follow it.
    """

    plain: NDArray[np.bool_]
    value: NDArray[np.int64]
    size: NDArray[np.int32]
    plus: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    may_be_two: NDArray[np.bool_]
    may_be_marked: NDArray[np.bool_]


def _read(block: pa.Array) -> _Read:
    text, edges = _bytes(block)
    is_digit = text - np.uint8(ord("0")) < 10
    before = np.zeros(len(text) + 1, np.int32)
    np.cumsum(is_digit, out=before[1:])
    digit_edges = before[edges]
    count = np.diff(digit_edges)
    plain = (count >= DIGITS_MIN) & (count <= DIGITS_MAX) & (np.diff(edges) <= one.CHARACTERS_MAX)
    if block.null_count:
        plain &= block.is_valid().to_numpy(zero_copy_only=False)
    plus = np.zeros(len(block), bool)
    _look_at_others(text, edges, is_digit, before, plain, plus)
    _look_at_separators(text, edges, before, plain)
    value = _numbers(text[is_digit], digit_edges, plain)
    may_be_two = (count >= several.DIGITS_MIN) & (np.diff(edges) > count + plus)
    _drop_fractions(text, edges, before, plain, plus, value, count)
    count *= plain
    begins, marked = _begin_with_digit(text, edges, plain, plus), _marked(text, edges, before)
    return _Read(plain, value, count, plus, begins, may_be_two, marked)


def _bytes(block: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """The bytes of all texts one after the other, and the edges between them."""
    _, offsets, data = block.buffers()
    if not len(block) or data is None:
        return np.zeros(0, np.uint8), np.zeros(len(block) + 1, np.int64)
    size = np.int32 if block.type == pa.string() else np.int64
    edges = np.frombuffer(offsets, size)[block.offset : block.offset + len(block) + 1]
    return np.frombuffer(data, np.uint8)[edges[0] : edges[-1]], edges - edges[0]


def _look_at_others(
    text: NDArray[np.uint8],
    edges: NDArray[np.integer],
    is_digit: NDArray[np.bool_],
    before: NDArray[np.int32],
    plain: NDArray[np.bool_],
    plus: NDArray[np.bool_],
) -> None:
    """Set `plus` where there is a `+`, and `plain` to false where there is anything but common punctuation.

    Args:
        before: the number of digits before each byte of `text`.
    """
    at = np.flatnonzero(~is_digit)
    kind = _KINDS[text[at]]
    at, kind = (array[kind != _PUNCTUATION] for array in (at, kind))
    row = np.searchsorted(edges, at, side="right") - 1
    in_front = before[at] == before[edges[row]]

    is_plus = kind == _PLUS
    plus_row = row[is_plus]
    plus[plus_row] = True
    plain[plus_row[~in_front[is_plus]]] = False
    plain[plus_row[1:][plus_row[1:] == plus_row[:-1]]] = False
    plus_at = np.full(len(plus), len(text))
    plus_at[plus_row] = at[is_plus]

    at, kind, row, in_front = (array[~is_plus] for array in (at, kind, row, in_front))
    outside = (in_front & (at < plus_at[row])) | (before[at] == before[edges[row + 1]])
    harmless = (kind == _SPACE) & outside
    harmless |= (kind == _APOSTROPHE) & (at == edges[row])
    high = np.flatnonzero(kind == _HIGH)
    if len(high):
        here, left, right = text[at[high]], text[at[high] - 1], text[np.minimum(at[high] + 1, len(text) - 1)]
        harmless[high] = ((here == 0xC2) & (right == 0xA0)) | ((here == 0xA0) & (left == 0xC2))
    plain[row[~harmless]] = False


def _marked(
    text: NDArray[np.uint8], edges: NDArray[np.integer], before: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Whether a slash or a bracket near the end may separate a mark that counts the number."""
    at = np.flatnonzero((text == ord("/")) | (text == ord(")")) | (text == ord("]")))
    row = np.searchsorted(edges, at, side="right") - 1
    near = before[edges[row + 1]] - before[at] <= several.MARK_DIGITS_MAX
    found = np.zeros(len(edges) - 1, bool)
    found[row[near]] = True
    return found


def _look_at_separators(
    text: NDArray[np.uint8],
    edges: NDArray[np.integer],
    before: NDArray[np.int32],
    plain: NDArray[np.bool_],
) -> None:
    """Set `plain` to false where a slash may separate two numbers, or a single dot may begin a fraction."""
    at = np.flatnonzero((text == ord("/")) | (text == ord(".")))
    row = np.searchsorted(edges, at, side="right") - 1
    left, right = before[at] - before[edges[row]], before[edges[row + 1]] - before[at]
    slash = text[at] == ord("/")
    two = slash & (np.minimum(left, right) > several.EXTENSION_DIGITS_MAX)
    dots = np.bincount(row[~slash], minlength=len(plain))
    fraction = ~slash & (dots[row] == 1) & (left >= spelling.WHOLE_DIGITS_MIN) & (right > 0)
    fraction &= (right != 1) | (text[np.minimum(at + 1, len(text) - 1)] != ord("0"))
    plain[row[two | fraction]] = False


def _numbers(
    digits: NDArray[np.uint8], edges: NDArray[np.int32], wanted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Digits as numbers, by Arrow's conversion, which takes 20 ns for each."""
    texts = pa.Array.from_buffers(
        pa.string(),
        len(wanted),
        [pa.py_buffer(np.packbits(wanted, bitorder="little")), pa.py_buffer(edges), pa.py_buffer(digits)],
    )
    # A copy, since Arrow's buffers are read-only.
    return np.frombuffer(texts.cast(pa.int64()).buffers()[1], np.int64)[: len(wanted)].copy()


def _drop_fractions(
    text: NDArray[np.uint8],
    edges: NDArray[np.integer],
    before: NDArray[np.int32],
    plain: NDArray[np.bool_],
    plus: NDArray[np.bool_],
    value: NDArray[np.int64],
    count: NDArray[np.int32],
) -> None:
    """Remove `.0` after plain digits. Where it is not at the very end, leave the text to `one`."""
    rows = np.flatnonzero(plain)
    end = edges[rows + 1]
    trailing = np.flatnonzero(text[end - 1] - np.uint8(ord("0")) > 9)
    end[trailing] = np.searchsorted(before, before[end[trailing]], side="left")
    fraction = (text[end - 1] == ord("0")) & (text[end - 2] == ord("."))
    rows, end = rows[fraction], end[fraction]
    others = edges[rows + 1] - edges[rows] - count[rows]
    simple = (others == plus[rows] + 1) & (end == edges[rows + 1])
    plain[rows[~simple]] = False
    rows = rows[simple]
    value[rows] //= 10
    count[rows] -= 1
    plain[rows] = count[rows] >= DIGITS_MIN


def _begin_with_digit(
    text: NDArray[np.uint8], edges: NDArray[np.integer], plain: NDArray[np.bool_], plus: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether plain texts begin with a digit, after an optional apostrophe and some white space."""
    rows = np.flatnonzero(plain & ~plus)
    at = edges[rows].copy()
    late = np.flatnonzero(text[at] - np.uint8(ord("0")) > 9)
    for _ in range(SPACES_MAX):
        at[late] += _IS_AROUND[text[at[late]]]
    begins = plus.copy()
    begins[rows] = text[at] - np.uint8(ord("0")) <= 9
    return begins
