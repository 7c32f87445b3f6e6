"""How much memory an XLSX will take, found out before it is read.

The reader holds the whole sheet as a dense rectangle, and every text as often as it is used. A file of 6 KB
with one stray cell in the last column and row is 17 billion cells then, and the allocation that fails ends
the process. So the parts are unpacked once beforehand, to nowhere: 0.3 s for 300,000 rows of three columns,
which take 0.7 s to read.
"""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rollbook.errors import BadFile
from rollbook.files import ReadOptions
from rollbook.files.source import EXPANSION_FREE_BYTES, about

EXPANDED_BYTES_MAX = 1 << 30
"""Most bytes of XML in a spreadsheet. A full sheet (1,048,576 rows) of ten columns has about half of it."""

CELLS_MAX = 32 << 20
"""In the rectangle from the first to the last cell: 35 bytes each (measured), so 1.1 GB. A full sheet of 30
columns fits."""

TEXT_BYTES_MAX = 1 << 30
"""Most bytes of texts that are kept once in the file and used in many cells, counted in every cell."""

_PIECE_BYTES = 1 << 20

_TAG_BYTES_MAX = 128
"""Most bytes of a tag that is looked at."""

_END_BYTES_MAX = (1 << 16) + 128
"""Where the end of a zip archive is: a comment of 64 KB may follow it."""

DIRECTORY_BYTES_MAX = 4 << 20
"""Most bytes of a zip archive's list of its parts: 40,000 of them, which take 30 MB of memory."""

_NEAR_ROWS, _NEAR_COLUMNS = 299_999, 26
_FAR = re.compile(rb"""r=["'](?:([A-Z]{2,3})([1-9]\d{0,6})|([A-Z])([3-9]\d{5}|\d{7}))["']""")
_ANY = re.compile(rb"""r=["']([A-Z]{1,3})([1-9]\d{0,6})["']""")
_SHARED_TYPE = re.compile(rb"""t=["']s["']""")
_VALUE_TAG = re.compile(rb"<(?:\w{1,64}:)?v")
_INDEX = re.compile(rb"\s{0,64}(\d{1,10})")
_DAMAGES = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    LookupError,
    RuntimeError,
    ValueError,
)
"""The errors that `zipfile` raises for a damaged archive."""

_TEXT_END = re.compile(rb"</(?:\w{1,64}:)?si>")
_READ = (".xml", ".bin", ".rels")


def check(path: Path, size_bytes: int, options: ReadOptions) -> None:
    """Refuse an XLSX that is damaged or would take too much memory.

    Args:
        path: of a zip archive.
        size_bytes: of it.
        options: the limits of decompression.

    Raises:
        BadFile: says which.
    """
    with opened(path) as archive:
        if any(entry.flag_bits & 1 for entry in archive.infolist()):
            raise BadFile("The spreadsheet is protected by a password. Save it without one.")
        _check_directory(archive, size_bytes, options)
        _check_parts(archive, options.alive)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive.

    Raises:
        BadFile: it is damaged, also where that shows only while it is read.
    """
    try:
        with about(path), path.open("rb") as file:
            if _directory_bytes(file) > DIRECTORY_BYTES_MAX:
                raise BadFile("The zip archive has too many parts for a spreadsheet. Save it as CSV.")
            with zipfile.ZipFile(file) as archive:
                yield archive
    except _DAMAGES:
        raise BadFile(
            "The file begins as a spreadsheet (or another zip archive) but is cut off or damaged. Get a "
            "complete copy of it."
        ) from None


def _directory_bytes(file: BinaryIO) -> int:
    """What a zip archive says at its end of the size of its list of parts; 0 where nothing is said."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _END_BYTES_MAX))
    end = file.read()
    place, wide = end.rfind(b"PK\5\6"), end.rfind(b"PK\6\6")
    sizes = [0]
    if 0 <= place <= len(end) - 16:
        sizes += struct.unpack_from("<L", end, place + 12)
    if sizes[-1] == 0xFFFFFFFF and 0 <= wide <= len(end) - 48:
        sizes = list(struct.unpack_from("<Q", end, wide + 40))
    return sizes[-1]


def _check_directory(archive: zipfile.ZipFile, size_bytes: int, options: ReadOptions) -> None:
    expanded = sum(entry.file_size for entry in archive.infolist())
    limit = min(EXPANDED_BYTES_MAX, options.expanded_bytes_max)
    if expanded > limit or expanded > max(EXPANSION_FREE_BYTES, options.expansion_max * size_bytes):
        raise BadFile(
            f"The spreadsheet has {expanded:,} bytes of data when unpacked, from {size_bytes:,} on the "
            f"disk; up to {limit:,} and {options.expansion_max} times its size are read. It is taken for a "
            "decompression bomb. If it is good, save it as CSV."
        )


class _Size(NamedTuple):
    """The findings in one part of a workbook.

    Args:
        rows, columns: the last ones that are far from the first, else those that are near.
        uses: of shared texts.
        longest: shared text, in bytes with its tags.
    """

    rows: int
    columns: int
    uses: int
    longest: int


def _check_parts(archive: zipfile.ZipFile, alive: Callable[[], None]) -> None:
    """Unpack what will be read: it ends where its size or its checksum is not the one that was said."""
    uses = longest = 0
    for name in _parts(archive):
        alive()
        size = _measured(archive, name)
        rows, columns = size.rows, size.columns
        if rows * columns > CELLS_MAX:
            rows, columns = _extent(archive, name)
        if rows * columns > CELLS_MAX:
            raise BadFile(
                f"A sheet of the spreadsheet reaches to row {rows:,} and column {columns:,}, which is too "
                "large. If there are stray cells far from the table, delete them; else save it as CSV."
            )
        uses += size.uses
        longest = max(longest, size.longest)
    if uses * longest > TEXT_BYTES_MAX and _text_bytes(archive) > TEXT_BYTES_MAX:
        raise BadFile(
            f"The cells of the spreadsheet have more than {TEXT_BYTES_MAX:,} bytes of text. Save it as CSV."
        )


def _measured(archive: zipfile.ZipFile, name: str) -> _Size:
    rows, columns, uses, longest, size = _NEAR_ROWS, _NEAR_COLUMNS, 0, 0, 0
    for piece in _pieces(archive, name):
        for wide, row, narrow, far_row in _FAR.findall(piece):
            rows = max(rows, int(row or far_row))
            columns = max(columns, _number(wide or narrow))
        uses += len(_SHARED_TYPE.findall(piece))
        first, *others = _TEXT_END.split(piece)
        size += len(first)
        for other in others:
            longest = max(longest, size)
            size = len(other)
    return _Size(rows, columns, uses, longest)


def _extent(archive: zipfile.ZipFile, name: str) -> tuple[int, int]:
    """The last row and the last column of the cells in a part."""
    rows = columns = 0
    for piece in _pieces(archive, name):
        for column, row in _ANY.findall(piece):
            rows = max(rows, int(row))
            columns = max(columns, _number(column))
    return rows, columns


def _text_bytes(archive: zipfile.ZipFile) -> int:
    """How many bytes of shared texts all cells have together, about."""
    lengths: list[int] = []
    for name in _parts(archive):
        found, size = [], 0
        for piece in _pieces(archive, name):
            first, *others = _TEXT_END.split(piece)
            size += len(first)
            for other in others:
                found.append(size)
                size = len(other)
        lengths = max(lengths, found, key=len)
    indices = (
        index for name in _parts(archive) for piece in _pieces(archive, name) for index in _shared(piece)
    )
    return sum(lengths[index] for index in indices if index < len(lengths))


def _shared(piece: bytes) -> Iterator[int]:
    """The numbers of the shared texts that cells use, tag by tag: `<c t="s"><v>7</v></c>` uses number 7."""
    in_cell = False
    for tag, _, text in (part.partition(b">") for part in piece.split(b"<")):
        is_value = in_cell and _VALUE_TAG.fullmatch(b"<" + tag[:_TAG_BYTES_MAX])
        if is_value and (index := _INDEX.match(text)):
            yield int(index[1])
        in_cell = _SHARED_TYPE.search(tag) is not None


def _parts(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.lower().endswith(_READ)]


def _pieces(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """A part, piece by piece, none of which ends within a tag."""
    rest = b""
    with archive.open(name) as part:
        while piece := part.read(_PIECE_BYTES):
            end = piece.rfind(b"<")
            if end < 0:
                yield rest + piece
                rest = b""
            else:
                yield rest + piece[:end]
                rest = piece[end:]
    yield rest


def _number(letters: bytes) -> int:
    """The number of a column: 1 for A, 27 for AA."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
