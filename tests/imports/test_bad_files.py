"""Each bad file, by name: a clear message or rejected rows, and nothing half done."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import xlsxwriter

from rollbook.imports import Import
from rollbook.options import as_flags
from tests.calls import PHONE
from tests.conftest import with_account
from tests.imports.desk import Desk, csv_of, phone
from tests.servers import rollbook, run


def refused(
    desk: Desk, content: str | bytes | Path, message: str, name: str = "contacts.csv", **spec: Any
) -> Import:
    """Import a file that must fail with that message, and change nothing."""
    desk.done(csv_of(range(1, 3)), list="Customers")
    before = desk.book(), desk.counts()
    import_ = desk.imported(content, name, list="Customers", **spec)
    assert import_.state == "failed"
    assert message in as_flags(str(import_.error))
    assert (desk.book(), desk.counts()) == before
    assert not list(desk.spool.folder(import_.folder).glob("*.int64"))
    return import_


def workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    """An XLSX file."""
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made, {"in_memory": True})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(number, column, value)
    book.close()
    return made.getvalue()


def test_an_empty_file(desk: Desk) -> None:
    refused(desk, b"", "empty")


def test_a_header_only(desk: Desk) -> None:
    refused(desk, "phone,name\n", "has a header but no rows")


def test_no_phone_column(desk: Desk) -> None:
    refused(desk, "name,city\nAnn,Kyiv\nBob,Rome\n", "No column looks like phone numbers")


def test_binary_junk_named_csv(desk: Desk) -> None:
    refused(desk, bytes(range(256)) * 64, "is not text")


def test_a_wrong_encoding(desk: Desk) -> None:
    text = f"phone,city\n{phone(1)},Київ\n".encode("windows-1251")
    refused(desk, text, "utf-8", encoding="utf-8")


def test_an_encoding_that_is_detected(desk: Desk) -> None:
    lines = "phone;city\n" + "".join(f"{phone(number)};Київ і Львів\n" for number in range(1, 20))
    desk.done(lines.encode("windows-1251"), create_fields=True)
    assert {value for _, _, value, _ in desk.book()["values"]} == {"Київ і Львів"}


def test_a_row_with_too_many_cells(desk: Desk) -> None:
    import_ = desk.done(f"phone,city\n{phone(1)},Kyiv,more\n{phone(2)},Rome\n", list="Customers")
    assert import_.report.rejected == {"too_many_cells": 1}
    assert list(desk.book()["contacts"]) == [PHONE + 2]


def test_a_quote_never_closed(desk: Desk) -> None:
    rows = "".join(f"{phone(number)},x\n" for number in range(3, 2000))
    refused(desk, f'phone,city\n{phone(1)},"Kyiv\n{rows}', "line 2")


def test_a_line_without_end(desk: Desk) -> None:
    """The real thing, a line of 1 GB, in 1 MB of zstd: it must neither be read to its end nor fill the memory."""
    path = desk.folder / "endless.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(b"phone,name\n+380000000001,")
        for _ in range(1024):
            file.write(b"a" * (1 << 20))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(desk, path, "Line 2 is longer")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 300_000


def test_a_workbook_with_two_sheets(desk: Desk) -> None:
    rows: list[list[Any]] = [["phone"], [PHONE + 5]]
    book = workbook({"First": rows, "Second": [["phone"], [PHONE + 6]]})
    refused(desk, book, "--sheet", "book.xlsx")
    desk.done(book, "book.xlsx", sheet="Second")
    assert PHONE + 6 in desk.book()["contacts"]


def test_a_workbook_with_numbers_as_floats(desk: Desk) -> None:
    desk.done(
        workbook({"All": [["phone"], [float(PHONE + 5)], [f"{PHONE + 6}.0"], [f"'+{PHONE + 7}"]]}),
        "book.xlsx",
    )
    assert list(desk.book()["contacts"]) == [PHONE + 5, PHONE + 6, PHONE + 7]


def test_a_workbook_with_scientific_notation(desk: Desk) -> None:
    import_ = desk.done(workbook({"All": [["phone"], ["3.80E+11"], ["3,8E+11"], [PHONE + 1]]}), "book.xlsx")
    assert import_.report.rejected == {"scientific_notation": 2}
    assert list(desk.book()["contacts"]) == [PHONE + 1]
    assert "scientific" in desk.rejects(import_).lower()


def test_a_zip_bomb(desk: Desk) -> None:
    path = desk.folder / "bomb.csv.gz"
    row = f"{phone(1)},{'a' * 1000}\n".encode()
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(b"phone,name\n")
        for _ in range(120):
            file.write(row * 1000)
    import_ = refused(desk, path, "expand")
    assert import_.rows_read < 120_000


def test_truncated_parquet(desk: Desk) -> None:
    made = io.BytesIO()
    parquet.write_table(pa.table({"phone": [phone(number) for number in range(1000)]}), made)
    refused(desk, made.getvalue()[:-200], "Parquet", "contacts.parquet")


def test_truncated_gzip(desk: Desk) -> None:
    rows = "".join(f"{phone(number)},{os.urandom(20).hex()}\n" for number in range(5000))
    refused(desk, gzip.compress(f"phone,name\n{rows}".encode())[:-5000], "gzip", "contacts.csv.gz")


def test_a_path_that_is_a_folder(desk: Desk) -> None:
    folder = desk.folder / "folder.csv"
    folder.mkdir()
    refused(desk, folder, "folder")


def test_a_path_that_is_not_there(desk: Desk) -> None:
    path = desk.file("phone\n")
    import_ = desk.ask(path, list="Customers")
    path.unlink()
    import_ = desk.work(import_)
    assert import_.state == "failed"
    assert path.name in str(import_.error)
    assert not desk.book()["contacts"]


@pytest.mark.parametrize("kind", ["the path is a folder", "there is no such file"])
def test_a_path_that_cannot_be_read_is_told_before_anything_is_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path if "folder" in kind else tmp_path / "missing.csv"
    url = with_account(f"sqlite:///{tmp_path}/rollbook.db")
    done = run("import", str(path), "--database-url", url)
    assert done.returncode == 1
    assert str(path) in done.stderr
    listed = run("imports", "list", "--json", "--database-url", url)
    assert json.loads(listed.stdout) == []


def test_a_full_disk_during_staging(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; the database is smaller than that."""
    url = with_account(f"sqlite:///{tmp_path}/rollbook.db")
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(300_000)))
    done = subprocess.run(
        rollbook(
            "import", str(path), "--list", "Customers", "--phone-check", "possible", "--database-url", url
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=_small_disk,
    )
    assert done.returncode == 1
    assert "The disk of the spool is full" in done.stderr
    [import_] = json.loads(run("imports", "list", "--json", "--database-url", url).stdout)
    assert import_["state"] == "failed"
    assert not list((tmp_path / "rollbook.db.spool").glob("*/*.int64"))
    assert json.loads(run("verify", "--json", "--database-url", url).stdout)["drift"] == []


def _small_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))


def test_a_big_workbook_is_imported_whole(desk: Desk, tmp_path: Path) -> None:
    rows = int(os.environ.get("WORKBOOK_ROWS", "20000"))
    path = tmp_path / "big.xlsx"
    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet()
    kinds: list[Callable[[int], Any]] = [
        lambda n: n,
        lambda n: str(n),
        lambda n: f"'+{n}",
        lambda n: f"{n}.0",
        lambda n: f"+{n}",
    ]
    sheet.write_row(0, 0, ["Phone number", "City"])
    for number in range(rows):
        sheet.write(number + 1, 0, kinds[number % len(kinds)](PHONE + number))
        sheet.write(number + 1, 1, f"City {number % 50}")
    book.close()
    import_ = desk.done(path, list="Customers", create_fields=True)
    assert (import_.report.created, import_.report.rows_rejected) == (rows, 0)
    assert desk.counts()["Customers"].items == rows
    assert not desk.drift()
