"""The queries of requests: the name, meaning, schema and reader of every parameter, in one place. The routes,
the OpenAPI document and the check for unknown parameters are made from it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from rollbook import channels, exports, search
from rollbook.api import wire
from rollbook.channels import CHANNELS
from rollbook.errors import Invalid, Problem
from rollbook.exports.columns import named
from rollbook.files.formulas import BOM, SAFE
from rollbook.imports.spec import OPTIONS as OPTIONS_OF_IMPORTS
from rollbook.options import Option, as_parameters, values
from rollbook.search import COMPARISONS, TEXTUAL, Column, Criterion, PageRequest, Search

Params = Mapping[str, Any]
"""A query, percent-decoded; a repeated name has a list."""

PAGE_LIMIT_MIN = 15
PAGE_LIMIT_MAX = 500

CRITERIA_MAX = 30
"""The criteria of one search. PostgreSQL plans 30 on contact fields in 60 ms, 100 in 2 s; SQLite allows fewer
than 1,000."""

_PLACE_OR_NONE = re.compile(r"(\[\d*\])?")
_ARRAY = re.compile(r"\[\d*\]$")
_CRITERION = re.compile(r"(search|search_fields\[(\d+)\])\[(field|operator|operation|value)\]")
_ANY_CRITERION = re.compile(r"(search|search_fields)(\[\d+\])?\[(field|operator|operation|value)\]")
_WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)


def parameter(place: str, name: str, about: str, **schema: Any) -> dict[str, Any]:
    """A parameter in the form of OpenAPI; `schema` is the schema of its value."""
    return {"name": name, "in": place, "description": as_parameters(about), "schema": schema}


class Query(ABC):
    """The query of a route."""

    columns: Mapping[str, Column] = MappingProxyType({})
    """The columns that a search may name."""
    refused: Params = MappingProxyType({})
    """A query that it refuses, as an example of an error."""

    @abstractmethod
    def parameters(self) -> Iterator[dict[str, Any]]:
        """Its parameters in the form of OpenAPI."""

    @abstractmethod
    def read(self, params: Params) -> Any:
        """The values of a query.

        Raises:
            Invalid: naming everything that is wrong.
        """


class StrictQuery(Query):
    """The query of a route of rollbook's own: unknown options are refused."""

    refused = MappingProxyType({"lists": "1"})

    def __init__(self, *options: Option) -> None:
        self.options = options
        self._many = {option.name for option in options if option.many}

    def parameters(self) -> Iterator[dict[str, Any]]:
        for option in self.options:
            yield parameter("query", option.name, option.about, **option.schema)

    def read(self, params: Params) -> Mapping[str, Any]:
        """The value of every option.

        Raises:
            Invalid: naming every option that is unknown, is empty, is repeated where only one is allowed, or
                has a value that is not valid.
        """
        given: dict[str, list[str]] = {}
        for key, value in params.items():
            name = base if (base := _ARRAY.sub("", key)) in self._many else key
            given.setdefault(name, []).extend(value if isinstance(value, list) else [value])
        found, problems = values(self.options, given)
        if problems:
            raise Invalid(problems)
        return found


class LenientQuery(Query):
    """The query of a route of the vendor's, which by contract ignores unknown parameters."""

    def __init__(self, *parts: Part) -> None:
        self._parts = parts
        self.names = tuple(name for part in parts for name in part.names)
        for part in parts:
            self.columns = self.columns or part.columns
            self.refused = self.refused or part.refused

    def parameters(self) -> Iterator[dict[str, Any]]:
        for part in self._parts:
            yield from part.parameters()

    def read(self, params: Params) -> tuple[Any, ...]:
        """The value of each of its parts."""
        problems: list[Problem] = []
        found = tuple(part.read(params, problems) for part in self._parts)
        if problems:
            raise Invalid(problems)
        return found

    def unknown(self, params: Params) -> Iterator[str]:
        """The parameters of a query that are ignored."""
        for key in params:
            name = _ARRAY.sub("", key)
            criterion = _ANY_CRITERION.fullmatch(key)
            if criterion:
                name = criterion[1]
            if key not in self.names and name not in self.names:
                yield key


class Part(ABC):
    """A part of a lenient query.

    Args:
        names: the names of its parameters, without the brackets of arrays and criteria.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Column] = MappingProxyType({})
    refused: Params = MappingProxyType({})

    @abstractmethod
    def parameters(self) -> Iterator[dict[str, Any]]:
        """See `Query.parameters`."""

    @abstractmethod
    def read(self, params: Params, problems: list[Problem]) -> Any:
        """Its value; faults are added to `problems`."""


class Paging(Part):
    """`page[offset]`, `page[limit]` and `page[after]`: a `PageRequest`.

    Args:
        limit: the default of `page[limit]`.
    """

    names = ("page[offset]", "page[limit]", "page[after]")
    refused = MappingProxyType({"page[limit]": "1", "page[offset]": "-1"})

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def parameters(self) -> Iterator[dict[str, Any]]:
        whole: dict[str, Any] = {"type": "integer", "maximum": search.ID_MAX}
        offset, limit, after = self.names
        yield parameter("query", offset, "Items to skip.", minimum=0, default=0, **whole)
        bounds = {"minimum": PAGE_LIMIT_MIN, "maximum": PAGE_LIMIT_MAX, "default": self._limit}
        yield parameter("query", limit, "Items on a page.", type="integer", **bounds)
        what = "The `next` of the page before, instead of `page[offset]`."
        yield parameter("query", after, what, minimum=0, **whole)

    def read(self, params: Params, problems: list[Problem]) -> PageRequest:
        offset = _number(params, "page[offset]", 0, 0, search.ID_MAX, problems)
        limit = _number(params, "page[limit]", self._limit, PAGE_LIMIT_MIN, PAGE_LIMIT_MAX, problems)
        after = _number(params, "page[after]", 0, 0, search.ID_MAX, problems)
        if after and offset:
            problems.append(Problem("page[after]", "The page[after] does not go with a page[offset]."))
        return PageRequest(limit, offset, after or None)


class Searching(Part):
    """A page, its order, and the criteria, all of which must hold: a `Search`.

    Args:
        columns: the columns that can be searched and sorted by.
        limit: the default of `page[limit]`.
        takes_fields: whether the ids of the account's fields can be searched by too; only the core knows
            those.
    """

    names = (*Paging.names, "sort", "way", "search", "search_fields")
    refused = MappingProxyType({"page[limit]": "1", "sort": "phase"})

    def __init__(self, columns: Mapping[str, Column], limit: int, *, takes_fields: bool = False) -> None:
        self.columns = columns
        self._sortable = {name: column for name, column in columns.items() if column.sortable}
        self._paging = Paging(limit)
        self._takes_fields = takes_fields

    def parameters(self) -> Iterator[dict[str, Any]]:
        yield from self._paging.parameters()
        what = f"What to sort by; by default by id, newest first.{_aliases(self._sortable)}"
        yield parameter("query", "sort", what, type="string", enum=_names(self._sortable))
        what = "Ascending or descending; ascending if only `sort` is given."
        yield parameter("query", "way", what, type="string", enum=["asc", "desc"])
        yield from self._criterion("search", "")
        yield from self._criterion("search_fields[0]", " More as [1], [2] and so on: all must hold.")

    def _criterion(self, name: str, more: str) -> Iterator[dict[str, Any]]:
        columns = self.columns
        operators = list(
            dict.fromkeys(operator for column in columns.values() for operator in column.operators)
        )
        known = "; ".join(f"{field}: {' '.join(column.operators)}" for field, column in columns.items())
        what = f"The field of a criterion.{_aliases(columns)}{more}"
        if self._takes_fields:
            known += (
                f"; id of a text field: {' '.join(TEXTUAL)}; of a number or date field: "
                f"{' '.join(COMPARISONS)}"
            )
            what += " The id of a contact field is one too."
            pattern = f"^({'|'.join(_names(columns))}|[0-9]{{1,16}})$"
            yield parameter("query", f"{name}[field]", what, type="string", pattern=pattern)
        else:
            yield parameter("query", f"{name}[field]", what, type="string", enum=_names(columns))
        what = (
            f"How it compares, also as `{name}[operation]`; `like` finds part of a text in any case. {known}."
        )
        # No schema default: a page for trying the API would send it, and an operator without a field is 422.
        what += " Without it `=`."
        yield parameter("query", f"{name}[operator]", what, type="string", enum=operators)
        what = "The value to compare with; `%` and `_` have no special meaning."
        yield parameter("query", f"{name}[value]", what, type="string")

    def read(self, params: Params, problems: list[Problem]) -> Search:
        page = self._paging.read(params, problems)
        criteria = self._criteria(params, problems)
        sort = _text(params, "sort")
        way = (_text(params, "way") or ("asc" if sort else "desc")).lower()
        if way not in ("asc", "desc"):
            problems.append(Problem("way", "The way must be asc or desc."))
        sorting = search.canonical(self._sortable, sort or "id")
        if sorting is None:
            problems.append(Problem("sort", f"The sort must be one of {', '.join(self._sortable)}."))
        return Search(tuple(criteria), sorting or "id", way == "desc", page)

    def _criteria(self, params: Params, problems: list[Problem]) -> list[Criterion]:
        given: dict[str, dict[str, str]] = {}
        for name in params:
            match = _CRITERION.fullmatch(name)
            if match:
                part = "operator" if match[3] == "operation" else match[3]
                given.setdefault(match[1], {})[part] = _text(params, name)
        criteria = []
        for name in sorted(given, key=lambda name: (len(name), name)):
            parts = given[name]
            if not any(parts.values()):
                continue
            if not parts.get("field"):
                problems.append(Problem(f"{name}[field]", f"The {name}[field] is required."))
                continue
            if "value" not in parts:
                problems.append(Problem(f"{name}[value]", f"The {name}[value] is required."))
                continue
            operator = (parts.get("operator") or "=").lower()
            criteria.append(self._read(Criterion(parts["field"], operator, parts["value"], name), problems))
        if len(criteria) > CRITERIA_MAX:
            most = f"The search_fields may not be more than {CRITERIA_MAX}."
            problems.append(Problem("search_fields", most))
        return criteria

    def _read(self, criterion: Criterion, problems: list[Problem]) -> Criterion:
        """A criterion, with its value read unless only the core can do that, which knows the account's
        fields."""
        known = search.canonical(self.columns, criterion.field)
        if self._takes_fields and known is None and wire.id_in_path(criterion.field):
            return criterion
        try:
            others = ", or the id of a contact field" if self._takes_fields else ""
            return search.condition(self.columns, criterion, others=others)
        except Invalid as error:
            problems += error.problems
            return criterion


class Ids(Part):
    """A list of ids: `name[]=1&name[]=2`, `name[0]=1&name[1]=2`, or `name=1`.

    Args:
        most: the largest number of ids.
    """

    def __init__(self, name: str, about: str, most: int) -> None:
        self.names = (name,)
        self._name = name
        self._about = about
        self._most = most

    def parameters(self) -> Iterator[dict[str, Any]]:
        ids = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": search.ID_MAX}}
        yield parameter("query", f"{self._name}[]", self._about, **ids)

    def given(self, params: Params) -> list[str]:
        """The texts that are not blank."""
        found: list[str] = []
        for key, value in params.items():
            if key.startswith(self._name) and _PLACE_OR_NONE.fullmatch(key, len(self._name)):
                found += value if isinstance(value, list) else [value]
        return [text for text in found if text.strip()]

    def read(
        self, params: Params, problems: list[Problem], besides: Sequence[int | str] | None = None
    ) -> list[int]:
        """The ids, each once.

        Args:
            besides: ids from the body.
        """
        texts = [*self.given(params), *(besides or ())]
        return wire.ids_of(texts, self._name, 0, self._most, problems)


class Channel(Part):
    """`type`, or `types`: one channel; "" for none."""

    names = ("type", "types")

    def parameters(self) -> Iterator[dict[str, Any]]:
        yield parameter("query", "type", "Only rows of this channel.", type="string", enum=[*CHANNELS])

    def read(self, params: Params, problems: list[Problem]) -> str:
        channel = (_text(params, "type") or _text(params, "types")).strip()
        if channel:
            try:
                [channel] = channels.parse([channel], called="type")
            except ValueError as error:
                problems.append(Problem("type", str(error)))
        return channel


class ListId(Part):
    """`contact_group_id`: the id of a list, or `None`."""

    names = ("contact_group_id",)

    def parameters(self) -> Iterator[dict[str, Any]]:
        about = "Only phones of contacts in that list."
        yield parameter("query", "contact_group_id", about, minimum=1, type="integer", maximum=search.ID_MAX)

    def read(self, params: Params, problems: list[Problem]) -> int | None:
        text = _text(params, "contact_group_id").strip()
        list_id = wire.id_of(text) if text else None
        if text and list_id is None:
            problems.append(Problem("contact_group_id", "The contact_group_id must be an id."))
        return list_id


def _columns_named(text: str) -> tuple[str, ...]:
    names = named([text])
    if not all(name.strip() for name in names):
        raise ValueError("The columns are comma-separated names; one of them is empty.")
    return names


def _channels(name: str, about: str) -> Option:
    return Option(
        name,
        about,
        takes=f"some of {', '.join(CHANNELS)}",
        read=partial(channels.parse, called=name),
        many=True,
        choices=tuple(CHANNELS),
    )


_EXPORT = (
    Option("format", "Of the file.", "choice", choices=exports.FORMATS, default="csv"),
    Option(
        "compress",
        "Compress a csv or jsonl file; it is then a .gz or .zst file, not an encoding of the answer.",
        "choice",
        choices=tuple(exports.COMPRESSIONS),
    ),
    Option(
        "columns",
        "Which columns, in this order, comma-separated; put a name that has a comma in quotation marks.",
        takes="names of columns",
        read=_columns_named,
    ),
    SAFE,
    BOM,
)
_EXPORT_OF_CONTACTS = (
    *_EXPORT,
    Option("with_lists", "Include the names of each contact's lists.", "switch"),
)
_IMPORT_LIMIT = 25

NOTHING = StrictQuery()
"""The query of a route of rollbook's own without options."""
IGNORED = LenientQuery()
"""The query of a route of the vendor's without parameters."""
AUDIENCE = StrictQuery(*_EXPORT_OF_CONTACTS)
CONTACTS = StrictQuery(
    *_EXPORT_OF_CONTACTS,
    _channels("reachable", "Only contacts that are not stopped on any of these channels, comma-separated."),
    _channels("stopped", "Only contacts that are stopped on any of these channels, comma-separated."),
)
STOPS = StrictQuery(*_EXPORT, _channels("type", "Only rows of any of these channels, comma-separated."))
"""The options of exports."""

FILE = StrictQuery(*(option for option in OPTIONS_OF_IMPORTS if "http" in option.edges))
"""The options of a file in a request; a form may have the same options as parts."""
FORM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The file, and whatever the query could say of it.",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        **{option.name: dict(option.schema) for option in FILE.options},
    },
    "required": ["file"],
}
"""The schema of a form with a file."""
IMPORTS = StrictQuery(
    Option(
        "page[limit]",
        "Imports on a page.",
        "number",
        low=PAGE_LIMIT_MIN,
        high=PAGE_LIMIT_MAX,
        default=_IMPORT_LIMIT,
    ),
    Option("page[after]", "The `next` of the page before.", "number"),
)
REJECTS = StrictQuery(SAFE, BOM)


def _names(columns: Mapping[str, Column]) -> list[str]:
    return [*columns, *(alias for column in columns.values() for alias in column.aliases)]


def _aliases(columns: Mapping[str, Column]) -> str:
    return "".join(
        f" `{alias}` means `{name}`." for name, column in columns.items() for alias in column.aliases
    )


def _text(params: Params, name: str) -> str:
    """A query parameter; the last one when it is repeated, "" when it is not there."""
    value = params.get(name, "")
    return str(value[-1] if isinstance(value, list) else value)


def _number(params: Params, name: str, default: int, low: int, high: int, problems: list[Problem]) -> int:
    text = _text(params, name).strip()
    if not text:
        return default
    if not _WHOLE.fullmatch(text):
        problems.append(Problem(name, f"The {name} must be a whole number."))
    elif int(text) < low:
        problems.append(Problem(name, f"The {name} must be at least {low}."))
    elif int(text) > high:
        problems.append(Problem(name, f"The {name} may not be greater than {high}."))
    else:
        return int(text)
    return default
