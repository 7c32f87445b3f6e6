"""The options of an import: each defined once, and the spec that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import msgspec

from rollbook import channels, lists, phones
from rollbook.channels import CHANNELS
from rollbook.errors import Invalid, Problem
from rollbook.files import FileOptions
from rollbook.files.options import READING, contradictions
from rollbook.options import Option, mention

Mode = Literal["add", "update", "replace"]
PhoneCheck = Literal["valid", "possible"]


class ImportSpec(FileOptions, frozen=True, kw_only=True, omit_defaults=True):
    """What to do with a file. Each attribute is the option of `OPTIONS` with the same name, which explains
    and checks it. The exceptions are:

    Args:
        list: the list that the contacts join, by name or (a number) by id. A name that does not exist yet is
            created. `None`: they only go into the book.
        columns: what columns of the file hold, as in the option `map`: for a header, `phone`, the name of a
            field, or "" for nothing. Other columns are guessed.
        all_phones: `None`: true where phones are stopped.
    """

    list: str | int | None = None
    mode: Mode = "add"
    region: str | None = None
    phone_check: PhoneCheck = "valid"
    columns: Mapping[str, str] = {}
    create_fields: bool = False
    all_phones: bool | None = None
    split_phones: bool = False
    stop: tuple[str, ...] = ()
    dry_run: bool = False
    rows: int | None = None
    confirm: bool = False

    @property
    def every_phone(self) -> bool:
        """Whether every phone of a row counts."""
        return bool(self.stop) if self.all_phones is None else self.all_phones

    @property
    def into_book(self) -> bool:
        """Whether it creates contacts, and does not only stop phones."""
        return self.list is not None or not self.stop


def checked(spec: ImportSpec) -> ImportSpec:
    """The same spec, checked.

    Raises:
        Invalid: naming everything in it that is not valid, and options that exclude each other.
    """
    problems = []
    for option in OPTIONS:
        value = getattr(spec, option.name, None)
        if "http" in option.edges and value and isinstance(value, (str, tuple)):
            try:
                option.value_of([value] if isinstance(value, str) else value)
            except (ValueError, Invalid) as error:
                problems.append(Problem(option.name, str(error)))
    problems += contradictions(spec)
    if spec.mode == "replace" and spec.list is None:
        problems.append(
            Problem(
                "mode",
                f"{mention('mode', 'replace')} needs a list whose members to replace: {mention('list')}.",
            )
        )
    if problems:
        raise Invalid(problems)
    return spec


def spec_of(values: Mapping[str, Any], *, list: str | int | None) -> ImportSpec:
    """The spec of an import.

    Args:
        values: the values of `OPTIONS`; those that are not part of a spec are ignored.
        list: the list that the contacts join; see `ImportSpec`.

    Raises:
        Invalid: options exclude each other.
    """
    names = {field.name for field in msgspec.structs.fields(ImportSpec)} - {"list", "columns"}
    chosen = {name: value for name, value in values.items() if name in names}
    return checked(ImportSpec(list=list, columns=_columns(values["map"]), **chosen))


def _columns(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for column, meaning in pairs:
        if columns.setdefault(column, meaning) != meaning:
            raise Invalid([Problem("map", f"The map says two things of the column {column!r}.")])
    return columns


def _pair(text: str) -> tuple[tuple[str, str]]:
    column, equals, meaning = text.rpartition("=")
    if not equals or not column.strip():
        raise ValueError(f"The map must be COLUMN=FIELD, not {text!r}.")
    return ((column, meaning),)


def _list_name(text: str) -> str:
    try:
        return lists.clean_name(text)
    except ValueError as error:
        raise ValueError(f"The list name {error}.") from None


def _list_meant(text: str) -> str:
    return text if lists.ID.fullmatch(text.strip()) else _list_name(text)


_UNSAID = ImportSpec()

REGION = Option(
    "region",
    "Country of numbers without a country code, such as UA (ISO 3166-1).",
    takes="two letters such as UA (ISO 3166-1)",
    read=phones.parse_region,
    metavar="COUNTRY",
)

OPTIONS = (
    Option(
        "list",
        "The list that the contacts join, by name; it is created if it does not exist.",
        takes="the name of a list",
        read=_list_name,
        edges=("http",),
    ),
    Option(
        "list_id",
        "The list that the contacts join, by id.",
        "number",
        takes="the id of a list",
        low=1,
        edges=("http",),
    ),
    Option(
        "list",
        f"The list that the contacts join; it is created if it does not exist. {lists.MEANING}",
        takes="a list",
        read=_list_meant,
        metavar="LIST",
        edges=("cli",),
    ),
    Option(
        "mode",
        "add creates contacts and updates existing ones; update skips phones that are not in "
        "the book; replace also removes members from the list that are not in the file.",
        "choice",
        choices=get_args(Mode),
        default=_UNSAID.mode,
    ),
    REGION,
    Option(
        "phone_check",
        "Accept only valid phones (in a range of the numbering plan), or all of a possible "
        "length, as always with "
        f"{mention('stop')}.",
        "choice",
        choices=get_args(PhoneCheck),
        default=_UNSAID.phone_check,
    ),
    Option(
        "map",
        "What a column holds: phone, the name of a field, or nothing to skip it. May be given "
        "more than once; of several phone columns the first good one counts.",
        takes="COLUMN=FIELD",
        read=_pair,
        many=True,
        metavar="COLUMN=FIELD",
    ),
    Option("create_fields", "Create a text field for every column that has none.", "switch"),
    Option(
        "all_phones",
        "Whether every phone of a row counts, from all phone columns; it does with "
        f"{mention('stop')} is given.",
        "either",
    ),
    Option(
        "split_phones",
        "Take each number of a cell that holds several; otherwise such a row is rejected (two_numbers).",
        "switch",
    ),
    Option(
        "stop",
        f"Put every phone on the stop list of these channels, comma-separated: {', '.join(CHANNELS)}.",
        takes=f"some of {', '.join(CHANNELS)}",
        read=partial(channels.parse, called="stop"),
        many=True,
        choices=tuple(CHANNELS),
        metavar="CHANNELS",
    ),
    Option("dry_run", "Report what would happen, and change nothing.", "switch"),
    Option(
        "rows",
        "How many rows the file must have, including rejected ones; otherwise nothing is imported.",
        "number",
        metavar="NUMBER",
    ),
    Option(
        "confirm",
        f"Do not wait for a confirmation when {mention('mode', 'replace')} takes more than half of the "
        "members out of a list.",
        "switch",
        edges=("http",),
    ),
    *READING,
    Option("filename", "Name of the file, for display.", takes="a name", read=str, edges=("http",)),
)
"""The options of an import. Those that are part of the spec have the names of its attributes."""
