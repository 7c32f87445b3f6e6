"""The texts that the page on errors explains are texts of the code."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.generate import ROOT, all_modules

PAGE = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text("utf-8")

TEXTS = [text for text in re.findall(r"^\|(?: \d{3} \|)? `([^`]+)` \|", PAGE, re.MULTILINE) if " " in text]
"""The first text of each row."""

VALUE = "\0"
"""Stands in a literal for what is put into it."""


def literals() -> str:
    """Every text of the package as it stands in the code, one a line."""
    found = []
    for module in all_modules():
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else VALUE for part in node.values]
                found.append("".join(map(str, parts)))
    return "\n".join(text.replace("\n", " ") for text in found)


LITERALS = literals()


def test_the_page_explains_errors_of_each_kind() -> None:
    assert len(TEXTS) > 30
    assert len(set(TEXTS)) == len(TEXTS)
    for status in (400, 401, 403, 422, 429, 500, 503, 507):
        assert f"| {status} | `" in PAGE, status


@pytest.mark.parametrize("text", TEXTS)
def test_each_text_is_one_of_the_code(text: str) -> None:
    pieces = [piece for piece in text.split("...") if piece.strip()]
    assert max(map(len, pieces)) >= 10, "too little to find it by"
    pattern = "[^\n]*".join(map(re.escape, pieces))
    assert re.search(pattern, LITERALS), text


def test_a_text_that_is_not_in_the_code_is_found_out() -> None:
    assert not re.search(re.escape("There is no such text in the code"), LITERALS)
