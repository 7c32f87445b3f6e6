"""docs/scale.md invents no figure: each that it cites stands on the page that it links beside it."""

from __future__ import annotations

import re

import pytest

from tests.docs.generate import ROOT

PAGE = ROOT / "docs" / "scale.md"
RESULTS = "../benchmarks/RESULTS.md"
FIGURES_MIN = 24
_CITED = re.compile(r"`([^`\n]*\d[^`\n]*)`")


def missing(text: str) -> list[str]:
    """The cited figures that no page linked in their section has, with the heading of the section."""
    lacking: list[str] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", section)}
        sources = [" ".join((PAGE.parent / target).read_text("utf-8").split()) for target in sorted(linked)]
        heading = section.splitlines()[0]
        cited = _CITED.findall(section)
        lacking += [f"{heading}: {figure}" for figure in cited if not _stands(figure, sources)]
    return lacking


def _stands(figure: str, sources: list[str]) -> bool:
    """Whether one of the texts has the figure, and not only as a part of a longer one."""
    return any(re.search(rf"(?<![\d.,]){re.escape(figure)}(?!\d)", source) for source in sources)


def test_each_figure_that_is_cited_stands_where_it_is_from() -> None:
    text = PAGE.read_text("utf-8")
    assert missing(text) == []
    assert len(_CITED.findall(text)) >= FIGURES_MIN


@pytest.mark.parametrize("figure", ["28,247 ms", "8,246 ms", "28,24"])
def test_a_figure_that_is_not_there_is_found(figure: str) -> None:
    section = f"## One\n\nIt takes `{figure}`, not `28,246 ms` ([benchmarks]({RESULTS})).\n"
    assert missing(section) == [f"One: {figure}"]
