"""What callers can say of files that come in, in the query or in a form: for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollbook.imports.spec import OPTIONS
from rollbook.options import Option

FILE_OPTIONS: Mapping[str, Option] = {option.name: option for option in OPTIONS if "http" in option.edges}
"""By their names."""

FORM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The file, and whatever the query could say of it.",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        **{name: dict(option.schema) for name, option in FILE_OPTIONS.items()},
    },
    "required": ["file"],
}
"""Of a form with a file."""
