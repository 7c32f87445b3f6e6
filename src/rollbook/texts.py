"""Rules for the short texts that people type: names and descriptions."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

import msgspec

from rollbook.errors import Invalid, Problem


def name(text: str, *, low: int, high: int) -> str:
    """A name as it is kept and compared: Unicode NFC, trimmed.

    Args:
        low, high: characters (code points) at least and at most.

    Raises:
        ValueError: it is too short, too long, or holds NUL.
    """
    text = normal(text.strip())
    if len(text) < low:
        raise ValueError(f"must be at least {low} character{'s' if low > 1 else ''}")
    return bounded(text, high)


def description(text: str | None, *, high: int) -> str | None:
    """A description as it is kept: Unicode NFC; an empty one is none.

    Raises:
        ValueError: it is too long, or holds NUL.
    """
    return bounded(normal(text), high) if text else None


def normal(text: str) -> str:
    """Unicode NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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
