"""One JSON array, element by element, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from rollbook.errors import BadFile
from rollbook.files import ReadOptions
from rollbook.files.text import Text

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=[^ \t\r\n])")
_DECODER = json.JSONDecoder(parse_float=Decimal)
PIECE_BYTES = 256 << 10


class Element(NamedTuple):
    """An element of the array.

    Args:
        line: on which it begins.
        value: with `Decimal` for numbers that have a fraction or an exponent.
        text: as it stands in the file, if it is not an object.
    """

    line: int
    value: Any
    text: str


class Array:
    """An array in a text. It is one text: where one element is damaged, it is open where the next begins, so
    that damage makes the file unreadable.

    Args:
        head: the text's beginning, of which `[` is the first mark.
        text: the rest.
        options: `line_bytes_max` is for one element.
        line: on which the head begins.
    """

    def __init__(self, head: bytes, text: Text, options: ReadOptions, line: int = 1) -> None:
        self._rest = head.decode()
        self._text = text
        self._limit = options.line_bytes_max
        self._rows_max = options.batch_rows
        self._place = 0
        self._line = line
        self._at_end = False

    def parts(self, size: int) -> Iterator[list[Element]]:
        """The elements, so many at a time as have about `size` characters.

        Raises:
            BadFile: it is no JSON; names the line.
        """
        part: list[Element] = []
        done = 0
        self._mark()
        self._place += 1
        mark = self._mark()
        while mark != "]":
            done += self._at_hand(part)
            element, length = self._element()
            part.append(element)
            done += length
            if done >= size or len(part) >= self._rows_max:
                yield part
                part, done = [], 0
            mark = self._mark()
            if mark == ",":
                self._place += 1
                self._mark()
            elif mark != "]":
                raise self._broken("a comma or ] should follow an element")
        self._place += 1
        if self._mark():
            raise self._broken("there is more text behind the end of the array")
        if part:
            yield part

    def _at_hand(self, part: list[Element]) -> int:
        """Add the elements that another one follows in the text at hand; this is nearly all of them."""
        rest, begin, place, line = self._rest, self._place, self._place, self._line
        while len(part) < self._rows_max - 1:
            try:
                value, end = _DECODER.raw_decode(rest, place)
            except (ValueError, ArithmeticError, RecursionError):
                break
            match = _COMMA.match(rest, end)
            if match is None:
                break
            after = match.end()
            part.append(Element(line, value, "" if type(value) is dict else rest[place:end]))
            line += rest.count("\n", place, after)
            place = after
        self._place, self._line = place, line
        return place - begin

    def _mark(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            match = _SPACE.match(self._rest, self._place)
            assert match is not None
            self._line += self._rest.count("\n", self._place, match.end())
            self._place = match.end()
            if self._place < len(self._rest):
                return self._rest[self._place]
            if not self._read_on():
                return ""

    def _element(self) -> tuple[Element, int]:
        """The next element and the length of its text."""
        if not self._mark():
            raise self._broken("")
        while True:
            why = ""
            try:
                value, end = _DECODER.raw_decode(self._rest, self._place)
            except (ValueError, ArithmeticError) as error:
                why = str(error).split(":")[0].lower()
            except RecursionError:
                raise self._broken("it is nested too deeply") from None
            else:
                # What ends with the piece may go on behind it, as a number does.
                if end < len(self._rest) or self._at_end:
                    break
            if len(self._rest) - self._place > self._limit or not self._read_on():
                raise self._broken(why or "an element is too long")
        text = "" if isinstance(value, dict) else self._rest[self._place : end]
        element = Element(self._line, value, text)
        length = end - self._place
        self._line += self._rest.count("\n", self._place, end)
        self._place = end
        return element, length

    def _read_on(self) -> bool:
        if self._at_end:
            return False
        piece = self._text.read(PIECE_BYTES)
        self._at_end = not piece
        self._rest = self._rest[self._place :] + piece.decode()
        self._place = 0
        # The end is news too: what ended with the piece is now known to be whole.
        return True

    def _broken(self, why: str) -> BadFile:
        if self._at_end and self._place >= len(self._rest):
            return BadFile(
                f"The JSON array ends in the middle, on line {self._line}: the file is cut off. Get a "
                "complete copy of it."
            )
        return BadFile(
            f"The JSON array cannot be read on line {self._line}: {why}. Every element is an object."
        )
