"""Text of any encoding as a stream of UTF-8, checked, and handed on untouched where it is UTF-8 already."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pyarrow as pa
from charset_normalizer import from_bytes

from rollbook.errors import BadFile
from rollbook.files import ReadOptions
from rollbook.files.options import encoding
from rollbook.files.source import Source
from rollbook.options import mention

SAMPLE_BYTES = 256 << 10
"""Bytes from which the encoding is guessed."""

_WAITING_BYTES_MAX = 256 << 10
"""Most bytes that may wait to become a character."""

DETECTION_BYTES = 32 << 10
"""Bytes that charset-normalizer gets: more only take longer (these take 3 ms)."""

_LEGACY = ("cp1251", "cp1252")
_BOMS = (
    # UTF-32 LE begins with the mark of UTF-16 LE.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")) + b"\x7f"
_CONTROLS_SHARE_MAX = 0.005
_NOT_TEXT = (
    "The file is not text: it holds {what}. Name a file of a kind that can be read: CSV, XLSX, Parquet, JSON "
    "lines or vCard."
)


class Text:
    """A source as UTF-8.

    Args:
        source: at its beginning.
        options: `encoding`, if it is known.

    Raises:
        BadFile: it is not text, or its encoding cannot be detected.

    Attributes:
        encoding: Python's name of it. While everything is ASCII it is `utf-8`; the first other character may
            still show that it is another one.
    """

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        head = source.read(SAMPLE_BYTES)
        self._head = head
        self._read_bytes = 0
        self._carry = b""
        self._started = False
        self._at_end = False
        self._decoder: codecs.IncrementalDecoder | None = None
        if options.encoding is not None:
            self.encoding = _known(options.encoding)
            self._settled = True
        else:
            self.encoding, self._settled = detect(head)
        self._begin()

    @property
    def bytes_done(self) -> int:
        """How far into the file on the disk it is read."""
        return self._source.bytes_done

    def read(self, size_bytes: int) -> bytes:
        """The next piece of text in UTF-8, whole characters only; `b""` at the end.

        Args:
            size_bytes: of the file's own encoding, about.

        Raises:
            BadFile: the bytes are not text in this encoding; names the byte and its line.
        """
        while not self._at_end:
            piece = self._head or self._source.read(size_bytes)
            self._head = b""
            self._at_end = not piece
            text = self._checked(piece) if self._decoder is None else self._decoded(piece)
            self._read_bytes += len(piece)
            if text:
                if not self._started:
                    text = text.removeprefix(codecs.BOM_UTF8)
                    self._started = True
                if text:
                    return text
        return b""

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _begin(self) -> None:
        if self.encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(self.encoding)("strict")

    def _checked(self, piece: bytes) -> bytes:
        """UTF-8, as it is."""
        data = self._carry + piece if self._carry else piece
        if not self._settled and not data.isascii():
            return self._settle(data)
        end = len(data) - (0 if self._at_end else _incomplete(data))
        self._carry = data[end:]
        text = data[:end] if self._carry else data
        if not is_utf8(text):
            raise self._undecodable(_first_bad(text), self._read_bytes - (len(data) - len(piece)))
        return text

    def _settle(self, data: bytes) -> bytes:
        """The first characters beyond ASCII: they tell the encoding."""
        self._settled = True
        self._carry = b""
        first = next(place for place in range(0, len(data), 4096) if not data[place : place + 4096].isascii())
        begin = data.rfind(b"\n", 0, first) + 1
        self.encoding, _ = detect(data[begin : begin + SAMPLE_BYTES], at_start=False)
        self._begin()
        return self._checked(data) if self._decoder is None else self._decoded(data)

    def _decoded(self, piece: bytes) -> bytes:
        assert self._decoder is not None
        waiting = len(self._decoder.getstate()[0])
        if (
            waiting > _WAITING_BYTES_MAX
        ):  # as UTF-7 can, which is then decoded from there anew with each piece
            raise self._undecodable(0, self._read_bytes - waiting)
        try:
            return self._decoder.decode(piece, final=self._at_end).encode()
        except UnicodeDecodeError as error:
            raise self._undecodable(error.start, self._read_bytes - waiting) from None
        except UnicodeEncodeError:
            raise BadFile(
                f"The file is not valid {self.encoding}: it has half of a surrogate pair."
            ) from None

    def _undecodable(self, place: int, before: int) -> BadFile:
        """The sentence about bytes that are not text.

        Args:
            place: of the first such byte.
            before: bytes that came before those in which it has this place.
        """
        offset = before + place
        line = _line_at(self._source.path, self._options, offset, self.encoding)
        said = "" if self._options.encoding is None else ", as which it was declared"
        other = "windows-1251" if self.encoding == "utf-8" else "utf-8"
        return BadFile(
            f"The file is not {self.encoding}{said}: byte {offset} (counted from 0), on line {line}, cannot "
            f"be read. Name the encoding that it is in, for example {mention('encoding', other)}."
        )


def detect(head: bytes, *, at_start: bool = True) -> tuple[str, bool]:
    """The encoding of a text.

    A byte order mark says it; UTF-16 without one shows by zero bytes in every second place; what is valid
    UTF-8 is UTF-8, for texts of other encodings practically never are; then charset-normalizer decides
    between Windows-1251 and 1252 by which of them makes words.

    Args:
        head: from its beginning, or from the first line that is not ASCII.
        at_start: it is the beginning.

    Returns:
        Python's name, and whether it is certain: plain ASCII is not.

    Raises:
        BadFile: it is not text, or its encoding cannot be detected.
    """
    if at_start:
        for mark, name in _BOMS:
            if head.startswith(mark):
                return name, True
        if b"\0" in head:
            wide = _utf16(head)
            if wide is None:
                raise BadFile(_NOT_TEXT.format(what="bytes that are zero, as only binary files do"))
            return wide, True
    if sum(map(head.count, _controls())) > len(head) * _CONTROLS_SHARE_MAX:
        raise BadFile(_NOT_TEXT.format(what="control characters, as only binary files do"))
    if head.isascii():
        return "utf-8", False
    if _is_mostly_utf8(head[: len(head) - _incomplete(head)]):
        return "utf-8", True
    sample = _not_ascii_lines(head)
    best = from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    if best is None:
        raise BadFile(
            "The encoding of the file cannot be detected: it is neither UTF-8 nor UTF-16 nor "
            "Windows-1251 nor "
            f"1252. Name it, for example {mention('encoding', 'koi8-r')}, or save the file as UTF-8."
        )
    return str(best.encoding), True


def is_utf8(text: bytes) -> bool:
    """Whether bytes are valid UTF-8, by Arrow's check, which is several times as fast as decoding."""
    if text.isascii():
        return True
    offsets = pa.py_buffer(np.array([0, len(text)], np.int64))
    one = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(text)])
    try:
        one.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_mostly_utf8(text: bytes) -> bool:
    """Whether bytes are UTF-8, be it with a few bad ones: these are then an error, not another encoding. In
    other encodings what looks like a character of UTF-8 is an accident."""
    if is_utf8(text):
        return True
    decoded = text.decode(errors="replace")
    bad = decoded.count("\ufffd")
    good = len(decoded) - len(decoded.encode("ascii", "ignore")) - bad
    return good > 4 * bad


def line_ends(text: bytes) -> int:
    """How many line ends there are: LF, CRLF or CR."""
    if b"\r" not in text:
        return text.count(b"\n")
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _controls() -> list[bytes]:
    return [bytes([code]) for code in _CONTROLS]


def _known(name: str) -> str:
    try:
        return encoding(name)
    except ValueError as error:
        raise BadFile(str(error)) from None


def _utf16(head: bytes) -> str | None:
    """Which UTF-16 a text without a mark is in: digits and line ends have a zero as their high byte."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < 20 * min(even, odd) or max(even, odd) * 20 < len(head):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = codecs.getincrementaldecoder(name)("strict").decode(head)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else name


def _incomplete(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character in UTF-8."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if size > back else 0
        if byte < 0x80:
            return 0
    return 0


def _first_bad(text: bytes) -> int:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("these bytes were said to be no UTF-8")


def _not_ascii_lines(head: bytes) -> bytes:
    """The lines that tell something about an encoding, `DETECTION_BYTES` of them."""
    lines: list[bytes] = []
    size = 0
    for line in head.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > DETECTION_BYTES:
                break
    return b"".join(lines)[:DETECTION_BYTES]


def _line_at(path: Path, options: ReadOptions, offset: int, encoding: str) -> int:
    """The line on which a byte is; reads the file once more up to there."""
    line, before = 1, 0
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    held = ""
    with Source(path, options) as source:
        for piece in source.pieces():
            text = held + decoder.decode(piece[: max(0, offset - before)])
            # A CR at the end may be the first half of a CRLF.
            held = "\r" if text.endswith("\r") else ""
            line += line_ends(text[: len(text) - len(held)].encode(errors="replace"))
            before += len(piece)
            if before >= offset:
                break
    return line + len(held)
