"""Where the rows of a CSV begin and end: RFC 4180 on raw UTF-8 bytes, block by block.

Arrow reads the cells; this finds out which bytes it may be given (whole rows only), on which line of the file
each row begins, and which rows are not clear. It follows Arrow's own reading: a quotation mark opens a quoted
cell only as the cell's first character, in a quoted cell `""` is one mark, and elsewhere a mark is a
character like others.

Most blocks need no more than a look for line ends (no quotation marks), or one at the neighbours of every
mark (each where it belongs, so odd and even ones open and close). Others are taken apart row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LF, _CR, _QUOTE = 10, 13, 34


class WholeRows(NamedTuple):
    """The whole rows at the beginning of some text.

    Args:
        end: how many bytes they take.
        quotes: places of the marks that open and close, in turn, also beyond `end`.
        starts: of the good rows, where they had to be found one by one; else `None`, and all are good.
        ends: of the good rows, behind their line ends.
        bad: first and last byte of rows in which text follows a closing mark.
        blank: lines among them that have nothing, where the rows had to be found one by one.
        open_quote: where a mark opens a cell that does not end in this text.
    """

    end: int
    quotes: NDArray[np.int64]
    starts: NDArray[np.int64] | None = None
    ends: NDArray[np.int64] | None = None
    bad: tuple[tuple[int, int], ...] = ()
    blank: int = 0
    open_quote: int | None = None


_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


class Lexer:
    """Finds rows.

    Args:
        delimiter: one ASCII character.
    """

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter
        mark = re.escape(delimiter.encode())
        quoted = rb'"[^"]*+(?:""[^"]*+)*+"'
        plain = rb'(?!")[^%b\r\n]*+' % mark
        clear = rb"(?:%b[ ]*+|%b)" % (quoted, plain)
        any_ = rb"(?:%b[^%b\r\n]*+|%b)" % (quoted, mark, plain)
        end = rb"(?:\r\n|\n|\r(?!\Z)|%b)"
        row = rb"%b(?:%b%b)*+" + end
        at_end, within = rb"\r?\Z", rb"(?!)"
        self._clear = {last: re.compile(row % (clear, mark, clear, e)) for last, e in _both(within, at_end)}
        self._any = {last: re.compile(row % (any_, mark, any_, e)) for last, e in _both(within, at_end)}
        spaces = rb"(?!)" if delimiter == " " else rb"[ ]" if delimiter == "\t" else rb"[ \t]"
        behind = rb"[ ]*+[%b\r\n]" % mark
        odd = rb"%b[^%b\r\n]*+" % (quoted, mark)
        between = rb"(?:%b|\r\n|\n|\r)" % mark
        spaced = rb"%b++%b(?=%b|[ ]*+\Z)" % (spaces, quoted, behind)
        self._to_spaced = re.compile(
            rb"((?:(?!%b)(?:%b|%b)%b)*+)(?=%b)%b++" % (spaced, odd, plain, between, spaced, spaces)
        )
        opened = rb'%b++"[^"]*+(?:""[^"]*+)*+(?:"[ ]*)?+\Z' % spaces
        one = rb"(?>%b++%b(?=%b)[ ]*+|%b|(?!%b)%b)" % (spaces, quoted, behind, odd, opened, plain)
        self._spaced_row = re.compile(rb"(?:%b%b)*+%b(?:\r\n|\n|\r(?!\Z))" % (one, mark, one))
        self._spaced_open = re.compile(rb"(?:%b%b)*+%b" % (one, mark, opened))
        self._cells = re.compile(rb"(%b)(?:%b|\Z)" % (any_, mark))
        before = np.zeros(256, bool)
        before[[ord(delimiter), _LF, _CR]] = True
        self._boundary = before
        self._beside_quote = before.copy()
        self._beside_quote[_QUOTE] = True

    def whole_rows(self, text: bytes, *, last: bool) -> WholeRows:
        """The whole rows in a text that begins with a row.

        Args:
            last: the file ends here, with or without a line end.
        """
        if b'"' not in text:
            return WholeRows(len(text) if last else _last_line_end(text), _NONE)
        codes = np.frombuffer(text, np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        before = codes[quotes - 1]
        if quotes[0] == 0:
            before[0] = _LF
        if not self._boundary[before].any():
            # Marks inside of words only, as in names of companies: none opens a cell.
            return WholeRows(len(text) if last else _last_line_end(text), _NONE)
        closing = quotes[1::2] + 1
        if len(closing) and closing[-1] == len(text):
            closing = closing[:-1]
        if self._beside_quote[before[::2]].all() and self._beside_quote[codes[closing]].all():
            return self._regular(text, quotes, last=last)
        return self._one_by_one(text, last=last)

    def tidied(self, text: bytes) -> bytes:
        """The text without the space between a delimiter and a quotation mark: `phone, "Ash, Ann"` has two
        cells, as people mean it."""
        if b' "' not in text and b'\t"' not in text:
            return text
        parts = []
        place = 0
        # From cell to cell: in a quoted cell a delimiter and a space are characters like others.
        while (match := self._to_spaced.match(text, place)) is not None:
            parts.append(match[1])
            place = match.end()
        return b"".join([*parts, text[place:]]) if parts else text

    def held(self, text: bytes) -> int:
        """Where the row begins at the end of a text in which a mark behind a space opens a cell that may not
        end there; the length of the text for none."""
        if b' "' not in text and b'\t"' not in text:
            return len(text)
        place = 0
        while (row := self._spaced_row.match(text, place)) is not None:
            place = row.end()
        return place if self._spaced_open.match(text, place) is not None else len(text)

    def cells(self, row: bytes) -> list[str]:
        """The cells of one row.

        Args:
            row: without its line end.
        """
        cells: list[str] = []
        place = 0
        while (match := self._cells.match(row, place)) is not None:
            cell = match[1]
            if cell.startswith(b'"'):
                close = cell.rfind(b'"')
                cell = cell[1:close].replace(b'""', b'"') + cell[close + 1 :]
            cells.append(cell.decode(errors="replace"))
            if match.end() == match.end(1):
                break
            place = match.end()
        return cells

    def each(self, text: bytes, *, last: bool) -> Iterator[tuple[bytes, int, int, bool]]:
        """The rows of a text that begins with a row, one by one.

        Yields:
            Each row that is not blank, without its line end; where it begins; where the next one does;
            whether it is clear.
        """
        place = 0
        while place < len(text):
            match = self._clear[last].match(text, place)
            is_clear = match is not None
            match = match or self._any[last].match(text, place)
            if match is None:
                return
            row = match[0].rstrip(b"\r\n")
            begin, place = place, match.end()
            if row:
                yield row, begin, place, is_clear

    def _regular(self, text: bytes, quotes: NDArray[np.int64], *, last: bool) -> WholeRows:
        """Every mark is where it belongs: those in even places open, those in odd ones close."""
        opened = None
        if len(quotes) % 2:
            place = len(quotes) - 1
            while place and quotes[place - 1] == quotes[place] - 1:
                place -= 2  # Two in a row are one mark of the cell.
            opened = int(quotes[place])
        if last and opened is None:
            return WholeRows(len(text), quotes)
        limit = len(text) if opened is None else opened
        while True:
            end = _last_line_end(text, limit)
            place = int(np.searchsorted(quotes, end))
            if end == 0 or place % 2 == 0:
                return WholeRows(end, quotes, open_quote=opened)
            limit = int(quotes[place - 1])

    def _one_by_one(self, text: bytes, *, last: bool) -> WholeRows:
        clear, any_ = self._clear[last].match, self._any[last].match
        starts: list[int] = []
        ends: list[int] = []
        bad: list[tuple[int, int]] = []
        place, size, blank = 0, len(text), 0
        while place < size:
            match = clear(text, place)
            if match is not None:
                # A blank line is no row.
                if text[place] in b"\r\n":
                    blank += 1
                else:
                    starts.append(place)
                    ends.append(match.end())
            elif (match := any_(text, place)) is not None:
                bad.append((place, match.end()))
            else:
                break
            place = match.end()
        opened = self._open_quote(text, place) if place < size else None
        return WholeRows(
            place,
            _NONE,
            np.array(starts, np.int64),
            np.array(ends, np.int64),
            tuple(bad),
            blank,
            open_quote=opened,
        )

    def _open_quote(self, text: bytes, place: int) -> int | None:
        """Where in the row that begins at `place` a cell is opened and does not end."""
        while (match := self._cells.match(text, place)) is not None and match.end() > match.end(1):
            place = match.end()
        return place if text[place : place + 1] == b'"' and match is None else None


class Lines:
    """The lines of a block of whole rows.

    Args:
        text: the block.
        quotes: places of the marks that open and close.
    """

    def __init__(self, text: bytes, end: int, quotes: NDArray[np.int64]) -> None:
        self._codes = np.frombuffer(text, np.uint8, end)
        self._quotes = quotes
        self.has_cr = text.find(b"\r", 0, end) >= 0
        self.count = int(np.count_nonzero(self._codes == _LF))
        if self.has_cr:
            self.count += int(np.count_nonzero(self._lone_cr()))
        if end and self._codes[-1] not in (_LF, _CR):
            self.count += 1

    def starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Where each row begins that is not blank, the number of its line in the block, from 0, and how many
        lines are blank."""
        ends = self.ends()
        rows = ends
        if len(self._quotes):
            rows = ends[np.searchsorted(self._quotes, ends, "right") % 2 == 0]
        starts = np.concatenate([np.zeros(1, np.int64), rows[:-1] + 1])
        first = self._codes[starts]
        filled = (first != _LF) & (first != _CR)
        blank = len(starts) - int(np.count_nonzero(filled))
        starts = starts[filled]
        return starts, np.searchsorted(ends, starts), blank

    def of(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the line in the block, from 0, that is at each place."""
        return np.searchsorted(self.ends(), starts)

    def ends(self) -> NDArray[np.int64]:
        """The last byte of every line."""
        is_end = self._codes == _LF
        if self.has_cr:
            is_end |= self._lone_cr()
        ends = np.flatnonzero(is_end)
        if len(self._codes) and not is_end[-1]:
            ends = np.append(ends, len(self._codes) - 1)
        return ends

    def _lone_cr(self) -> NDArray[np.bool_]:
        """A CR without an LF ends a line too."""
        lone: NDArray[np.bool_] = self._codes == _CR
        lone[:-1] &= self._codes[1:] != _LF
        return lone


def longer_than(text: bytes, end: int, limit: int) -> int | None:
    """Where a line begins that is longer than a limit; `None` when there is none.

    Such a line fills at least one of the pieces of half the limit, so that most of the text is not looked at.
    """
    step = max(1, limit // 2)
    for begin in range(0, end - step + 1, step):
        if text.find(b"\n", begin, begin + step) < 0:
            start = text.rfind(b"\n", 0, begin) + 1
            stop = text.find(b"\n", begin + step, end)
            stop = end if stop < 0 else stop
            if stop - start > limit and b"\r" not in text[start : min(stop, start + limit)]:
                return start
    return None


def _last_line_end(text: bytes, limit: int | None = None) -> int:
    """Where the last whole line before a place ends; 0 when none does."""
    end = text.rfind(b"\n", 0, limit) + 1
    if end:
        return end
    # Old files of the Mac end lines with CR alone. One at the very end may be half of a CRLF.
    stop = len(text) if limit is None else limit
    return text.rfind(b"\r", 0, min(stop, len(text) - 1)) + 1


def _both(within: bytes, at_end: bytes) -> tuple[tuple[bool, bytes], tuple[bool, bytes]]:
    return (False, within), (True, at_end)
