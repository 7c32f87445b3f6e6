"""Phone numbers by the numbering plan: `parse` for one of them."""

from __future__ import annotations

from rollbook.phones.single import BadPhone, is_valid, parse

__all__ = ["BadPhone", "is_valid", "parse"]
