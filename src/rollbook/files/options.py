"""The options of reading a file, for every command and call that reads one."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence

from rollbook.errors import Invalid, Problem
from rollbook.files import FORMATS, FileOptions, ReadOptions
from rollbook.options import Option, any_of, mention

ENCODING_LENGTH_MAX = 40

_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_NO_TEXT = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "charmap"})
"""Encodings of Python in which no file is written."""


def encoding(name: str) -> str:
    """An encoding that was named, as Python names it.

    Raises:
        ValueError: there is none of that name.
    """
    name = name.strip()
    try:
        found = codecs.lookup(name[:ENCODING_LENGTH_MAX]).name
        "".encode(found)  # raises for those of no text, such as base64
        if found.replace("-", "_") in _NO_TEXT:
            raise LookupError
    except (LookupError, ValueError):
        raise ValueError(
            f"There is no encoding {name!r}. Name one such as utf-8, utf-16, windows-1251 or windows-1252."
        ) from None
    return "utf-8" if found == "utf-8-sig" else found


def delimiter(text: str) -> str:
    """A delimiter that was named, a character or a word.

    Raises:
        ValueError: it cannot be one.
    """
    mark = _DELIMITERS.get(text.casefold(), text)
    if len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in '"\r\n\0':
        raise ValueError(
            f"The delimiter cannot be {mark!r}: name one character such as , or ; or |, or the word tab."
        )
    return mark


READING = (
    Option("format", "Format of the file, instead of detecting it.", "choice", choices=FORMATS),
    Option(
        "encoding",
        "Encoding of the text, such as windows-1251, instead of detecting it.",
        takes="a name such as utf-8 or windows-1251",
        read=encoding,
        metavar="NAME",
    ),
    Option(
        "delimiter",
        "Character between cells, or the word tab, instead of detecting it.",
        takes="one character such as , or ; or |, or the word tab",
        read=delimiter,
        blank=True,
        metavar="CHARACTER",
    ),
    Option("header", "Whether the first row names the columns, instead of detecting it.", "either"),
    Option(
        "skip_rows",
        "Lines at the top that are not part of the table, such as titles and notes.",
        "number",
        takes="a whole number of lines",
        default=FileOptions().skip_rows,
    ),
    Option(
        "skip_hidden",
        "Skip hidden rows of a workbook, hidden by a filter or by hand; otherwise they are read.",
        "switch",
    ),
    Option(
        "sheet",
        "Sheet to read from a workbook that has several.",
        takes="the name of a sheet",
        read=str,
        metavar="NAME",
    ),
)
"""Each has the name of its value in `FileOptions`."""


GOES_WITH: Mapping[str, Sequence[str]] = {
    "encoding": ("csv", "jsonl", "vcard"),
    "delimiter": ("csv",),
    "header": ("csv", "xlsx"),
    "skip_rows": ("csv", "xlsx"),
    "skip_hidden": ("xlsx",),
    "sheet": ("xlsx",),
}
"""The formats that an option is for. Where the format is not said, it is used if it applies."""


def contradictions(values: FileOptions) -> list[Problem]:
    """What was said of a file that its format, if that was said, does not have."""
    return [
        Problem(
            name, f"{mention(name)} goes with {any_of(formats)}, not with {mention('format', values.format)}."
        )
        for name, formats in GOES_WITH.items()
        if values.format is not None and values.format not in formats
        # 0 and False are said by nobody; the header may be said to be none.
        if (value := getattr(values, name)) or (name == "header" and value is not None)
    ]


def reading(values: FileOptions) -> ReadOptions:
    """How to read a file, as it was said.

    Raises:
        Invalid: it does not go together.
    """
    if problems := contradictions(values):
        raise Invalid(problems)
    return ReadOptions(**{option.name: getattr(values, option.name) for option in READING})
