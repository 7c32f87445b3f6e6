"""Reading vCards (RFC 6350 for 4.0, RFC 2426 for 3.0, versit 2.1): one row for each phone of each card."""

from __future__ import annotations

import quopri
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rollbook.errors import BadFile
from rollbook.files import SAMPLE_ROWS, BadRow, ReadOptions, RowBatch, Table, cut
from rollbook.files.options import encoding
from rollbook.files.source import Source
from rollbook.files.text import Text

COLUMNS = ("phone", "phone type", "name", "first name", "last name", "email", "organization")

ROWS = 20_000
BATCH_BYTES = 8 << 20
"""In a batch, at most: each phone of a card is a row with all that the card has besides."""

CARD_PROPERTIES_MAX = 100_000
"""Most useful properties of one card."""

_USED = frozenset(("BEGIN", "END", "TEL", "FN", "N", "EMAIL", "ORG", "X-ABLABEL"))
_ONE_LINE = frozenset(("VERSION", "PRODID", "REV", "UID"))
"""Behind these nothing is expected but a property."""

_NO_PHONES = ("fax", "pager", "beeper", "modem", "bbs", "tlx", "telex", "факс", "пейджер")
"""Parts of the types, and of labels that people gave, of what no message can be sent to."""

_NO_TYPES = frozenset(("PREF", "VOICE", "MSG", "INTERNET"))
_LINE_END = re.compile(rb"\r\n|\n|\r")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TOKEN = re.compile(r'\\.|"[^"]*+"|.', re.DOTALL)
_PIECE_BYTES = 1 << 20
_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which stands within files that were put one behind the other."""

_HEAD_BYTES = 1 << 10


class _Property(NamedTuple):
    """One property.

    Args:
        line: on which it begins.
        name: in capitals, without a group.
        group: that it has in common with its label, in capitals.
        parameters: by name in capitals; those without one are types, as 2.1 writes them.
        value: still escaped.
    """

    line: int
    name: str
    group: str
    parameters: dict[str, list[str]]
    value: str


class VcardTable(Table):
    """A file of vCards that is open for reading. A card without a phone is a row without one; numbers for
    fax, pager and the like are left out, and counted.

    Raises:
        BadFile: it holds no card.
    """

    format = "vcard"

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._options = options
        self._text = Text(source, options)
        self.size_bytes = source.size_bytes
        self.compression = source.compression
        self.header = False
        self.columns = list(COLUMNS)
        self._left_out: Counter[str] = Counter()
        self.left_out = self._left_out
        self._rows = self._read()
        self._top = [row for _, row in zip(range(SAMPLE_ROWS), self._rows, strict=False)]
        if not any(isinstance(row, _CardRow) or row.reason == "no_end" for row in self._top):
            raise BadFile("There is no card in the file: a card stands between BEGIN:VCARD and END:VCARD.")
        self.sample = [list(row.cells) for row in self._top if isinstance(row, _CardRow)]

    @property
    def encoding(self) -> str | None:
        """Python's name of the encoding, as far as it is known."""
        return self._text.encoding

    def _batches(self) -> Iterator[RowBatch]:
        """See `Table._batches`."""
        good: list[_CardRow] = []
        bad: list[BadRow] = []

        def batch() -> RowBatch:
            cells = zip(*(row.cells for row in good), strict=True) if good else ((),) * len(COLUMNS)
            columns = [pa.array(column, pa.string()) for column in cells]
            lines = np.array([row.line for row in good], np.int64)
            return RowBatch(
                pa.record_batch(columns, names=self.columns), lines, list(bad), self._text.bytes_done
            )

        size = 0
        for rows in (self._top, self._rows):
            for row in rows:
                if isinstance(row, BadRow):
                    bad.append(row)
                else:
                    good.append(row)
                size += _size(row)
                if len(good) + len(bad) >= min(ROWS, self._options.batch_rows) or size >= BATCH_BYTES:
                    yield batch()
                    size = 0
                    good.clear()
                    bad.clear()
        if good or bad:
            yield batch()

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _read(self) -> Iterator[_CardRow | BadRow]:
        card: list[_Property] | None = None
        stray: BadRow | None = None
        for line, text in _unfolded(self._text, self._options.line_bytes_max):
            property_ = _property(line, text)
            if property_ is None:
                last = card[-1] if card else None
                if card and last is not None and last.name == "TEL":
                    # The rest of a number, or not: reading it decides.
                    card[-1] = last._replace(value=f"{last.value} {text.strip()}")
                elif card is None or stray is None:  # a card is named once
                    stray = BadRow(line, cut(text), "not_a_property")
                    yield stray
            elif property_.name == "BEGIN":
                if card is not None:
                    yield self._without_end(card)
                card, stray = [property_], None
            elif card is None:
                yield BadRow(line, cut(text), "outside_of_card")
            elif property_.name == "END":
                yield from self._rows_of(card)
                card, stray = _begun_behind(property_), None
            else:
                card.append(property_)
                if len(card) > CARD_PROPERTIES_MAX:
                    raise BadFile(
                        f"The card on line {card[0].line} has more than {CARD_PROPERTIES_MAX:,} properties: "
                        "its END:VCARD is missing, or this is not a vCard."
                    )
        if card is not None:
            yield self._without_end(card)

    def _rows_of(self, card: list[_Property]) -> list[_CardRow]:
        """The rows of a card; what is left out of it is counted."""
        labels = {one.group: _unescaped(_text(one)) for one in card if one.name == "X-ABLABEL"}
        kept = []
        for one in card:
            kind = _no_phone(one, labels) if one.name == "TEL" else None
            if kind is None:
                kept.append(one)
            else:
                self._left_out[kind] += 1
        return list(_rows(kept))

    def _without_end(self, card: list[_Property]) -> BadRow:
        """A card that has no end, with its phones."""
        rows = self._rows_of(card)
        phones = [row.cells[0] for row in rows if row.cells[0]]
        text = "\n".join(["BEGIN:VCARD", *(f"TEL:{phone}" for phone in phones)])
        return BadRow(card[0].line, cut(text), "no_end", ("; ".join(phones), *rows[0].cells[1:]))


def _begun_behind(end: _Property) -> list[_Property] | None:
    """The card that begins on the line on which another one ends, as in files that were put one behind the
    other and have no last line end."""
    if not end.value.strip().upper().endswith("BEGIN:VCARD"):
        return None
    return [end._replace(name="BEGIN", value="VCARD")]


class _CardRow(NamedTuple):
    line: int
    cells: tuple[str | None, ...]


def _rows(card: list[_Property]) -> Iterator[_CardRow]:
    """The rows of a card: one for each phone, one without if there is none."""
    first = {property_.name: property_ for property_ in reversed(card)}
    name = [_unescaped(part) for part in _split(_text(first.get("N")), ";")]
    last_name, first_name = (*name, "", "")[:2]
    full = _unescaped(_text(first.get("FN"))) or " ".join(filter(None, (first_name, last_name)))
    organization = ", ".join(part for part in map(_unescaped, _split(_text(first.get("ORG")), ";")) if part)
    rest = (full, first_name, last_name, _unescaped(_text(first.get("EMAIL"))), organization)
    about = tuple(cell or None for cell in rest)
    phones = [property_ for property_ in card if property_.name == "TEL"]
    for phone in phones:
        number = _unescaped(_text(phone))
        if number[:4].lower() == "tel:":
            number = number[4:]
        types = [kind for kind in _types(phone) if kind.upper() not in _NO_TYPES]
        yield _CardRow(phone.line, (number or None, ",".join(types) or None, *about))
    if not phones:
        yield _CardRow(card[0].line, (None, None, *about))


def _no_phone(phone: _Property, labels: Mapping[str, str]) -> str | None:
    """What a number is for, if no message can be sent to it: one of `_NO_PHONES`."""
    words = _types(phone)
    if phone.group:
        words.append(labels.get(phone.group, "").lower())
    return next((kind for kind in _NO_PHONES for word in words if kind in word), None)


def _size(row: _CardRow | BadRow) -> int:
    """Characters of a row."""
    return len(row.text) if isinstance(row, BadRow) else sum(len(cell or "") for cell in row.cells)


def _types(phone: _Property) -> list[str]:
    return [kind.lower() for value in phone.parameters.get("TYPE", []) for kind in value.split(",") if kind]


def _unfolded(text: Text, limit: int) -> Iterator[tuple[int, str]]:
    """The logical lines that are of use, and the line on which each begins.

    A line that begins with white space continues the one before it; so does, in quoted-printable, one after a
    `=` at the end. Properties that are not used, such as photos, are passed over and not put together; so are
    lines behind them that are not properties: old programs do not fold the text of a photo.
    """
    begin, size = 0, 0
    parts: list[bytes] = []
    used = printable = soft = passing = False
    for number, line in _physical(text, limit):
        folded = line[:1] in (b" ", b"\t")
        if parts and (soft or folded):
            # RFC 2426 folds anywhere, and only the first character goes.
            more = line[1:] if folded and not soft else line
            if soft:
                parts[-1] = parts[-1][:-1]
            if used:
                parts.append(more)
                size += len(more)
                if size > limit:
                    raise BadFile(f"The property on line {begin} is longer than {limit:,} bytes.")
            else:
                parts[-1] = more[-1:]
            soft = printable and line.endswith(b"=")
            continue
        if passing and b":" not in line:
            continue
        if parts and used:
            yield begin, b"".join(parts).decode()
        begin, parts, size = number, [line], len(line)
        name = line.split(b":", 1)[0].upper()
        used = _plain_name(name) in _USED or b":" not in line
        printable = b"QUOTED-PRINTABLE" in name
        soft = printable and line.endswith(b"=")
        passing = not used and _plain_name(name) not in _ONE_LINE
        if not line.strip():
            parts, used, soft, passing = [], False, False, False
    if parts and used:
        yield begin, b"".join(parts).decode()


def _physical(text: Text, limit: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a text, without their ends, and their numbers."""
    rest, number = b"", 1
    while piece := text.read(_PIECE_BYTES):
        rest += piece
        # A CR at the end may be half of a CRLF.
        lines = _LINE_END.split(rest[:-1] if rest.endswith(b"\r") else rest)
        rest = lines.pop() + (b"\r" if rest.endswith(b"\r") else b"")
        if len(rest) > limit and not _is_used(rest):
            rest = rest[:_HEAD_BYTES]  # of a photo that is not folded
        if len(rest) > limit:
            raise BadFile(f"Line {number + len(lines)} is longer than {limit:,} bytes. This is not a vCard.")
        for line in lines:
            yield number, line
            number += 1
    if rest.strip():
        yield number, rest.rstrip(b"\r")


def _is_used(line: bytes) -> bool:
    """Whether a line of any length may be of use."""
    name, colon, _ = line[:_HEAD_BYTES].partition(b":")
    return not colon or _plain_name(name) in _USED


def _plain_name(name: bytes) -> str:
    return (
        name.removeprefix(_MARK)
        .upper()
        .split(b";", 1)[0]
        .rsplit(b".", 1)[-1]
        .strip()
        .decode("ascii", "replace")
    )


def _property(line: int, text: str) -> _Property | None:
    """Take a logical line apart; `None` when it is not a property."""
    head, colon, value = _parted(text.removeprefix(_MARK.decode()))
    if not colon:
        return None
    name, *rest = _split(head, ";")
    parameters: dict[str, list[str]] = {}
    for parameter in rest:
        key, equals, said = parameter.partition("=")
        if not equals:
            key, said = _key_of(parameter), parameter
        parameters.setdefault(key.strip().upper(), []).append(said.strip().strip('"'))
    group, _, plain = name.rpartition(".")
    return _Property(line, plain.strip().upper(), group.strip().upper(), parameters, value)


def _key_of(parameter: str) -> str:
    """What a parameter without a name means in 2.1."""
    return (
        "ENCODING" if parameter.strip().upper() in ("QUOTED-PRINTABLE", "BASE64", "8BIT", "7BIT") else "TYPE"
    )


def _parted(text: str) -> tuple[str, str, str]:
    """Split at the first colon that is not within quotation marks, as parameters may have them."""
    if '"' not in text:
        return text.partition(":")
    quoted = False
    for place, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == ":" and not quoted:
            return text[:place], ":", text[place + 1 :]
    return text.partition(":")


def _text(property_: _Property | None) -> str:
    """The value, decoded; "" for none."""
    if property_ is None:
        return ""
    if not any(said.upper() == "QUOTED-PRINTABLE" for said in property_.parameters.get("ENCODING", [])):
        return property_.value
    raw = quopri.decodestring(property_.value.encode())
    charset = property_.parameters.get("CHARSET", ["utf-8"])[0]
    try:
        return raw.decode(encoding(charset))
    except ValueError:
        return raw.decode("utf-8", "replace")


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that no backslash stands before and that is not within quotation marks."""
    if "\\" not in text and '"' not in text:
        return text.split(mark)
    parts: list[str] = []
    begin = 0
    for token in _TOKEN.finditer(text):
        if token[0] == mark:
            parts.append(text[begin : token.start()])
            begin = token.end()
    parts.append(text[begin:])
    return parts


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text.strip()
    return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], text).strip()
