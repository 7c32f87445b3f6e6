"""A test for each kind of bad file, named after it: a sentence that says what to do, and no half table."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import xlsxwriter

from rollbook.errors import BadFile, RollbookError
from rollbook.files import SENTENCES, TEXT_BYTES_MAX, BadRow
from rollbook.files.source import EXPANSION_FREE_BYTES
from rollbook.options import as_flags
from tests.files.reading import read

MIB = 1 << 20
ROWS = b"phone,name\n" + b"".join(b"1202555%04d,Ann\n" % number for number in range(9_000))


def refusal(path: Path, **options: Any) -> str:
    """What a file is refused with."""
    with pytest.raises(BadFile) as refused:
        read(path, **options)
    assert isinstance(refused.value, RollbookError)
    sentence = as_flags(str(refused.value))
    assert sentence[0].isupper() or sentence.startswith("/")
    assert sentence.endswith(".")
    return sentence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "contacts.csv"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\r\n\r\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)]
)
def test_empty(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "is empty" in refusal(path)


@pytest.mark.parametrize("content", [b"phone,name\n", b"phone,name", b"\xef\xbb\xbfphone;name\r\n\r\n"])
def test_header_only_has_no_rows(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    whole = read(path)
    assert (whole.columns, whole.rows) == (["phone", "name"], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (random.Random(1).randbytes(5_000), "zero, as only binary files"),
        (bytes(range(1, 256)) * 20, "control characters"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "a program"),
        (b"%PDF-1.7\n1 0 obj\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a picture"),
        (b"7z\xbc\xaf\x27\x1c", "unpack it first"),
        (b"BZh91AY&SY\0", "decompress it first"),
        (b"<html><body><table><tr><td>12025550101", "HTML"),
    ],
)
def test_binary_junk_named_csv(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    assert said in refusal(path)


def test_csv_with_a_zero_byte(path: Path) -> None:
    path.write_bytes(ROWS * 5 + b"1202555\0000,Ann\n" + ROWS)
    assert "(NUL) on line 45006" in refusal(path)


def test_wrong_encoding(path: Path) -> None:
    path.write_bytes(b"phone,name\n12025550101,Zo\xc3\xa9\n12025550102,Zo\xe9\n")
    sentence = refusal(path, encoding="utf-8")
    assert "not utf-8, as which it was declared: byte 42 (counted from 0), on line 3" in sentence
    assert "--encoding" in sentence
    path.write_bytes("phone,name\n12025550101,Їжак\n".encode() * 9 + b"12025550102,\xc0\xed\xed\xe0\n")
    assert "not utf-8: byte 300" in refusal(path)
    path.write_bytes("phone\r\n12025550101\r\n".encode("utf-16-le") + b"\0\xd8" + "1\r\n".encode("utf-16-le"))
    assert "utf-16-le, as which it was declared: byte 40 (counted from 0), on line 3" in refusal(
        path, encoding="utf-16-le"
    )
    path.write_bytes(b"phone\n1\n2\x98\n")
    assert "not cp1251, as which it was declared: byte 9" in refusal(path, encoding="windows-1251")


def test_wrong_encoding_far_into_the_file(path: Path) -> None:
    path.write_bytes("phone,ім'я\n".encode() + ROWS * 30 + b"12025550101,\xc0\xed\xed\xe0\n" + ROWS)
    assert "on line 270032" in refusal(path)


def test_encoding_that_cannot_be_told(path: Path) -> None:
    path.write_bytes("телефон;имя\n380500000001;Иванов Иван\n380500000002;Петрова Анна\n".encode("koi8-r"))
    assert "cannot be detected" in refusal(path)


@pytest.mark.parametrize("name", ["latin-99", "base64", "rot13", ""])
def test_encoding_that_does_not_exist(path: Path, name: str) -> None:
    path.write_bytes(ROWS)
    assert "There is no encoding" in refusal(path, encoding=name)


@pytest.mark.parametrize("name", ["ab", "", "é", '"', "\n", "x", "5"])
def test_delimiter_that_cannot_be_one(path: Path, name: str) -> None:
    path.write_bytes(ROWS)
    assert "The delimiter cannot be" in refusal(path, delimiter=name)


def test_format_that_does_not_exist(path: Path) -> None:
    path.write_bytes(ROWS)
    assert "There is no format 'docx'" in refusal(path, format="docx")


def test_a_row_with_too_many_cells(path: Path) -> None:
    long = b"12025550102,b,c," + b"x" * 50_000
    path.write_bytes(b"phone,name\n12025550101,a\n" + long + b"\n12025550103,d\n")
    whole = read(path)
    assert whole.rows == [["12025550101", "a"], ["12025550103", "d"]]
    assert whole.lines == [2, 4]
    assert whole.bad == [BadRow(3, long[:TEXT_BYTES_MAX].decode(), "too_many_cells")]
    assert SENTENCES["too_many_cells"]


def test_more_columns_than_a_table_has(path: Path) -> None:
    path.write_bytes(b"phone" + b",a" * 20_000 + b"\n" + b"12025550101\n" * 9)
    assert "has 20,001 columns; up to 16,384 are read" in refusal(path)
    path.write_bytes(b"phone" + b",a" * 16_000 + b"\n" + b"12025550101\n" * 9)
    assert read(path).columns[-1] == "a (16000)"


def test_a_quote_never_closed(path: Path) -> None:
    path.write_bytes(b'phone,name\n12025550101,Ann\n12025550102,"Bob\n12025550103,Joe\n')
    assert "opens a cell on line 3 and is not closed before the file ends" in refusal(path)
    path.write_bytes(ROWS + b'12025550102,"Bob\n' + ROWS * 50)
    assert "opens a cell on line 9002 and is not closed within 1,048,576 bytes" in refusal(path)
    path.write_bytes(b'"phone,name\n' + ROWS[11:])
    assert "opens a cell on line 1 " in refusal(path)
    path.write_bytes(b'12025550100,"a ""b"" c"\n12025550102,"""Bob\n12025550103,Joe\n')
    assert "opens a cell on line 2 " in refusal(path)


def test_a_quote_never_closed_before_others(path: Path) -> None:
    path.write_bytes(b'phone,name\n12025550101,"Ann\n12025550102,"Bob"\n12025550103,"Joe"\n')
    whole = read(path)
    assert whole.rows == [["12025550103", "Joe"]]
    assert [(row.line, row.text, row.reason) for row in whole.bad] == [
        (2, '12025550101,"Ann\n12025550102,"Bob"', "text_after_quote")
    ]


def endless(path: Path, content: bytes, times: int) -> None:
    """A file of so many times the same, packed; it is read without being there."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(times):
            file.write(content)


@pytest.mark.parametrize("start", [b"", ROWS, b'"', b'phone\n"', b"\n", b"{", b"BEGIN:VCARD\nFN:"])
def test_all_on_one_line(path: Path, start: bytes) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(60):
            file.write(b"a" * MIB)
    tracemalloc.start()
    try:
        before = pa.total_allocated_bytes()
        sentence = refusal(path)
        assert pa.total_allocated_bytes() - before < 20 * MIB
        assert tracemalloc.get_traced_memory()[1] < 60 * MIB
    finally:
        tracemalloc.stop()
    assert "1,048,576 bytes" in sentence
    assert "ine 9002 " in sentence or start != ROWS


def test_a_line_is_too_long_wherever_it_ends(path: Path) -> None:
    for long in (70_000, 140_000, 700_000):
        path.write_bytes(ROWS + b"12025550101," + b"a" * long + b"\n" + ROWS)
        assert "Line 9002 is longer than 65,536 bytes" in refusal(path, line_bytes_max=65_536)
    path.write_bytes(ROWS + b"12025550101," + b"a" * 65_000 + b"\n" + ROWS)
    assert len(read(path, line_bytes_max=65_536).rows) == 18_002


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_zip_bomb(path: Path, codec: str) -> None:
    """Lines that look good, without end."""
    packer = pa.CompressedOutputStream(str(path), codec)
    line = (b"12025550101," + b"Ann " * 1_020 + b"...\n") * (MIB // 4096)
    assert len(line) == MIB
    for _ in range(EXPANSION_FREE_BYTES // MIB + 20):
        packer.write(line)
    packer.close()
    assert path.stat().st_size < MIB
    assert "taken for a decompression bomb" in refusal(path)
    assert len(read(path, expansion_max=100_000).rows) == 84 * MIB // 4096
    sentence = refusal(path, expansion_max=100_000, expanded_bytes_max=10 * MIB)
    assert "larger than 10 MiB when decompressed" in sentence


def cut_off(path: Path, content: bytes, keep: float) -> Path:
    path.write_bytes(content[: int(len(content) * keep)])
    return path


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9999])
def test_truncated_compressed_file(path: Path, codec: str, keep: float) -> None:
    content = ROWS + random.Random(1).randbytes(20_000).hex().encode()
    packed = pa.Codec(codec).compress(content, asbytes=True) if codec == "zstd" else gzip.compress(content)
    assert "is cut off" in refusal(cut_off(path, packed, keep))


def test_damaged_compressed_file(path: Path) -> None:
    packed = bytearray(gzip.compress(random.Random(1).randbytes(20_000).hex().encode()))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    assert "is damaged" in refusal(path)


@pytest.fixture
def parquet_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "good.parquet"
    parquet.write_table(
        pa.table({"phone": list(range(12025550100, 12025560100))}), path, row_group_size=1_000
    )
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0.001, 0.3, 0.9999])
def test_truncated_parquet(path: Path, parquet_bytes: bytes, keep: float) -> None:
    assert "is cut off" in refusal(cut_off(path, parquet_bytes, keep))


def test_damaged_parquet(path: Path, parquet_bytes: bytes) -> None:
    middle = len(parquet_bytes) // 2
    path.write_bytes(parquet_bytes[:100] + bytes(middle - 100) + parquet_bytes[middle:])
    assert "is damaged" in refusal(path)
    path.write_bytes(parquet_bytes[:-100] + bytes(92) + parquet_bytes[-8:])
    assert "is damaged" in refusal(path)
    path = path.with_name("text.parquet")
    path.write_bytes(ROWS)
    assert "is named .parquet, but" in refusal(path)


def workbook(path: Path, sheets: dict[str, Iterable[list[Any]]]) -> bytes:
    book = xlsxwriter.Workbook(str(path))
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
def test_truncated_xlsx(path: Path, keep: float) -> None:
    content = workbook(path, {"A": [["phone"], [12025550101]]})
    assert "is cut off or damaged" in refusal(cut_off(path, content, keep))


def test_damaged_xlsx(path: Path) -> None:
    content = bytearray(workbook(path, {"A": [["phone"], *([12025550101 + n] for n in range(2_000))]}))
    with zipfile.ZipFile(path) as archive:
        begin = archive.getinfo("xl/worksheets/sheet1.xml").header_offset
    content[begin + 2_000] ^= 0xFF
    path.write_bytes(content)
    assert "is cut off or damaged" in refusal(path)


def test_xlsx_with_two_sheets(path: Path) -> None:
    workbook(path, {"Old": [["phone"], [12025550101]], "Empty": [], "New": [["phone"], [12025550102]]})
    sentence = refusal(path)
    assert "has 2 sheets: Old, New. Choose one, for example --sheet Old." in sentence
    assert read(path, sheet="new").rows == [["12025550102"]]
    assert "no sheet 'Other'; it has Old, Empty, New" in refusal(path, sheet="Other")


def test_empty_xlsx(path: Path) -> None:
    workbook(path, {"A": []})
    assert "is empty" in refusal(path)


def test_xlsx_that_is_a_zip_bomb(path: Path) -> None:
    workbook(path, {"A": [["phone"], [12025550101]]})
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/bomb.xml", "w") as part,
    ):
        for _ in range(70):
            part.write(bytes(MIB))
    assert "decompression bomb" in refusal(path)


def test_xlsx_whose_directory_lies(path: Path) -> None:
    """The directory says 99 bytes, the part has 70 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(70 * MIB))
    content = path.read_bytes()
    size = (70 * MIB).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (99).to_bytes(4, "little")))
    assert "is cut off or damaged" in refusal(path)


def test_xlsx_with_a_stray_cell(path: Path) -> None:
    """The reader would take 17 billion cells for it."""
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    sheet.write_column(0, 0, ["phone", "12025550101"])
    sheet.write(1_048_575, 16_383, "x")
    book.close()
    assert "reaches to row 1,048,576 and column 16,384, which is too large" in refusal(path)


def test_xlsx_that_is_wide_or_long(path: Path) -> None:
    """Neither is too large alone."""
    workbook(path, {"A": [["phone", *(f"q{number}" for number in range(400))], [12025550101, *([1] * 400)]]})
    assert len(read(path).rows[0]) == 401
    book = xlsxwriter.Workbook(str(path))
    book.add_worksheet().write_column(0, 0, ["phone", "12025550101"])
    book.get_worksheet_by_name("Sheet1").write(399_999, 3, "12025550102")
    book.close()
    assert read(path).lines == [2, 400_000]


def test_xlsx_that_uses_a_long_text_often(path: Path) -> None:
    """A small file that would be 1.1 GB: every cell has the same text."""
    note = "x" * 32_000
    workbook(path, {"A": [["phone", "note"], *(["1", note] for _ in range(35_000))]})
    assert path.stat().st_size < 2 * MIB
    assert "bytes of text. Save it as CSV" in refusal(path)


def test_spreadsheets_of_other_kinds(path: Path) -> None:
    for names in (["mimetype", "content.xml"], ["xl/workbook.bin"]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "")
        assert "Save it as XLSX or CSV" in refusal(path)


def test_zip_that_is_no_spreadsheet(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("contacts.csv", ROWS)
    assert "is a zip archive and no spreadsheet" in refusal(path)


def test_old_office_file_that_is_no_spreadsheet(path: Path) -> None:
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2_000))
    assert "cannot be read" in refusal(path)


def test_a_spreadsheet_in_gzip(path: Path, parquet_bytes: bytes) -> None:
    content = workbook(path, {"A": [["phone"]]})
    path.write_bytes(gzip.compress(parquet_bytes))
    assert "decompress it first" in refusal(path)
    path.write_bytes(gzip.compress(content))
    assert "decompress it first" in refusal(path)


def test_another_format_than_was_said(path: Path, parquet_bytes: bytes) -> None:
    path.write_bytes(parquet_bytes)
    assert "is not csv" in refusal(path, format="csv")
    path.write_bytes(ROWS)
    assert "is no Parquet" in refusal(path, format="parquet")
    assert "is not a spreadsheet" in refusal(path, format="xlsx")
    assert "no line is an object" in refusal(path, format="jsonl")
    assert "no card in the file" in refusal(path, format="vcard")


def test_a_path_that_is_a_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is a directory. Name a file in it."


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.csv") == f"There is no file {tmp_path / 'no.csv'}."
    (tmp_path / "file").write_bytes(ROWS)
    assert "is not a directory" in refusal(tmp_path / "file" / "no.csv")
    assert "cannot be read" in refusal(tmp_path / "a\0b")


def test_a_path_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")


def test_a_path_that_may_not_be_read(path: Path) -> None:
    path.write_bytes(ROWS)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)  # root may read everything
    try:
        assert "permission denied" in refusal(path)
    finally:
        os.seteuid(user)


def test_whatever_is_damaged_is_read_or_refused(path: Path, parquet_bytes: bytes) -> None:
    """Bytes changed, lost, doubled: a sentence comes out, or rows; never another error."""
    text = 'phone,name\n12025550101,"Zoé ""Z"""\n12025550102,x\n' * 20
    card = "BEGIN:VCARD\r\nFN;QUOTED-PRINTABLE:=D0=\r\n=9B\r\nTEL;TYPE=CELL:+12025550101\r\nEND:VCARD\r\n"
    seeds = [
        text.encode(),
        text.encode("cp1252"),
        text.encode("utf-16"),
        gzip.compress(text.encode()),
        ('{"phone":12025550101,"x":[1.5,{"a":null}]}\n{"phone":"12025550102"}\n' * 20).encode(),
        ("[" + ", ".join(['\n{"phone":12025550101,"x":"\\u0410"}'] * 40) + "]").encode(),
        (card * 20).encode(),
        parquet_bytes,
        workbook(path, {"A": [["phone", "name"], *([12025550101, "Ann"] for _ in range(50))]}),
    ]
    chosen = random.Random(5)
    for _ in range(500):
        content = bytearray(chosen.choice(seeds))
        for _ in range(chosen.choice([1, 2, 20])):
            place = chosen.randrange(len(content) + 1)
            taken = content[place : place + chosen.randrange(1, 40)]
            change = chosen.choice([b"", taken * 2, chosen.randbytes(1), b'"', b"\n", b"\0", b"\xff", b"\\"])
            content[place : place + chosen.choice([0, 1, len(taken)])] = change
        path.write_bytes(content or b"x")
        with suppress(BadFile):
            read(path, line_bytes_max=chosen.choice([300, MIB]))
