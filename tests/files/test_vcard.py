from __future__ import annotations

from pathlib import Path

from rollbook.files import BadRow
from rollbook.files.vcard_table import COLUMNS
from tests.files.reading import read


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "contacts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def card(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])


def test_a_card_has_a_row_for_each_phone(tmp_path: Path) -> None:
    content = card(
        "N:Lee;Ann;;Dr.;",
        "FN:Ann Lee",
        "ORG:Sun\\, Ltd;Sales",
        "TEL;TYPE=CELL,VOICE:+1 202 555 0101",
        "item1.TEL;type=WORK;type=pref:+1 202 555 0102",
        "EMAIL;TYPE=INTERNET:ann@example.com",
    ) + card("FN:Bob", "TEL:+12025550103")
    whole = read(written(tmp_path, content))
    assert whole.about["format"] == "vcard"
    assert tuple(whole.columns) == COLUMNS
    ann = ["Ann Lee", "Ann", "Lee", "ann@example.com", "Sun, Ltd, Sales"]
    assert whole.rows == [
        ["+1 202 555 0101", "cell", *ann],
        ["+1 202 555 0102", "work", *ann],
        ["+12025550103", None, "Bob", None, None, None, None],
    ]
    assert whole.lines == [6, 7, 13]


def test_version_4_writes_phones_as_uris(tmp_path: Path) -> None:
    content = card('TEL;VALUE=uri;TYPE="cell,home":tel:+1-202-555-0101', "FN;LANGUAGE=en:Ann")
    assert read(written(tmp_path, content)).rows[0][:3] == ["+1-202-555-0101", "cell,home", "Ann"]


def test_version_2_writes_quoted_printable(tmp_path: Path) -> None:
    content = card(
        "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=9B=D0=B8;=D0=90=D0=BD=D0=BD=",
        "=D0=B0;;;",
        "FN;QUOTED-PRINTABLE;CHARSET=windows-1251:=C0=ED=ED=E0",
        "TEL;CELL;PREF:+12025550101",
        "TEL;HOME:+12025550102",
    )
    whole = read(written(tmp_path, content))
    assert [row[:5] for row in whole.rows] == [
        ["+12025550101", "cell", "Анна", "Анна", "Ли"],
        ["+12025550102", "home", "Анна", "Анна", "Ли"],
    ]
    assert whole.lines == [6, 7]


def test_folded_lines_are_one(tmp_path: Path) -> None:
    whole = read(written(tmp_path, card("FN:Ann Mar", " ia Lee", "TEL:+1202", "\t5550101", "NOTE:a", " b")))
    assert whole.rows[0][:3] == ["+12025550101", None, "Ann Maria Lee"]


def test_photos_are_passed_over(tmp_path: Path) -> None:
    photo = "\r\n ".join(["PHOTO;ENCODING=b;TYPE=JPEG:", *["A" * 74] * 40_000])
    whole = read(written(tmp_path, card("FN:Ann", photo, "TEL:+12025550101")))
    assert whole.rows[0][:3] == ["+12025550101", None, "Ann"]
    assert not whole.bad
    assert whole.lines == [40_005]


def test_a_card_without_a_phone_is_a_row_without_one(tmp_path: Path) -> None:
    whole = read(written(tmp_path, card("N:Lee;Ann")))
    assert whole.rows == [[None, None, "Ann Lee", "Ann", "Lee", None, None]]
    assert whole.lines == [1]


def test_lines_in_no_card_and_cards_without_end(tmp_path: Path) -> None:
    content = (
        card("TEL:1")
        + "TEL:2\r\n\r\nBEGIN:VCARD\r\nTEL:3\r\n"
        + card("what is this", "TEL:4")
        + "BEGIN:VCARD\nTEL:5"
    )
    whole = read(written(tmp_path, content))
    assert [row[0] for row in whole.rows] == ["1", "4"]
    assert whole.bad == [
        BadRow(5, "TEL:2", "outside_of_card"),
        BadRow(7, "BEGIN:VCARD\nTEL:3", "no_end"),
        BadRow(11, "what is this", "not_a_property"),
        BadRow(14, "BEGIN:VCARD\nTEL:5", "no_end"),
    ]


def test_line_ends_and_encodings_of_all_kinds(tmp_path: Path) -> None:
    content = card("FN:Їжак Олексій", "TEL:+380500000001") * 3
    for line_end in ("\r\n", "\n", "\r"):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1251"):
            whole = read(written(tmp_path, content.replace("\r\n", line_end).encode(encoding)))
            assert [row[:3] for row in whole.rows] == [["+380500000001", None, "Їжак Олексій"]] * 3
            assert whole.lines == [4, 9, 14]


def test_many_cards_come_in_batches(tmp_path: Path) -> None:
    whole = read(written(tmp_path, "".join(card(f"TEL:{number}") for number in range(500))), batch_rows=30)
    assert [row[0] for row in whole.rows] == [str(number) for number in range(500)]
    assert whole.lines == [3 + 4 * number for number in range(500)]
