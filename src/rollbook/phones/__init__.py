"""Phone numbers by their numbering plans: `read` accepts any text, `parse` only a phone number.

`phones.column` reads columns of numbers. It is not imported here, since its arrays take a moment to load.
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
