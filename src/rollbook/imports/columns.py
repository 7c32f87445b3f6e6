"""What the columns of a file mean: one is the phone, others are fields of contacts, the rest is left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rollbook.errors import BadFile
from rollbook.fields import NAME_LENGTH_MAX, Field, clean_name
from rollbook.options import said as option

PHONE = "phone"
"""What the column of phones is mapped to."""


class Columns(NamedTuple):
    """What the columns of a file were taken for.

    Args:
        phone: the column of phones.
        fields: for other columns the field of contacts that they fill.
        new: for columns without a field, in a file whose fields are to be created, the field's name.
        ignored: the rest.
    """

    phone: str
    fields: Mapping[str, Field]
    new: Mapping[str, str]
    ignored: Sequence[str]

    def described(self) -> dict[str, str]:
        """For each column `phone`, the name of its field, or "" for none."""
        named = {column: field.name for column, field in self.fields.items()}
        return {self.phone: PHONE, **named, **self.new, **dict.fromkeys(self.ignored, "")}


def choose(
    columns: Sequence[str],
    known: Sequence[Field],
    mapped: Mapping[str, str],
    *,
    guess_phone: Callable[[], str | None],
    create_fields: bool,
) -> Columns:
    """Decide what the columns of a file mean.

    Args:
        columns: the file's, by their headers.
        known: the account's fields.
        mapped: what was said: for a column `phone`, a field's name, or "" for nothing.
        guess_phone: which column looks like the one of phones.
        create_fields: make fields for columns that have none.

    Raises:
        BadFile: no column is the phone, or `mapped` names what is not there.
    """
    said = {_column(columns, column): meaning.strip() for column, meaning in mapped.items()}
    phone = next((column for column, meaning in said.items() if meaning.casefold() == PHONE), None)
    if phone is None:
        phone = guess_phone()
    if phone is None or said.get(phone, PHONE).casefold() != PHONE:
        raise BadFile(
            f"No column looks like phone numbers; the file has {_listed(columns)}. Say which one it is: "
            f"{option('map', 'COLUMN=phone')}."
        )
    by_name = {_plain(field.name): field for field in known}
    fields: dict[str, Field] = {}
    new: dict[str, str] = {}
    ignored = []
    for column in columns:
        if column == phone:
            continue
        meaning = said.get(column, column)
        field = by_name.get(_plain(meaning))
        if field is not None:
            fields[column] = field
        elif create_fields and meaning:
            new[column] = _new_name(column, meaning)
        elif column in said and meaning:
            raise BadFile(
                f"The column {column!r} is mapped to {meaning!r}, but there is no such field; "
                f"{option('create_fields', 'true')} makes it."
            )
        else:
            ignored.append(column)
    names = [field.name for field in fields.values()] + list(new.values())
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadFile(
            f"Several columns are for the field {min(twice)!r}: leave one out, {option('map', 'COLUMN=')}."
        )
    return Columns(phone, fields, new, ignored)


def _column(columns: Sequence[str], wanted: str) -> str:
    if wanted in columns:
        return wanted
    alike = [column for column in columns if _plain(column) == _plain(wanted)]
    if len(alike) != 1:
        raise BadFile(f"The file has no column {wanted!r}; it has {_listed(columns)}.")
    return alike[0]


def _new_name(column: str, name: str) -> str:
    try:
        return clean_name(name)
    except ValueError as error:
        raise BadFile(
            f"A field cannot be named as the column {column[:60]!r} is: it {error} (at most "
            f"{NAME_LENGTH_MAX}). Give it another name: {option('map', 'COLUMN=NAME')}."
        ) from None


def _plain(name: str) -> str:
    """A name without regard to case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column) for column in columns[:20])
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return f"the column{'s' if len(columns) > 1 else ''} {shown}{more}" if columns else "no columns"
