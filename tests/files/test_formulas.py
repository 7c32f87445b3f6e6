"""Texts that a spreadsheet would run as a formula are marked, and come back as they were."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from rollbook.db import Database, Transaction
from rollbook.files import formulas
from rollbook.files.formulas import csv_pieces, guarded, marked, unmarked

TEXTS: Mapping[str, str] = {
    "": "",
    "plain": "plain",
    "a=b": "a=b",
    "O'Neill": "O'Neill",
    "'quoted'": "'quoted'",
    "=1+1": "'=1+1",
    "+380 00": "'+380 00",
    "-1": "'-1",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\t=1",
    "\r=1": "'\r=1",
    "\n=1": "'\n=1",
    "＝1": "'＝1",
    "＠a": "'＠a",
    "  =1": "'  =1",
    "\xa0=1": "'\xa0=1",
    "'=1": "''=1",
    "''=1": "'''=1",
    "' =1": "'' =1",
    "'": "'",
    "[1]": "[1]",
    "\\=1": "\\=1",
    "^=1": "^=1",
    "]=1": "]=1",
}
"""Each with what it looks like when it is marked."""


@pytest.mark.parametrize(("text", "shown"), TEXTS.items(), ids=[ascii(text) for text in TEXTS])
def test_a_text_is_marked_and_comes_back(text: str, shown: str) -> None:
    assert marked(text) == shown
    assert unmarked(shown) == text


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_what_is_guarded_is_safe_and_read_as_before(text: str) -> None:
    shown = guarded(text)
    assert not shown.strip().startswith(formulas.STARTS)
    assert unmarked(shown) == unmarked(text)
    assert guarded(shown) == shown


def test_a_column_is_treated_as_its_texts_are_one_by_one() -> None:
    shown = pa.array([*TEXTS.values(), None])
    assert formulas.unmarked_column(shown).to_pylist() == [*TEXTS, None]
    cells = pa.array([*TEXTS, None])
    assert formulas.guarded_column(cells).to_pylist() == [*map(guarded, TEXTS), None]


def test_a_database_marks_as_a_column_does(db: Database) -> None:
    sql, params = formulas.marked_in_sql("CAST(:text AS TEXT)")

    def shown(tx: Transaction, text: str) -> str | None:
        return tx.one(str, f"SELECT {sql}", text=text, **params)

    for text in TEXTS:
        assert db.read(shown, text) == TEXTS[text]


def test_a_file_is_read_without_marks(tmp_path: Path) -> None:
    path = tmp_path / "marked.csv"
    rows = [[str(number), shown, "x" * 200_000] for number, shown in enumerate(TEXTS.values())]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["phone", "text", "long"], *rows])
    plain = io.StringIO(b"".join(csv_pieces(path, raw=True)).decode(), newline="")
    assert [row[1] for row in csv.reader(plain)][1:] == [*TEXTS]
