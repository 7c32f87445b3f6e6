"""The English of what users read: README, docs, commands, the OpenAPI document, messages; see the words in CONTRIBUTING."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import generate
from tests.docs.generate import ROOT

HABITS = {
    'who or whoever without a noun: name the person ("a contact that", "the operator")': (
        r"\b(?:[Ww]hoever|[Ww]homever)\b"
        r"|(?:^|[.;:] )[Ww]ho (?:is|has|was|are|wants|asks|knows|sends|waits|comes|holds|reads|runs|uses)\b(?![^.;]*\?)"
    ),
    '"is no X": write "is not a X"': (
        r"(?<![Tt]here )\b(?:is|are|was|were|be) no (?!longer\b|more\b|less\b|one\b|way\b|other\b|better\b|faster\b)[a-z]"
    ),
    '"nothing for": say what is refused, and what to do': r"\bnothing for (?:a|an|the)\b(?! (?:minute|second|while|time))",
    '"commas between": write "comma-separated"': r"\bcommas? between (?!thousands\b)",
    '"mend": write "fix", "repair" or "correct"': r"\b[Mm]end(?:s|ed|ing)?\b",
    '"what the facts say": say what is correct': r"\bfacts say\b",
    '"is told": write "is reported", "is recognized", "gets"': r"\b(?:is|are|was|were|be|been) told\b",
    '"goes along": write "is included"': r"\bgo(?:es)? along\b",
    '"is meant": say what applies': r"\b(?:is|are|was|were) meant\b",
    'a plural in brackets: write "1 account", "2 accounts" (texts.counted)': r"\w\(s\)",
}
"""What reads as translated, and what to write instead."""

PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if path.name not in ("CONTRIBUTING.md", "CHANGELOG.md", "modules.md") and path.parent.name != "decisions"
)


def faults(text: str) -> list[str]:
    """The habits in a text, each with the words around it."""
    text = " ".join(text.split())
    return [
        f"{advice}: ...{text[max(0, found.start() - 30) : found.end() + 30]}..."
        for advice, habit in HABITS.items()
        for found in re.finditer(habit, text)
    ]


def messages(source: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module that are not docstrings. Those of commands and handlers are in the reference pages."""
    tree = ast.parse(source.read_text("utf-8"))
    silent = {
        id(body[0].value)
        for node in ast.walk(tree)
        if isinstance(body := getattr(node, "body", None), list) and body and isinstance(body[0], ast.Expr)
    }
    silent |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.lineno, node.value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_read_as_english(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`|(?<=\])\([^)\s]+\)", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert not [fault for paragraph in re.split(r"\n\s*\n|\n\|", text) for fault in faults(paragraph)]


def test_messages_read_as_english() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in generate.all_modules()
        for line, text in messages(path)
        for fault in faults(text)
    ]


@pytest.mark.parametrize(
    ("text", "is_fine"),
    [
        ("Whoever is in already stays.", False),
        ("who is in already. Who is not in stays out.", False),
        ("Existing members are left alone.", True),
        ("This is no text.", False),
        ("There is no list 'Customers'; it is no longer there.", True),
        ("This is nothing for a terminal.", False),
        ("A client that takes nothing for a minute is ended.", True),
        ("Names with commas between them.", False),
        ("Mended.", False),
        ("Every count is what the facts say.", False),
        ("The caller is told so.", False),
        ("The names go along.", False),
        ("A repetition that is meant.", False),
        ("All counts in 2 account(s) are correct.", False),
        ("All counts in 2 accounts are correct.", True),
    ],
)
def test_the_habits_are_found(text: str, is_fine: bool) -> None:
    assert (not faults(text)) is is_fine
