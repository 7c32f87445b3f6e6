"""Contact fields over HTTP: `/api/contacts/fields`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from rollbook import fields
from rollbook.api import wire
from rollbook.api.wire import Call, Read, Write
from rollbook.errors import Invalid, Problem
from rollbook.fields import Type

TYPES: dict[str, Type] = {
    "text": "text", "number": "number", "date": "date",
    "string": "text", "integer": "number", "datetime": "date",
}  # fmt: skip
"""The names of types in requests, and the types of the core."""

_Name = Annotated[
    str,
    msgspec.Meta(
        description="1 to 30 characters after trimming and Unicode NFC; unique in the account, "
        "case-sensitively.",
        examples=["City"],
        extra_json_schema={"maxLength": fields.NAME_LENGTH_MAX, "pattern": r"^[^\x00]*\S[^\x00]*$"},
    ),
]
_Description = Annotated[
    str | None,
    msgspec.Meta(
        description="1 to 255 characters, or null; an empty text is null.",
        examples=["Where the contact lives"],
        extra_json_schema={"maxLength": fields.DESCRIPTION_LENGTH_MAX, "pattern": r"^[^\x00]*$"},
    ),
]
_Visible = Annotated[
    wire.Flag,
    msgspec.Meta(description="Whether a user interface shows it; null is as if absent.", examples=[True]),
]


class FieldCreate(msgspec.Struct):
    """A field to create."""

    name: _Name
    type: Annotated[
        Literal["text", "number", "date", "string", "integer", "datetime"],
        msgspec.Meta(
            description="`string` means `text`, `integer` means `number`, `datetime` means `date`.",
            examples=["text"],
        ),
    ]
    description: _Description = None
    is_visible: _Visible = True


class FieldUpdate(msgspec.Struct):
    """The changes to a field; absent members keep their values. The type never changes."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    description: _Description | msgspec.UnsetType = msgspec.UNSET
    is_visible: _Visible | msgspec.UnsetType = msgspec.UNSET
    is_visiable: Annotated[
        wire.Flag | msgspec.UnsetType, msgspec.Meta(description="The same as `is_visible`.", examples=[True])
    ] = msgspec.UNSET


class FieldsDelete(msgspec.Struct):
    """Fields to delete."""

    ids: Annotated[
        list[wire.Id],
        msgspec.Meta(
            description="Unknown ids are ignored.",
            examples=[[3]],
            extra_json_schema={"minItems": 1, "maxItems": fields.DELETED_AT_ONCE_MAX},
        ),
    ]


class FieldJson(msgspec.Struct):
    """A field that contacts can have a value in."""

    id: Annotated[int, msgspec.Meta(examples=[1])]
    name: str
    type: Type
    description: str | None
    is_visible: bool


class OneField(msgspec.Struct):
    """One field."""

    data: FieldJson


class FieldIndex(msgspec.Struct):
    """All fields of the account, oldest first."""

    data: list[FieldJson]


def create(call: Call, body: FieldCreate) -> Write:
    """Create a contact field."""
    visible = body.is_visible is None or wire.flag(body.is_visible)
    new = fields.NewField(body.name, TYPES[body.type], body.description, visible)
    return Write(fields.create, new, show=lambda made: OneField(_shown(made)))


def index(call: Call) -> Read:
    """Show the contact fields, oldest first."""
    return Read(fields.all, show=lambda found: FieldIndex([_shown(row) for row in found]))


def update(call: Call, body: FieldUpdate) -> Write:
    """Change a contact field. Absent members keep their values."""
    given = [each for each in (body.is_visible, body.is_visiable) if isinstance(each, (bool, int, str))]
    visible = wire.flag(given[0]) if given else msgspec.UNSET
    change = fields.FieldChange(body.name, body.description, visible)
    return Write(fields.update, call.id, change, show=lambda changed: OneField(_shown(changed)))


def delete_many(call: Call, body: FieldsDelete) -> Write:
    """Delete contact fields and their values in all contacts."""
    problems: list[Problem] = []
    ids = wire.ids_of(body.ids, "ids", 1, fields.DELETED_AT_ONCE_MAX, problems)
    if problems:
        raise Invalid(problems)
    return Write(fields.delete, ids, show=lambda _: None)


def _shown(row: Any) -> FieldJson:
    return FieldJson(row.id, row.name, row.type, row.description, row.is_visible)
