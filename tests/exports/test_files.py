"""What is in the book comes out in every format, to the letter."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import fastexcel
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollbook import contacts, exports, fields, lists, members, stop_list
from rollbook.accounts import Account
from rollbook.audience import Audience
from rollbook.contacts import Contact, NewContact
from rollbook.db import Database
from rollbook.errors import Invalid
from rollbook.exports import Export, writers
from rollbook.fields import NewField, Type
from rollbook.lists import NewList
from rollbook.options import as_flags

PHONE = 380_000_000_000

NASTY = [
    'say "hi"',
    '"',
    '""',
    ",",
    "a,b;c\td",
    "two\nlines",
    "two\r\nlines",
    "\rx",
    " spaces around ",
    "007",
    "1e5",
    "null",
    "NULL",
    "\\N",
    "\\.",
    "=1+1",
    "+380",
    "-1",
    "@sum",
    "\u041a\u0438\u0457\u0432, \U0001f600",
    "\u202eright to left",
    "'quoted'",
    "<b>&amp;</b>",
    "{braces} [brackets] 100% :name %(name)s ?",
    "\x01\x1f",
    "x" * 255,
]

FIELD_NAMES = ["First name", 'City, "the"', "=cmd", "id", ":after", "Notes\n2", "Age", "Born", "hidden"]


@pytest.fixture
def few_rows_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that exports of a few rows come in many pieces."""
    for engine in ("sqlite", "postgres"):
        monkeypatch.setattr(f"rollbook.db.{engine}_transaction.PIECE_ROWS", 3)


class Desk:
    """An account with nasty names and values."""

    def __init__(self, db: Database, account_id: int) -> None:
        self.db = db
        self.account_id = account_id
        self.lists = [db.write(lists.create, account_id, NewList(name)) for name in ("Regulars", '"VIP", =1')]
        kinds: dict[str, Type] = {"Age": "number", "Born": "date"}
        self.fields = [
            db.write(
                fields.create, account_id, NewField(name, kinds.get(name, "text"), None, name != "hidden")
            )
            for name in FIELD_NAMES
        ]
        by_name = {field.name: field.id for field in self.fields}
        news = [
            NewContact(
                PHONE + number,
                tuple(each.id for each in self.lists[: number % 3]),
                {
                    by_name["First name"]: value,
                    by_name["Age"]: str(-number) if number % 2 else "",
                    by_name["Born"]: "1990-05-01" if number % 4 else None,
                    by_name["hidden"]: "secret",
                    by_name["id"]: f"own id {number}",
                },
            )
            for number, value in enumerate(NASTY, 1)
        ]
        made = db.write(contacts.create_many, account_id, news)
        self.contacts = [each for each in made if isinstance(each, Contact)]
        assert len(self.contacts) == len(NASTY)
        db.write(stop_list.add, account_id, phones=[PHONE + 1, PHONE + 999], channels=["sms", "whatsapp"])
        db.write(stop_list.add, account_id, phones=[PHONE + 2], channels=["viber"])

    def export(self, **wanted: Any) -> bytes:
        out = io.BytesIO()
        exports.write(self.db, self.account_id, Export(**wanted), out)
        return out.getvalue()

    def rows(self, **wanted: Any) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.export(**wanted).decode(), newline="")))


@pytest.fixture
def desk(db: Database, alice: Account) -> Desk:
    return Desk(db, alice.account_id)


def test_a_csv_has_what_the_book_has(desk: Desk, few_rows_a_piece: None) -> None:
    rows = desk.rows(with_lists=True, safe_for_spreadsheets=False)
    by_name = {field.name: field.id for field in desk.fields}
    shown = ["First name", 'City, "the"', "=cmd", "id (field)", ":after", "Notes\n2", "Age", "Born"]
    assert list(rows[0]) == ["phone", "id", "created_at", "stopped", "lists", *shown]
    assert [row["First name"] for row in rows] == NASTY
    for row, contact in zip(rows, desk.contacts, strict=True):
        assert (row["phone"], row["id"]) == (str(contact.phone), str(contact.id))
        assert row["created_at"] == contact.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert row["id (field)"] == contact.values[by_name["id"]]
        assert row["Age"] == contact.values.get(by_name["Age"], "")
        assert row["Born"] == contact.values.get(by_name["Born"], "")
        assert json.loads(row["lists"] or "[]") == [each.name for each in contact.lists]
        assert [row["=cmd"], row[":after"], row["Notes\n2"]] == [""] * 3
    assert [row["stopped"] for row in rows[:3]] == ["sms,whatsapp", "viber", ""]


def test_both_engines_write_the_same_bytes(desk: Desk) -> None:
    """Texts stand in quotation marks, numbers and dates do not, no value is nothing at all."""
    name = FIELD_NAMES[0]
    out = desk.export(columns=("phone", "stopped", name, "Age"), audience=Audience(stopped=("sms", "viber")))
    assert out == (
        b"phone,stopped,First name,Age\n"
        b'380000000001,"sms,whatsapp","say ""hi""","-1"\n'
        b'380000000002,"viber","""",\n'
    )


def test_every_format_says_the_same(desk: Desk, few_rows_a_piece: None) -> None:
    columns = ("phone", "id", "created_at", "stopped", "lists", "First name", "Age")
    expected = desk.rows(columns=columns, safe_for_spreadsheets=False)
    lines = [json.loads(line) for line in desk.export(format="jsonl", columns=columns).splitlines()]
    assert [as_text(row) for row in lines] == expected
    assert all(type(row["phone"]) is int and type(row["id"]) is int for row in lines)
    table = pq.read_table(pa.BufferReader(desk.export(format="parquet", columns=columns)))
    assert [str(kind) for kind in table.schema.types] == [
        "int64", "int64", "timestamp[ms, tz=UTC]", "string", "list<element: string>", "string", "string",
    ]  # fmt: skip
    assert [as_text(row) for row in table.to_pylist()] == expected
    data = desk.export(format="xlsx", columns=columns, safe_for_spreadsheets=False)
    sheet = fastexcel.read_excel(data).load_sheet(0, dtypes="string")
    rows = sheet.to_arrow().to_pylist()
    assert [row["phone"] for row in rows] == [row["phone"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        kept = {name: value for name, value in as_text(row).items() if name != "First name"}
        assert kept == {name: value for name, value in other.items() if name != "First name"}
    texts = [row["First name"] for row in rows]
    # XML has one line end, and no control characters: those come back as Excel writes them.
    plain = [text for text in NASTY if not set("\r\x01\x1f") & set(text)]
    assert [text for text in texts if text in plain] == plain


def as_text(row: dict[str, Any]) -> dict[str, str]:
    def text(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, list):
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if isinstance(value, datetime):
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(value)

    return {name: text(value) for name, value in row.items()}


@pytest.mark.parametrize("format", exports.FORMATS)
def test_an_export_of_nobody_has_its_columns(db: Database, alice: Account, format: str) -> None:
    out = io.BytesIO()
    assert exports.write(db, alice.account_id, Export(format=format), out) == 0
    data = out.getvalue()
    if format == "csv":
        assert data == b"phone,id,created_at,stopped\n"
    elif format == "jsonl":
        assert data == b""
    elif format == "parquet":
        table = pq.read_table(pa.BufferReader(data))
        assert (len(table), table.column_names) == (0, ["phone", "id", "created_at", "stopped"])
    else:
        sheet = fastexcel.read_excel(data).load_sheet(0, header_row=None, dtypes="string")
        assert [list(row.values()) for row in sheet.to_arrow().to_pylist()] == [
            ["phone", "id", "created_at", "stopped"]
        ]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("compress", [*exports.COMPRESSIONS])
def test_a_compressed_file_is_the_same_file(desk: Desk, format: str, compress: str) -> None:
    data = desk.export(format=format, compress=compress)
    unpacked = (
        gzip.decompress(data)
        if compress == "gzip"
        else pa.input_stream(pa.BufferReader(data), compression="zstd").read()
    )
    assert unpacked == desk.export(format=format)
    assert (
        Export(format=format, compress=compress).suffix
        == f".{format}.{'gz' if compress == 'gzip' else 'zst'}"
    )


def test_columns_are_chosen_by_name_in_any_order(desk: Desk) -> None:
    wanted = ("hidden", "phone", 'City, "the"', "id (field)", "phone", "lists")
    rows = desk.rows(columns=wanted)
    assert list(rows[0]) == ["hidden", "phone", 'City, "the"', "id (field)", "lists"]
    assert {row["hidden"] for row in rows} == {"secret"}
    only = desk.rows(columns=("Age",), with_lists=True)
    assert list(only[0]) == ["Age", "lists"]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_single_column_keeps_rows_without_a_value(desk: Desk, format: str) -> None:
    data = desk.export(format=format, columns=("Age",))
    ages = ["-1", None, "-3", None]
    if format == "csv":
        assert data.decode().split("\n")[:5] == ["Age", *(f'"{age}"' if age else "" for age in ages)]
    elif format == "jsonl":
        assert [json.loads(line)["Age"] for line in data.splitlines()][:4] == ages
    else:
        assert pq.read_table(pa.BufferReader(data))["Age"].to_pylist()[:4] == ages


def test_columns_that_there_are_not_are_named(desk: Desk) -> None:
    with pytest.raises(
        Invalid, match=r"There is no column 'Phone', 'Cty': there are phone, id, created_at, st"
    ):
        desk.export(columns=("Phone", "id", "Cty"))
    with pytest.raises(
        Invalid, match=r"There is no column 'lists': there are phone, channels, created_at, id\."
    ):
        desk.export(what="stop list", columns=("lists",))


def test_texts_that_spreadsheets_would_run_are_marked_unless_they_are_to_stay(desk: Desk) -> None:
    columns = ("phone", "First name", "Age", "=cmd")
    plain = desk.rows(columns=columns, safe_for_spreadsheets=False)
    safe = desk.rows(columns=columns)
    assert safe == desk.rows(columns=columns, safe_for_spreadsheets=True)
    assert ([*plain[0]][3], [*safe[0]][3]) == ("=cmd", "'=cmd")
    for row, before in zip(safe, plain, strict=True):
        text = before["First name"]
        risky = text[0] in "=+-@\t\r"
        assert row["First name"] == (f"'{text}" if risky else text)
        assert (row["phone"], row["Age"]) == (before["phone"], before["Age"])  # a number is no formula
    assert sum(row["First name"].startswith("'") for row in safe) == 6


def test_the_stop_list_comes_out_by_phone_and_by_channel(desk: Desk, few_rows_a_piece: None) -> None:
    rows = desk.rows(what="stop list")
    assert [*rows[0]] == ["phone", "channels", "created_at"]
    assert [(row["phone"], row["channels"]) for row in rows] == [
        (str(PHONE + 1), "sms,whatsapp"),
        (str(PHONE + 2), "viber"),
        (str(PHONE + 999), "sms,whatsapp"),
    ]
    viber = desk.rows(what="stop list", channels=("viber", "rcs"), columns=("phone", "id"))
    assert [row["phone"] for row in viber] == [str(PHONE + 2)]
    assert int(viber[0]["id"]) > 0


def test_a_csv_for_excel_begins_with_a_byte_order_mark(desk: Desk) -> None:
    plain = desk.export(what="stop list")
    assert desk.export(what="stop list", bom=True) == b"\xef\xbb\xbf" + plain
    assert gzip.decompress(desk.export(what="stop list", bom=True, compress="gzip"))[3:] == plain


def test_what_does_not_go_together_is_refused() -> None:
    cases: Sequence[tuple[dict[str, Any], str]] = [
        ({"format": "pdf"}, "The format must be one of csv, jsonl, parquet, xlsx."),
        ({"compress": "rar"}, "The compress must be gzip or zstd."),
        ({"format": "xlsx", "compress": "gzip"}, "A file in xlsx is compressed already."),
        ({"format": "jsonl", "safe_for_spreadsheets": True}, "--safe-for-spreadsheets goes with csv and xlsx only."),
        ({"format": "xlsx", "bom": True}, "--bom goes with csv only."),
        ({"what": "stop list", "with_lists": True}, "--with-lists goes with contacts only."),
        ({"what": "stop list", "channels": ("telex",)}, "The type must be any of sms, viber, rcs, whatsapp, not 'telex'."),
    ]  # fmt: skip
    for wanted, told in cases:
        with pytest.raises(Invalid) as caught:
            Export(**wanted)
        assert as_flags(str(caught.value)) == told


def test_a_workbook_goes_on_on_further_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROWS_OF_A_SHEET", 4)
    out = io.BytesIO()
    with writers.opened("xlsx", [writers.FileColumn("id", "integer")], out) as writer:
        writer.add(b"".join(b"%d\n" % number for number in range(8)))
    book = fastexcel.read_excel(out.getvalue())
    assert book.sheet_names == ["Export", "Export 2", "Export 3"]
    found = [row for name in book.sheet_names for row in book.load_sheet(name).to_arrow()["id"].to_pylist()]
    assert found == list(range(8))


def broken(rows: int) -> Iterator[bytes]:
    for number in range(rows):
        yield b"%d\n" % number
    raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("format", "compress"), [("csv", "gzip"), ("csv", None), ("parquet", None), ("xlsx", None)]
)
def test_a_file_that_is_cut_off_does_not_look_whole(format: str, compress: str | None) -> None:
    out = io.BytesIO()

    def write() -> None:
        with (
            writers.compressed(out, compress) as file,
            writers.opened(format, [writers.FileColumn("id", "integer")], file) as writer,
        ):
            for row in broken(3):
                writer.add(row)

    with pytest.raises(OSError, match="full"):
        write()
    data = out.getvalue()
    if compress == "gzip":
        with pytest.raises(EOFError):
            gzip.decompress(data)
    elif format == "parquet":
        with pytest.raises(pa.ArrowInvalid):
            pq.read_table(pa.BufferReader(data))
    elif format == "xlsx":
        assert data == b""


def test_contacts_come_in_the_order_of_their_ids_whatever_is_chosen(
    desk: Desk, few_rows_a_piece: None
) -> None:
    desk.db.write(
        members.attach,
        desk.account_id,
        contact_ids=[desk.contacts[-1].id, desk.contacts[0].id],
        list_ids=[desk.lists[0].id],
    )
    one, two = (each.id for each in desk.lists)
    for wanted in (Audience(lists=(one, two)), Audience(all_of=(one,), minus=(two,)), Audience(minus=(one,))):
        ids = [int(row["id"]) for row in desk.rows(audience=wanted, columns=("id",))]
        assert ids == sorted(ids)
        assert ids
