"""Custom contact fields: their definitions, and the values that contacts have in them.

A value is stored as text in the canonical form of its type, beside a key that sorts as text in the order of
the values, so that one index serves every type (docs/decisions/0013).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Literal, NamedTuple

import msgspec

from rollbook import accounts, leftovers, search, texts
from rollbook.db import Rows, Taken, Transaction
from rollbook.errors import AlreadyExists, NotFound
from rollbook.search import COMPARISONS, TEXTUAL, Column

NAME_LENGTH_MAX = 30
DESCRIPTION_LENGTH_MAX = 255
VALUE_LENGTH_MAX = 255
"""Characters (code points) after normalization. A value's search key must fit into an index entry, which
is limited to about 2,700 bytes on PostgreSQL."""

NUMBER_DIGITS_MAX = 30
"""The digits of a number before and after the decimal point together."""

DELETED_AT_ONCE_MAX = 30
"""One call deletes at most this many fields."""

Type = Literal["text", "number", "date"]


class Field(msgspec.Struct, frozen=True):
    """A field in which contacts of an account can have a value."""

    id: int
    name: str
    type: Type
    description: str | None
    is_visible: bool


def clean_name(name: str) -> str:
    """The form of a field's name that is stored and compared; see `texts.name`."""
    return texts.name(name, low=1, high=NAME_LENGTH_MAX)


def clean_description(description: str | None) -> str | None:
    """The form of a field's description that is stored; see `texts.description`."""
    return texts.description(description, high=DESCRIPTION_LENGTH_MAX)


RULES: Mapping[str, Callable[[str], str | None]] = {"name": clean_name, "description": clean_description}


class NewField(msgspec.Struct, frozen=True):
    """A field to create.

    Raises:
        Invalid: naming every value that breaks a rule.
    """

    name: str
    type: Type
    description: str | None = None
    is_visible: bool = True

    def __post_init__(self) -> None:
        texts.clean(self, RULES)


class FieldChange(msgspec.Struct, frozen=True):
    """A change to a field. Absent values stay as they are. The type never changes.

    Raises:
        Invalid: naming every value that breaks a rule.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    is_visible: bool | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        texts.clean(self, RULES)


class Canonical(NamedTuple):
    """A value in its stored form, and the key by which it is compared and searched."""

    value: str
    key: str


class Value(msgspec.Struct, frozen=True):
    """The value of a contact in a field."""

    contact_id: int
    field_id: int
    value: str


_COLUMNS = "id, name, type, description, is_visible"


def create(tx: Transaction, account_id: int, new: NewField) -> Field:
    """Create a field.

    Raises:
        AlreadyExists: the name is taken.
    """
    made = tx.one(
        Field,
        f"""
        INSERT INTO contact_field (account_id, id, name, type, description, is_visible)
        VALUES (:account_id, :id, :name, :type, :description, :is_visible)
        ON CONFLICT (account_id, name) DO NOTHING
        RETURNING {_COLUMNS}
        """,
        account_id=account_id,
        id=tx.new_ids("contact_field", 1)[0],
        name=new.name,
        type=new.type,
        description=new.description,
        is_visible=new.is_visible,
    )
    if made is None:
        raise AlreadyExists("field", new.name)
    return made


def all(tx: Transaction, account_id: int) -> list[Field]:
    """Every field of the account, oldest first."""
    return tx.all(
        Field, f"SELECT {_COLUMNS} FROM contact_field WHERE account_id = :account_id ORDER BY id",
        account_id=account_id,
    )  # fmt: skip


def update(tx: Transaction, account_id: int, field_id: int, change: FieldChange) -> Field:
    """Change the values that `change` names.

    Raises:
        NotFound: the account has no field with that id.
        AlreadyExists: another field has that name.
    """
    values = {
        name: value
        for name in ("name", "description", "is_visible")
        if (value := getattr(change, name)) is not msgspec.UNSET
    }
    # An empty change still shows whether the field exists.
    sets = ", ".join(f"{name} = :{name}" for name in values) or "id = id"
    try:
        changed = tx.one(
            Field,
            f"""
            UPDATE contact_field SET {sets} WHERE account_id = :account_id AND id = :field_id
            RETURNING {_COLUMNS}
            """,
            account_id=account_id,
            field_id=field_id,
            **values,
        )
    except Taken as error:
        raise AlreadyExists("field", change.name) from error
    if changed is None:
        raise NotFound("field", field_id)
    return changed


def delete(tx: Transaction, account_id: int, field_ids: Sequence[int]) -> None:
    """Delete fields and their values. Unknown ids are ignored.

    The values are gone for every reader at once; their rows are removed in chunks afterwards.
    """
    accounts.lock(tx, account_id)
    deleted = tx.all(
        int,
        f"DELETE FROM contact_field WHERE account_id = :account_id AND {tx.any_of('id', 'ids')} RETURNING id",
        account_id=account_id,
        ids=list(field_ids),
    )
    leftovers.leave(tx, account_id, "field", deleted)


def canonical(type: Type, text: str) -> Canonical:
    """The canonical form of a value.

    - text: Unicode NFC, otherwise unchanged.
    - number: decimal digits without superfluous zeros and signs: `-12.5`, `0`.
    - date: `2022-04-28`, or with a time other than midnight `2022-04-28 14:21:16`, UTC, in whole seconds.

    Raises:
        ValueError: the text is not a value of that type.
    """
    if type == "number":
        return _number(text.strip())
    if type == "date":
        found = search.moment(text.strip()).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S").zfill(19)
        return Canonical(found.removesuffix(" 00:00:00"), found)
    kept = texts.kept(text, VALUE_LENGTH_MAX)
    return Canonical(kept, search.fold(kept))


def _number(text: str) -> Canonical:
    """A decimal number, and a key that sorts as text exactly in the order of the numbers.

    The key of a positive number is `2`, the number of digits before the decimal point (as three digits, so
    that a longer number is larger; below 500 for zeros after the point), and the digits. The key of a
    negative number is `0`, the same with every digit subtracted from 9, and `~`, which sorts after all
    digits, so that more digits make it smaller. The key of zero is `1`.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise ValueError("must be a number, such as 12 or -0.5")
    whole, fraction = match[2].lstrip("0"), (match[3] or "").rstrip("0")
    if len(whole) + len(fraction) > NUMBER_DIGITS_MAX:
        raise ValueError(f"may not have more than {NUMBER_DIGITS_MAX} digits")
    digits = (whole + fraction).lstrip("0").rstrip("0")
    if not digits:
        return Canonical("0", "1")
    point = len(whole) if whole else -(len(fraction) - len(fraction.lstrip("0")))
    plain = f"{500 + point:03}{digits}"
    value = (whole or "0") + (f".{fraction}" if fraction else "")
    if match[1] == "-":
        return Canonical(f"-{value}", f"0{plain.translate(_NINES)}~")
    return Canonical(value, f"2{plain}")


_DECIMAL = re.compile(r"([+-]?)(\d{0,1000})(?:\.(\d{1,1000}))?", re.ASCII)
"""Far more digits than a number may have, since leading and trailing zeros do not count."""

_NINES = str.maketrans("0123456789", "9876543210")


def columns(fields: Sequence[Field]) -> dict[str, Column]:
    """The columns by which contacts can be searched in their fields, by field id."""
    return {str(field.id): _column(field) for field in fields}


_WITHIN = """
    contact.id IN (
        SELECT field_value.contact_id FROM field_value
        WHERE field_value.account_id = :account_id AND field_value.field_id = {field_id} AND {}
    )
"""


def _column(field: Field) -> Column:
    key = "field_value.search_key"
    column = Column("key", key, COMPARISONS, sortable=False, within=_WITHIN, field_id=field.id)
    if field.type == "text":
        return replace(column, kind="text", sql="field_value.value", operators=TEXTUAL, folded=key)
    return replace(column, key=partial(_key, field.type))


def alone(column: Column) -> Column:
    """A column of `columns` for a statement that reads only the values of that field."""
    return replace(column, within=None)


def _key(type: Type, text: str) -> str:
    return canonical(type, text).key


def values_of(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> list[Value]:
    """The values of contacts in their fields, in the order of the fields' ids."""
    return tx.all(
        Value,
        f"""
        SELECT field_value.contact_id, field_value.field_id, field_value.value
        FROM {tx.rows("wanted", id="bigint")} CROSS JOIN field_value
        WHERE field_value.account_id = :account_id AND field_value.contact_id = wanted.id
          AND {leftovers.shown("field", "field_value.field_id")}
        ORDER BY field_value.contact_id, field_value.field_id
        """,
        account_id=account_id,
        wanted=Rows(id=list(contact_ids)),
    )


def store(tx: Transaction, account_id: int, values: Mapping[tuple[int, int], Canonical | None]) -> None:
    """Set values, or clear them.

    Args:
        values: by contact id and field id; `None` clears a value.
    """
    kept = sorted((key, value) for key, value in values.items() if value is not None)
    if kept:
        store_rows(
            tx,
            account_id,
            Rows(
                contact_id=[key[0] for key, _ in kept],
                field_id=[key[1] for key, _ in kept],
                value=[value.value for _, value in kept],
                search_key=[value.key for _, value in kept],
            ),
        )
    cleared = sorted(key for key, value in values.items() if value is None)
    if cleared:
        tx.run(
            f"""
            DELETE FROM field_value WHERE account_id = :account_id AND (contact_id, field_id) IN (
                SELECT gone.contact_id, gone.field_id
                FROM {tx.rows("gone", contact_id="bigint", field_id="bigint")}
            )
            """,
            account_id=account_id,
            gone=Rows(contact_id=[key[0] for key in cleared], field_id=[key[1] for key in cleared]),
        )


def store_rows(tx: Transaction, account_id: int, new: Rows) -> None:
    """Set values.

    Args:
        new: rows of `contact_id`, `field_id`, and the `value` and `search_key` of a `Canonical`. Rows in the
            order of contacts and fields are written fastest.
    """
    tx.run(
        f"""
        INSERT INTO field_value (account_id, contact_id, field_id, value, search_key)
        SELECT :account_id, new.contact_id, new.field_id, new.value, new.search_key
        FROM {tx.rows("new", contact_id="bigint", field_id="bigint", value="text", search_key="text")}
        WHERE TRUE
        ON CONFLICT (account_id, contact_id, field_id)
        DO UPDATE SET value = excluded.value, search_key = excluded.search_key
        """,
        account_id=account_id,
        new=new,
    )


def forget(tx: Transaction, account_id: int, contact_ids: Sequence[int]) -> None:
    """Remove all values of contacts."""
    tx.run(
        f"""
        DELETE FROM field_value WHERE account_id = :account_id AND contact_id IN (
            SELECT gone.id FROM {tx.rows("gone", id="bigint")}
        )
        """,
        account_id=account_id,
        gone=Rows(id=list(contact_ids)),
    )
