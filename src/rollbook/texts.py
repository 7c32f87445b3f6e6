"""Rules for the short texts that people type, names and descriptions; and how any text is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import msgspec

from rollbook.errors import Invalid, Problem

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 with ESC and line ends, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of a line
    "\u2028\u2029\u206a-\u206f\ufeff\ufff9-\ufffb"  # line ends of Unicode, and what is never seen
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # no characters
)
"""What acts on a terminal, or hides in a text, in place of being seen."""
NORMAL_MAX = 2_000
"""Characters of a text that is normalized. Marks on top of each other are put into order one by one, which
takes as long as the square of their number: 3 s for 64,000 of them, 3 ms for 2,000."""

_HIDDEN_IN_LINES = re.compile(rf"(?![\n\t]){_HIDDEN.pattern}")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 account`, `2,000 accounts`.

    Args:
        noun: in the singular, one whose plural ends in -s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name(text: str, *, low: int, high: int) -> str:
    """A name as it is kept and compared: Unicode NFC, trimmed.

    Args:
        low, high: characters (code points) at least and at most.

    Raises:
        ValueError: it is too short, too long, or holds NUL.
    """
    text = kept(text.strip(), high)
    if len(text) < low:
        raise ValueError(f"must be at least {counted(low, 'character')}")
    return text


def kept(text: str, high: int) -> str:
    """A text in Unicode NFC.

    Raises:
        ValueError: it has more than `high` characters, or a NUL.
    """
    # Four characters become one at most, so this one is too long in any form.
    return bounded(text if len(text) > 4 * high else normal(text), high)


def description(text: str | None, *, high: int) -> str | None:
    """A description as it is kept: Unicode NFC; an empty one is none.

    Raises:
        ValueError: it is too long, or holds NUL.
    """
    return kept(text, high) if text else None


def normal(text: str) -> str:
    """Unicode NFC; a text of more than `NORMAL_MAX` characters as it is, since none that long is kept."""
    return text if text.isascii() or len(text) > NORMAL_MAX else unicodedata.normalize("NFC", text)


def bounded(text: str, high: int) -> str:
    """The same text.

    Raises:
        ValueError: it has more than `high` characters, or a NUL: PostgreSQL has none in text, so no
            engine takes one.
    """
    if len(text) > high:
        raise ValueError(f"may not be greater than {high} characters")
    if "\0" in text:
        raise ValueError("may not hold the character NUL")
    return text


def clean(change: msgspec.Struct, rules: Mapping[str, Callable[[str], str | None]]) -> None:
    """Bring the texts of `change` into the form in which they are kept; what is absent or `None` stays.

    Args:
        rules: for each field the function that returns the text as it is kept, or raises ValueError.

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
    """A text as it is shown to people: what acts on a terminal is escaped as in Python.

    Args:
        lines: it is several lines, and may have tabs.
    """
    if text.isascii() and text.isprintable():
        return text
    hidden = _HIDDEN_IN_LINES if lines else _HIDDEN
    return hidden.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_json(data: bytes) -> bytes:
    """JSON in UTF-8, for programs, which does not act on a terminal that it gets to: it means the same."""
    if data.isascii() and b"\x7f" not in data:
        return data  # what is below the space is escaped already
    text = data.decode()
    return _HIDDEN_IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
