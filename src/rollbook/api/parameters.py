"""The parameters of requests, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rollbook import idempotency, search
from rollbook.api import wire
from rollbook.channels import CHANNELS
from rollbook.options import as_parameters
from rollbook.search import COMPARISONS, TEXTUAL


def parameter(place: str, name: str, about: str, **schema: Any) -> dict[str, Any]:
    """A parameter as OpenAPI writes it; `schema` is the schema of its value."""
    return {"name": name, "in": place, "description": as_parameters(about), "schema": schema}


ID = parameter(
    "path", "id", "The id that creating it answered.", type="integer", minimum=1, maximum=search.ID_MAX
) | {"required": True}
PREFER = parameter(
    "header", "Prefer", "`dates=rfc3339` makes the dates of this answer RFC 3339.", type="string"
)
PREFER_OF_CONTACTS = parameter(
    "header",
    "Prefer",
    "`dates=rfc3339` makes the dates of this answer RFC 3339; `fields=object` or `fields=list` chooses the "
    "form of a contact's fields.",
    type="string",
)
IDEMPOTENCY_KEY = parameter(
    "header",
    "Idempotency-Key",
    "Any text of yours, such as a UUID; for 24 hours the same key replays the first answer.",
    type="string",
    pattern=f"^[!-~]{{1,{idempotency.KEY_LENGTH_MAX}}}$",
)


ARRAYS = {
    "groups": "Only contacts of any of these lists.",
    "contact_ids": "Contacts to delete.",
    "group_ids": "Lists whose contacts are deleted.",
}
"""Query parameters that are lists of ids, and what they say."""


def of_query(
    name: str, columns: Mapping[str, search.Column], limit: int, *, takes_fields: bool
) -> Iterator[dict[str, Any]]:
    """The parameters that a name in a route's `query` stands for.

    Args:
        columns: what the route searches and sorts by.
        limit: `page[limit]` when the caller does not say.
        takes_fields: ids of the account's fields are searched by too.
    """
    whole: dict[str, Any] = {"type": "integer", "maximum": search.ID_MAX}
    if name == "page[offset]":
        yield parameter("query", name, "Items to skip.", minimum=0, default=0, **whole)
    elif name == "page[limit]":
        bounds = {"minimum": wire.PAGE_LIMIT_MIN, "maximum": wire.PAGE_LIMIT_MAX, "default": limit}
        yield parameter("query", name, "Items on a page.", type="integer", **bounds)
    elif name == "page[after]":
        what = "The `next` of the page before, instead of `page[offset]`."
        yield parameter("query", name, what, minimum=0, **whole)
    elif name == "sort":
        sortable = {name: column for name, column in columns.items() if column.sortable}
        what = f"What to sort by; by default by id, newest first.{_aliases(sortable)}"
        yield parameter("query", name, what, type="string", enum=_names(sortable))
    elif name == "way":
        what = "Ascending or descending; ascending if only `sort` is given."
        yield parameter("query", name, what, type="string", enum=["asc", "desc"])
    elif name == "search":
        yield from _criterion("search", "", columns, takes_fields)
    elif name == "search_fields":
        more = " More as [1], [2] and so on: all must hold."
        yield from _criterion("search_fields[0]", more, columns, takes_fields)
    elif name in ARRAYS:
        ids = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": search.ID_MAX}}
        yield parameter("query", f"{name}[]", ARRAYS[name], **ids)
    elif name == "type":
        yield parameter("query", name, "Only rows of this channel.", type="string", enum=[*CHANNELS])
    elif name == "contact_group_id":
        what = "Only phones of contacts in that list."
        yield parameter("query", name, what, minimum=1, **whole)
    else:
        raise ValueError(f"The query parameter {name} has no description.")


def _criterion(
    name: str, more: str, columns: Mapping[str, search.Column], takes_fields: bool
) -> Iterator[dict[str, Any]]:
    operators = list(dict.fromkeys(operator for column in columns.values() for operator in column.operators))
    known = "; ".join(f"{field}: {' '.join(column.operators)}" for field, column in columns.items())
    what = f"The field of a criterion.{_aliases(columns)}{more}"
    if takes_fields:
        known += (
            f"; id of a text field: {' '.join(TEXTUAL)}; of a number or date field: {' '.join(COMPARISONS)}"
        )
        what += " The id of a contact field is one too."
        pattern = f"^({'|'.join(_names(columns))}|[0-9]{{1,16}})$"
        yield parameter("query", f"{name}[field]", what, type="string", pattern=pattern)
    else:
        yield parameter("query", f"{name}[field]", what, type="string", enum=_names(columns))
    what = f"How it compares, also as `{name}[operation]`; `like` finds part of a text in any case. {known}."
    # No schema default: a page to try the API would send it, and an operator without a field is 422.
    yield parameter("query", f"{name}[operator]", f"{what} Without it `=`.", type="string", enum=operators)
    what = "The value to compare with; `%` and `_` have no special meaning."
    yield parameter("query", f"{name}[value]", what, type="string")


def _names(columns: Mapping[str, search.Column]) -> list[str]:
    return [*columns, *(alias for column in columns.values() for alias in column.aliases)]


def _aliases(columns: Mapping[str, search.Column]) -> str:
    return "".join(
        f" `{alias}` means `{name}`." for name, column in columns.items() for alias in column.aliases
    )
