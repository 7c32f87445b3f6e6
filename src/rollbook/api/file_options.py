"""What callers can say of files that come in and go out, in the query: for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rollbook.channels import CHANNELS


class Option(NamedTuple):
    """A query parameter: what it says, and its schema."""

    about: str
    schema: Mapping[str, Any]


_TEXT: Mapping[str, Any] = {"type": "string"}
_FLAG: Mapping[str, Any] = {"type": "boolean"}
_CHANNELS: Mapping[str, Any] = {"type": "array", "items": {"type": "string", "enum": [*CHANNELS]}}

FILE_OPTIONS: Mapping[str, Option] = {
    "list": Option("The list that the contacts join, by name; made if it is not there.", _TEXT),
    "list_id": Option("The list that the contacts join, by id.", {"type": "integer", "minimum": 1}),
    "mode": Option(
        "`add` creates contacts and extends those that are there, `update` leaves out phones that are not in "
        "the book, `replace` also takes out of the list everyone whom the file does not name.",
        {"type": "string", "enum": ["add", "update", "replace"], "default": "add"},
    ),
    "region": Option("Country (ISO 3166-1) of numbers without a country code.", _TEXT),
    "phone_check": Option(
        "Take valid phones (in a range of the numbering plan), or all of a possible length.",
        {"type": "string", "enum": ["valid", "possible"], "default": "valid"},
    ),
    "map": Option(
        "`COLUMN=FIELD`: what a column is: `phone`, a field's name, or nothing to leave it out.",
        {"type": "array", "items": _TEXT},
    ),
    "create_fields": Option("Make a text field for every column that has none.", _FLAG),
    "stop": Option("Put every phone on the stop list of these channels.", _CHANNELS),
    "dry_run": Option("Only say what would happen.", _FLAG),
    "format": Option(
        "Of the file, where it should not be detected.",
        {"type": "string", "enum": ["csv", "xlsx", "parquet", "jsonl", "vcard"]},
    ),
    "encoding": Option("Of its text, where it should not be detected, such as `windows-1251`.", _TEXT),
    "delimiter": Option("Between its cells, where it should not be detected; `tab` for a tabulator.", _TEXT),
    "header": Option("Whether its first row names the columns, where it should not be detected.", _FLAG),
    "sheet": Option("Of a workbook with several.", _TEXT),
    "filename": Option("What you call it.", _TEXT),
}
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
