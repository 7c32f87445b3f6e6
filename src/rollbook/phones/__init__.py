"""Phone numbers by the numbering plan: `read` for any text, `parse` for one that has to be a number.

Columns of numbers are read by `phones.column`; its arrays take a moment to load.
"""

from __future__ import annotations

from rollbook.phones.changes import old_forms
from rollbook.phones.one import (
    BadPhone,
    Reading,
    fragment,
    is_valid,
    literally,
    numbers_in,
    parse,
    parse_region,
    read,
    renewed,
    sentence,
)
from rollbook.phones.verdict import (
    OUT_OF_BOUNDS,
    PHONE_MAX,
    PHONE_MIN,
    REASONS,
    REGIONS,
    SENTENCES,
    TYPES,
)

__all__ = [
    "OUT_OF_BOUNDS",
    "PHONE_MAX",
    "PHONE_MIN",
    "REASONS",
    "REGIONS",
    "SENTENCES",
    "TYPES",
    "BadPhone",
    "Reading",
    "fragment",
    "is_valid",
    "literally",
    "numbers_in",
    "old_forms",
    "parse",
    "parse_region",
    "read",
    "renewed",
    "sentence",
]
