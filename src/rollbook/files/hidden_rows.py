"""Which rows of an XLSX are hidden, by a filter or by a person: the reader gives them like others.

The sheet is read once more for that, in pieces, and only what looks like the beginning of a row is looked at.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from rollbook.files import sheet_size

PIECE_BYTES = 1 << 20
TAG_BYTES_MAX = 1 << 12
"""Most bytes of the beginning of a row, with all its attributes."""

PART_BYTES_MAX = 1 << 22
"""Most bytes of the parts that say where the sheets are."""

_ROW = re.compile(rb"<(?:[A-Za-z0-9_]{1,32}:)?row[ \t\r\n/>][^<>]{0,4096}+")
_HIDDEN = re.compile(rb"""[ \t\r\n]hidden=["'](?:1|true)["']""")
_NUMBER = re.compile(rb"""[ \t\r\n]r=["']([0-9]{1,7})["']""")


def of_sheet(path: Path, sheet: str) -> NDArray[np.int64]:
    """The hidden rows of a sheet, numbered from 1, ascending.

    Args:
        path: of an XLSX that was found to be good (`sheet_size.check`).
    """
    with sheet_size.opened(path) as archive:
        part = _part(archive, sheet)
        return np.array([*_hidden(archive, part)] if part is not None else [], np.int64)


def _hidden(archive: zipfile.ZipFile, part: str) -> Iterator[int]:
    row = 0
    for piece in _pieces(archive, part):
        for tag in _ROW.findall(piece):
            number = _NUMBER.search(tag)
            row = int(number[1]) if number is not None else row + 1
            if _HIDDEN.search(tag) is not None:
                yield row


def _pieces(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """A part, piece by piece, none of which ends within the beginning of a row."""
    rest = b""
    with archive.open(part) as file:
        while piece := file.read(PIECE_BYTES):
            text = rest + piece
            end = text.rfind(b"<", max(0, len(text) - TAG_BYTES_MAX))
            end = len(text) if end < 0 else end
            yield text[:end]
            rest = text[end:]
    yield rest


def _part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part that a sheet is in; `None` if that cannot be found out."""
    book = _parsed(archive, "xl/workbook.xml")
    links = _parsed(archive, "xl/_rels/workbook.xml.rels")
    if book is None or links is None:
        return None
    ids = [
        value
        for each in book.iter()
        if _plain(each.tag) == "sheet" and each.get("name") == sheet
        for name, value in each.items()
        if name.endswith("}id")
    ]
    targets = [each.get("Target", "") for each in links.iter() if ids and each.get("Id") == ids[0]]
    for target in targets:
        part = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"xl/{target}")
        if part in archive.namelist():
            return part
    return None


def _parsed(archive: zipfile.ZipFile, name: str) -> ElementTree.Element | None:
    if name not in archive.namelist() or archive.getinfo(name).file_size > PART_BYTES_MAX:
        return None
    text = archive.read(name)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # nothing that could expand
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]
