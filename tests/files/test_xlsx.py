from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from rollbook.files import ReadOptions, open_table
from tests.files.reading import read
from tests.length import sized


def workbook(path: Path, rows: Iterable[Iterable[Any]], *, row: int = 0, column: int = 0) -> Path:
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet("People")
    date = book.add_format({"num_format": "yyyy-mm-dd"})
    time = book.add_format({"num_format": "hh:mm:ss"})
    for number, cells in enumerate(rows, row):
        for place, cell in enumerate(cells, column):
            form = {datetime.time: time, datetime.date: date, datetime.datetime: date}.get(type(cell))
            sheet.write(number, place, cell, *([form] if form else []))
    book.close()
    return path


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (380500000001, "380500000001"),
        (380500000001.0, "380500000001"),
        (123456789012345, "123456789012345"),
        (1.5, "1.5"),
        (-7, "-7"),
        (0, "0"),
        (1e20, "100000000000000000000"),
        (0.000001, "0.000001"),
        (True, "true"),
        (False, "false"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.datetime.fromisoformat("2026-01-31T10:30:00"), "2026-01-31T10:30:00"),
        (datetime.time(10, 30), "10:30:00"),
        ("=1+1", "0"),
        ("текст 😀", "текст 😀"),
        ("a\nb", "a\nb"),
        (" spaced ", " spaced "),
        ("0012", "0012"),
    ],
)
def test_cells_are_text(tmp_path: Path, cell: Any, text: str) -> None:
    assert read(workbook(tmp_path / "a.xlsx", [["phone", "x"], ["1", cell]])).rows == [["1", text]]


def test_numbers_as_floats(tmp_path: Path) -> None:
    """Excel keeps every number as one; the file says 380500000001 or 3.80500000001E11, and means the same."""
    path = workbook(tmp_path / "a.xlsx", [["phone"], [380500000001], [380500000002], [380500000003]])
    changed = tmp_path / "b.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b"<v>380500000001</v>", b"<v>3.80500000001E11</v>")
            new.writestr(name, content.replace(b"<v>380500000002</v>", b"<v>380500000002.0</v>"))
    assert read(changed).rows == [["380500000001"], ["380500000002"], ["380500000003"]]


def test_scientific_notation_as_text_stays(tmp_path: Path) -> None:
    """The digits are lost; whoever reads phones must see it."""
    whole = read(workbook(tmp_path / "a.xlsx", [["phone"], ["3.80E+11"], ["3,8E+11"]]))
    assert whole.rows == [["3.80E+11"], ["3,8E+11"]]


def test_scientific_notation_as_format_is_only_how_it_looks(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))
    sheet = book.add_worksheet()
    sheet.write(0, 0, "phone")
    sheet.write(1, 0, 380500000001, book.add_format({"num_format": "0.00E+00"}))
    book.close()
    assert read(tmp_path / "a.xlsx").rows == [["380500000001"]]


def test_leading_apostrophes(tmp_path: Path) -> None:
    """As Excel's mark of a text they are no part of it; one that was typed into a file is."""
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))
    sheet = book.add_worksheet()
    marked = book.add_format()
    marked.set_quote_prefix()
    sheet.write(0, 0, "phone")
    sheet.write_string(1, 0, "380500000001", marked)
    sheet.write_string(2, 0, "'380500000002")
    book.close()
    assert read(tmp_path / "a.xlsx").rows == [["380500000001"], ["'380500000002"]]


def test_errors_and_blank_cells_are_null(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["phone", "name"])
    sheet.write_row(1, 0, ["1"])
    sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
    sheet.write_row(2, 0, ["2"])
    book.close()
    assert read(tmp_path / "a.xlsx").rows == [["1", None], ["2", None]]


def test_lines_are_rows_of_the_sheet_wherever_the_table_is(tmp_path: Path) -> None:
    rows = [["phone", "name"], ["1", "a"], [], ["2", "b"], ["", ""], ["3"]]
    whole = read(workbook(tmp_path / "a.xlsx", rows, row=3, column=2))
    assert whole.columns == ["phone", "name"]
    assert whole.rows == [["1", "a"], ["2", "b"], ["3", None]]
    assert whole.lines == [5, 7, 9]
    assert whole.about["sheet"] == "People"
    assert whole.about["format"] == "xlsx"


def test_a_sheet_without_header(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [[380500000001, "Ann"], [380500000002, "Bob"]])
    whole = read(path)
    assert (whole.columns, whole.lines) == (["column 1", "column 2"], [1, 2])
    assert read(path, header=True).columns == ["380500000001", "Ann"]


def test_only_a_header(tmp_path: Path) -> None:
    whole = read(workbook(tmp_path / "a.xlsx", [["phone", "name"]]))
    assert (whole.columns, whole.rows) == (["phone", "name"], [])


def test_cells_beside_the_table_get_a_column(tmp_path: Path) -> None:
    whole = read(workbook(tmp_path / "a.xlsx", [["phone"], ["1"], ["2", None, "note"]]))
    assert (whole.columns, whole.rows) == (["phone", "column 2"], [["1", None], ["2", "note"]])


def test_hidden_sheets_do_not_count(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"))
    book.add_worksheet("People").write_column(0, 0, ["phone", "12025550101"])
    hidden = book.add_worksheet("Lists")
    hidden.write_column(0, 0, ["x", "y"])
    hidden.hide()
    book.close()
    assert read(tmp_path / "a.xlsx").about["sheet"] == "People"
    assert read(tmp_path / "a.xlsx", sheet="Lists").columns == ["x"]


def test_batches_of_a_sheet(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["phone"], *([380500000001 + number] for number in range(2_500))])
    with open_table(path, ReadOptions(batch_rows=1_000)) as table:
        batches = list(table.batches())
    assert [batch.cells.num_rows for batch in batches] == [1_000, 1_000, 500]
    assert [int(batch.lines[0]) for batch in batches] == [2, 1_002, 2_002]
    assert batches[-1].bytes_done == path.stat().st_size


@pytest.mark.sized
def test_a_sheet_of_many_rows(tmp_path: Path) -> None:
    rows = sized(60_000, 300_000)
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True})
    sheet = book.add_worksheet()
    sheet.write_string(0, 0, "phone")
    for number in range(rows):
        sheet.write_number(number + 1, 0, 380500000000 + number)
    book.close()
    with open_table(path) as table:
        batches = list(table.batches())
    assert sum(batch.cells.num_rows for batch in batches) == rows
    assert batches[-1].cells.column(0)[-1].as_py() == str(380500000000 + rows - 1)
    assert batches[-1].lines[-1] == rows + 1
