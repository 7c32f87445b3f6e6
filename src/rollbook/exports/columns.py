"""The columns of an export: those that every contact has, then the account's fields, under their names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from rollbook import fields, texts
from rollbook.channels import CHANNELS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem
from rollbook.fields import Field
from rollbook.files import formulas

if TYPE_CHECKING:
    from rollbook.exports import Export

Kind = Literal["integer", "moment", "text", "texts"]
"""The type of the values of a column: integers, ISO 8601 in UTC, texts, JSON arrays of texts."""

CONTACT = ("phone", "id", "created_at", "stopped")
"""The columns that every contact has. `lists` is another one, on request."""

STOP = ("phone", "channels", "created_at")
"""The columns that every row of the stop list has. `id` is another one, on request."""

KNOWN_MAX = 30
"""How many columns a message names at most."""


class ExportColumn(NamedTuple):
    """A column of an export.

    Args:
        name: the name that callers use.
        shown: the name in the file.
        sql: the expression of its values, on the columns of `source`.
        params: the parameters of `sql`.
    """

    name: str
    shown: str
    kind: Kind
    sql: str
    params: Mapping[str, object] = {}


def named(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of columns in comma-separated texts; a name with a comma is in quotation marks.

    Raises:
        Invalid: a text is not of that form.
    """
    try:
        return tuple(name for text in texts for line in csv.reader([text], strict=True) for name in line)
    except csv.Error:
        message = "The columns must be comma-separated names; put a name that has a comma in quotation marks."
        raise Invalid([Problem("columns", message)]) from None


def chosen(tx: Transaction, account_id: int, export: Export) -> list[ExportColumn]:
    """The columns of an export, in their order.

    Raises:
        Invalid: naming every column that does not exist.
    """
    if export.what == "contacts":
        choices = _of_contacts(tx, account_id, export.is_safe)
        usual = [name for name, column in choices.items() if column.usual]
        if export.with_lists:
            usual.insert(len(CONTACT), "lists")
    else:
        choices = _of_stops(tx)
        usual = list(STOP)
    if not export.columns:
        return [choices[name].column for name in usual]
    wanted = list(dict.fromkeys(texts.normal(name.strip()) for name in export.columns))
    if export.with_lists and "lists" not in wanted:
        wanted.append("lists")
    if unknown := [name for name in wanted if name not in choices]:
        listing = ", ".join([*choices][:KNOWN_MAX]) + (" and more" if len(choices) > KNOWN_MAX else "")
        message = f"There is no column {', '.join(map(repr, unknown))}: there are {listing}."
        raise Invalid([Problem("columns", message)])
    return [choices[name].column for name in wanted]


class _Choice(NamedTuple):
    """A column that can be chosen; a usual one is included when the caller chooses none."""

    column: ExportColumn
    usual: bool = True


def _of_contacts(tx: Transaction, account_id: int, safe: bool) -> dict[str, _Choice]:
    name = tx.json_text("contact_list.name")
    lists = f"""
        (SELECT '[' || string_agg({name}, ',' ORDER BY contact_list.id DESC) || ']'
         FROM membership CROSS JOIN contact_list
         WHERE membership.account_id = :account_id AND membership.contact_id = source.id
           AND contact_list.account_id = :account_id AND contact_list.id = membership.list_id)
    """
    choices = {
        "phone": _plain("phone", "integer", "source.phone"),
        "id": _plain("id", "integer", "source.id"),
        "created_at": _plain("created_at", "moment", tx.iso("source.created_at")),
        "stopped": _plain("stopped", "text", _channels("source.stop_mask")),
        "lists": _plain("lists", "texts", lists, usual=False),
    }
    for field in fields.all(tx, account_id):
        name = field.name
        while name in choices:  # a field may be called `id`
            name += " (field)"
        choices[name] = _Choice(_of_field(name, field, safe), field.is_visible)
    return choices


def _of_stops(tx: Transaction) -> dict[str, _Choice]:
    return {
        "phone": _plain("phone", "integer", "source.phone"),
        "channels": _plain("channels", "text", _channels("source.mask")),
        "created_at": _plain("created_at", "moment", tx.iso("source.created_at")),
        "id": _plain("id", "integer", "source.row_id", usual=False),
    }


def _plain(name: str, kind: Kind, sql: str, *, usual: bool = True) -> _Choice:
    return _Choice(ExportColumn(name, name, kind, sql), usual)


def _of_field(name: str, field: Field, safe: bool) -> ExportColumn:
    value, shown = "field_value.value", name
    params: dict[str, object] = {f"field_{field.id}": field.id}
    if safe:
        shown = formulas.marked(name)
    if safe and field.type == "text":
        value, more = formulas.marked_in_sql(value)
        params |= more
    sql = f"""
        (SELECT {value} FROM field_value
         WHERE field_value.account_id = :account_id AND field_value.contact_id = source.id
           AND field_value.field_id = :field_{field.id})
    """
    return ExportColumn(name, shown, "text", sql, params)


def _channels(mask: str) -> str:
    """SQL: the comma-separated names of the channels in a mask; NULL for none."""
    names = [_named(number) for number in range(1 << len(CHANNELS))]
    cases = " ".join(f"WHEN {number} THEN '{','.join(on)}'" for number, on in enumerate(names) if on)
    return f"CASE {mask} WHEN 0 THEN NULL {cases} END"


def _named(mask: int) -> Sequence[str]:
    return [channel for channel, bit in CHANNELS.items() if mask & bit]
