"""Options: each said once, checked once, and spelled by the edge that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec
import pytest

from rollbook.api import openapi
from rollbook.api.app import ROUTES
from rollbook.api.query import FILE
from rollbook.cli import rollbook_command
from rollbook.files import FileOptions
from rollbook.files.options import GOES_WITH, READING
from rollbook.imports.spec import OPTIONS, ImportSpec, spec_of
from rollbook.options import Option, as_flags, as_parameters, mention, values
from rollbook.texts import visible

SPELLED: Sequence[tuple[str, str, str]] = [
    (mention("sheet"), "--sheet", "sheet"),
    (mention("sheet", "Q1 'new'"), "--sheet 'Q1 '\"'\"'new'\"'\"''", "sheet=Q1 'new'"),
    (mention("header", "false"), "--no-header", "header=false"),
    (mention("create_fields", "true"), "--create-fields", "create_fields=true"),
    (f"Say {mention('map', 'A=phone')} or {mention('skip_rows', '3')}.",
     "Say --map A=phone or --skip-rows 3.", "Say map=A=phone or skip_rows=3."),
    (mention("sheet", mention("x")), "--sheet x", "sheet=x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "flags", "parameters"), SPELLED, ids=[each[2] for each in SPELLED])
def test_an_option_is_spelled_for_whoever_reads_it(text: str, flags: str, parameters: str) -> None:
    assert (as_flags(text), as_parameters(text)) == (flags, parameters)


def test_every_command_that_reads_files_has_the_same_reading_flags() -> None:
    commands = {"import": rollbook_command.commands["import"]}
    numbers = rollbook_command.commands["numbers"]
    assert isinstance(numbers, click.Group)
    commands["numbers check"] = numbers.commands["check"]
    for name, command in commands.items():
        flags = {flag: param for param in command.params for flag in param.opts}
        for option in (*READING, *(each for each in OPTIONS if each.name == "region")):
            assert option.flag in flags, f"{name} lacks {option.flag}"
            kind = flags[option.flag].type
            assert not isinstance(kind, click.Choice) or tuple(kind.choices) == option.choices


def test_the_document_and_the_help_spell_options() -> None:
    about = [json.dumps(openapi.document(ROUTES), ensure_ascii=False)]
    commands: list[tuple[str, click.Command]] = [("rollbook", rollbook_command)]
    while commands:
        name, command = commands.pop()
        about.append(command.get_help(click.Context(command, info_name=name)))
        commands += command.commands.items() if isinstance(command, click.Group) else ()
    assert len(about) > 15
    assert not [text for text in about if visible(text, lines=True) != text]


def test_what_can_be_said_of_reading_is_what_a_reader_and_an_import_take() -> None:
    assert {option.name for option in READING} == {
        field.name for field in msgspec.structs.fields(FileOptions)
    }
    assert {option.name for option in READING} == {"format", *GOES_WITH}


def test_each_part_of_a_spec_is_an_option_with_the_same_default() -> None:
    unsaid = ImportSpec()
    by_name = {option.name: option for option in OPTIONS}
    parts = {field.name for field in msgspec.structs.fields(ImportSpec)} - {"list", "columns"}
    assert {name: by_name[name].absent for name in parts} == {name: getattr(unsaid, name) for name in parts}
    assert set(by_name) - parts == {"list", "list_id", "map", "filename"}


@pytest.mark.parametrize("option", OPTIONS, ids=[f"{each.name}-{'-'.join(each.edges)}" for each in OPTIONS])
def test_an_option_of_an_import_is_at_each_edge_what_the_table_says(option: Option) -> None:
    if "cli" in option.edges:
        [flag] = [each for each in rollbook_command.commands["import"].params if option.flag in each.opts]
        assert isinstance(flag, click.Option)
        assert (flag.name, flag.help, flag.multiple) == (option.name, as_flags(option.about), option.many)
        if option.kind not in ("switch", "either"):  # these are flags without a value
            with pytest.raises(click.BadParameter) as refused:
                rollbook_command.commands["import"].make_context("import", ["FILE", f"{option.flag}="])
            assert refused.value.param is not None
            assert refused.value.param.name == option.name
    if "http" in option.edges:
        post = openapi.document(ROUTES)["paths"]["/api/imports"]["post"]
        [parameter] = [each for each in post["parameters"] if each["name"].removesuffix("[]") == option.name]
        assert (parameter["in"], parameter["description"]) == ("query", as_parameters(option.about))
        assert parameter["schema"] == option.schema
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        assert form[option.name] == option.schema
        _, [problem] = values(FILE.options, {option.name: ["", ""]})
        assert problem.field == option.name


def test_the_document_has_no_other_option_of_an_import() -> None:
    post = openapi.document(ROUTES)["paths"]["/api/imports"]["post"]
    names = {each["name"].removesuffix("[]") for each in post["parameters"] if each["in"] == "query"}
    assert names == {option.name for option in OPTIONS if "http" in option.edges}
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {"file", *names}


def test_every_option_takes_what_it_says_and_nothing_empty() -> None:
    for option in OPTIONS:
        assert option.about.endswith("."), option.name
        with pytest.raises(ValueError, match=f"The {option.name} is empty: it takes .+"):
            option.value("")
        for word in option.choices:
            option.value(word)


def test_defaults_make_the_spec_that_says_nothing() -> None:
    found, problems = values(FILE.options, {})
    assert problems == []
    assert spec_of(found, list=None) == ImportSpec()


NUMBER = Option("skip_rows", "Rows.", "number", low=1)
NUMBERS: Mapping[str, Any] = {
    "1": 1,
    " 12 ": 12,
    "0": None,
    "-1": None,
    "1.5": None,
    "٣": None,
    "9" * 16: None,
}


@pytest.mark.parametrize(("text", "value"), NUMBERS.items(), ids=[ascii(text) for text in NUMBERS])
def test_a_whole_number(text: str, value: int | None) -> None:
    found, problems = values([NUMBER], {"skip_rows": [text]})
    assert found["skip_rows"] == value
    told = f"The skip_rows must be a whole number of at least 1, not {text!r}."
    assert [problem.message for problem in problems] == ([told] if value is None else [])
