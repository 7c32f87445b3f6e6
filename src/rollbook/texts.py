"""Texts: the rules for names and descriptions, and how any text is shown to people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import msgspec

from rollbook.errors import Invalid, Problem

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 with ESC and line ends, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that change the direction of a line
    "\u2028\u2029\u206a-\u206f\ufeff\ufff9-\ufffb"  # line ends of Unicode, and invisible characters
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # not characters
)
"""Characters that act on a terminal, or that are invisible in a text."""
NORMAL_MAX = 2_000
"""A longer text is not normalized. Combining marks on one letter are sorted one by one, in a time that grows
with the square of their number: 3 s for 64,000 of them, 3 ms for 2,000."""

_HIDDEN_IN_LINES = re.compile(rf"(?![\n\t]){_HIDDEN.pattern}")


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 account`, `2,000 accounts`.

    Args:
        noun: the singular of a noun whose plural ends in -s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name(text: str, *, low: int, high: int) -> str:
    """The form of a name that is stored and compared: Unicode NFC, trimmed.

    Args:
        low, high: the smallest and the largest number of characters (code points).

    Raises:
        ValueError: the name is too short, too long, or contains NUL.
    """
    text = kept(text.strip(), high)
    if len(text) < low:
        raise ValueError(f"must be at least {counted(low, 'character')}")
    return text


def kept(text: str, high: int) -> str:
    """The form of a text that is stored: Unicode NFC.

    Raises:
        ValueError: the text has more than `high` characters, or contains NUL.
    """
    # At most four characters become one, so such a text is too long in any form.
    return bounded(text if len(text) > 4 * high else normal(text), high)


def description(text: str | None, *, high: int) -> str | None:
    """The form of a description that is stored: Unicode NFC; `None` for an empty one.

    Raises:
        ValueError: the description is too long, or contains NUL.
    """
    return kept(text, high) if text else None


def normal(text: str) -> str:
    """Unicode NFC. A text of more than `NORMAL_MAX` characters is returned as it is: none that long is
    stored."""
    return text if text.isascii() or len(text) > NORMAL_MAX else unicodedata.normalize("NFC", text)


def bounded(text: str, high: int) -> str:
    """Check the length of a text, and return it unchanged.

    Raises:
        ValueError: the text has more than `high` characters, or contains NUL, which PostgreSQL cannot store
            in a text, so neither engine accepts it.
    """
    if len(text) > high:
        raise ValueError(f"may not be greater than {high} characters")
    if "\0" in text:
        raise ValueError("may not hold the character NUL")
    return text


def clean(change: msgspec.Struct, rules: Mapping[str, Callable[[str], str | None]]) -> None:
    """Replace the texts of `change` by the form that is stored. Absent values and `None` stay as they are.

    Args:
        rules: for each field the function that returns the stored form of a text, or raises ValueError.

    Raises:
        Invalid: naming every text that breaks its rule.
    """
    problems = []
    for field, rule in rules.items():
        value = getattr(change, field)
        if value is msgspec.UNSET or value is None:
            continue
        try:
            kept = rule(value)
        except ValueError as error:
            problems.append(Problem(field, f"The {field} {error}."))
        else:
            if kept is not value:
                msgspec.structs.force_setattr(change, field, kept)
    if problems:
        raise Invalid(problems)


def visible(text: str, *, lines: bool = False) -> str:
    """A text in the form that is shown to people: characters that act on a terminal are escaped as in Python.

    Args:
        lines: whether the text may have several lines, and tabs.
    """
    if text.isascii() and text.isprintable():
        return text
    hidden = _HIDDEN_IN_LINES if lines else _HIDDEN
    return hidden.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_json(data: bytes) -> bytes:
    """JSON in UTF-8 with characters that act on a terminal escaped. Its meaning stays the same."""
    if data.isascii() and b"\x7f" not in data:
        return data  # JSON escapes control characters already
    text = data.decode()
    return _HIDDEN_IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
