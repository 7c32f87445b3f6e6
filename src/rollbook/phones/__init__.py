"""Phone numbers by the numbering plan: `read` for any text, `parse` for one that has to be a number."""

from __future__ import annotations

from rollbook.phones.one import Reading, read
from rollbook.phones.single import BadPhone, fragment, is_valid, literally, parse, renewed

__all__ = ["BadPhone", "Reading", "fragment", "is_valid", "literally", "parse", "read", "renewed"]
