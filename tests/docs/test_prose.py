"""Commands, flags, settings and routes that pages name in their sentences exist; sessions are run by test_sessions.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rollbook import config
from rollbook.api.app import ROUTES
from rollbook.cli import rollbook_command
from tests import cluster
from tests.docs import generate
from tests.docs.generate import ROOT
from tests.docs.test_sessions import PAGES

READ = [*PAGES, ROOT / "SECURITY.md"]

FLAGS = {
    option
    for _, command in generate.all_commands()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {config.flag(setting.name) for setting, _ in config.all_settings()}

OF_OTHERS = {
    "openapi.json": {"--path"},  # openapi-python-client
    "requirements/runtime.txt": {"--require-hashes"},  # pip
}
"""Flags of other programs, by a word that stands beside them."""


def spans(text: str) -> Iterator[str]:
    """What is marked as code within sentences, and the lines of `sh` blocks, which need root."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        yield " ".join(span.split())


def unknown_in(command_line: str) -> list[str]:
    """What a command line of rollbook names that it does not have."""
    command: click.Command = rollbook_command
    unknown = []
    for word in command_line.split()[1:]:
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            found = command.commands.get(word)
            if found is None:
                return [word]
            command = found
        elif word.startswith("--"):
            names = {name for part in command.params for name in (*part.opts, *part.secondary_opts)}
            unknown += [] if word.split("=")[0] in names else [word]
    return unknown


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_commands_that_a_page_names_exist_with_their_flags(page: Path) -> None:
    for span in spans(page.read_text("utf-8")):
        if "..." in span:  # a text of an error, with something left out
            continue
        for line in re.findall(r"(?:^(?:as-)?|/bin/)(rollbook (?!-)[^|;]*)", span):
            assert unknown_in(line) == [], span


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_flags_that_a_page_names_exist(page: Path) -> None:
    for span in spans(page.read_text("utf-8")):
        others = {flag for word, flags in OF_OTHERS.items() if word in span for flag in flags}
        if span.startswith("--"):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)) <= FLAGS | others, span


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_variables_that_a_page_names_are_settings(page: Path) -> None:
    known = {config.variable(setting) for setting, _ in config.all_settings()} | {
        "ROLLBOOK_NAME",
        cluster.VARIABLE,
    }
    found = re.findall(r"(?<![\w])ROLLBOOK_[A-Z_]+", page.read_text("utf-8"))
    assert set(found) - {name for name in found if name.endswith("_")} <= known


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_routes_that_a_page_names_exist(page: Path) -> None:
    known = {(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES}
    for span in spans(page.read_text("utf-8")):
        found = re.match(r"(GET|POST|PUT|PATCH|DELETE) (/api/[\w/{}-]+)", span)
        if found:
            assert (found[1], re.sub(r"\{\w+\}", "{}", found[2])) in known, span


def test_what_does_not_exist_is_found_out() -> None:
    assert unknown_in("rollbook exprot --all") == ["exprot"]
    assert unknown_in("rollbook export --evrything -o FILE") == ["--evrything"]
    assert unknown_in("rollbook account wipe-sandbox NAME --yes") == []
