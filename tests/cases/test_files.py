"""Files as people have them: small inputs made after public reports of people who import contacts."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
import xlsxwriter
from pyarrow import parquet

from rollbook import exports
from rollbook.accounts import Account
from rollbook.db import Database
from rollbook.exports import Export
from rollbook.files import formulas
from tests.cases.people import CASES, done, exported, phones, us
from tests.imports.desk import Desk
from tests.servers import run

# The header


def test_c04b_a_row_with_a_phone_is_no_header(desk: Desk) -> None:
    import_ = done(desk, "c04b_headerless_ext.txt", region="US", list="People")
    assert phones(desk) == us(120, 121, 122)
    assert import_.report.header == "none"


@pytest.mark.parametrize(
    "first",
    [
        "tel:+1-415-555-0120",
        "Ann +14155550120",
        "+1 415 555 0120 (home)",
        '"=""4155550120"""',
        "4155550120 / 4155550121",
        "1-800-FLOWERS",
        "call 555-0120",
        "ann@example.com",
        "41555",
        "n/a",
    ],
)
def test_whatever_may_be_a_phone_is_no_header(desk: Desk, first: str) -> None:
    import_ = done(desk, f"{first}\n415-555-0121\n415-555-0122\n", region="US")
    assert import_.report.header == "none"
    assert import_.rows_read == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Customers of May 2024;;\n;;\nName;Phone;City\n", 3),
        ("Exported on 2024-05-31 10:22:31;;\nName;Phone;City\n", 2),
        ("Contact list\n\nName;Phone;City\n", 3),
        ("Hotline: +1 415 555 0100;;\nName;Phone;City\n", 2),
        ("Exported by;Eve;\nDate;2024-05-31;\n;;\nName;Phone;City\n", 4),
        ("Person;;Place\nName;Phone;City\n", 2),
        ("Customers of May;;\nFoo;Bar;Baz\n", 2),
        ("Name;Phone;City\nMobile;n/a;Home\n", 1),
        ("Foo;Bar;Baz\n", 1),
        ('"sep=;"\nCustomers of May;;\nName;Phone;City\n', 3),
        ("Phone;Phone type;City\nhome;work;mobile\n", 1),
    ],
)
def test_titles_may_stand_above_the_header(desk: Desk, text: str, line: int) -> None:
    import_ = done(desk, f"{text}Ann;+14155550101;Oslo\nBob;+14155550102;Rome\n")
    assert import_.report.header == f"line {line}"
    assert phones(desk) == us(101, 102)


def test_c13e_title_rows(desk: Desk) -> None:
    import_ = done(desk, "c13e_title_rows.csv", create_fields=True)
    assert import_.report.header == "line 3"
    assert import_.report.columns == {"Name": "Name", "Phone": "phone", "City": "City"}
    assert (phones(desk), import_.report.rejected, import_.rows_read) == (us(101, 102), {}, 2)


def test_c14b_a_title_of_merged_cells(desk: Desk) -> None:
    import_ = done(desk, "c14b_title_merged.xlsx", create_fields=True)
    assert import_.report.header == "line 3"
    assert import_.report.columns == {"Name": "Name", "Phone": "phone", "City": "City"}
    assert (phones(desk), import_.report.rejected) == (us(101, 102, 103), {})


def test_rows_on_top_can_be_skipped(desk: Desk) -> None:
    text = "Our phones: 4155550199\nAnother: 4155550198\nWho,Which\nAnn,+14155550101\n"
    import_ = done(desk, text, skip_rows=2)
    assert (phones(desk), import_.report.header) == (us(101), "line 3")
    import_ = done(desk, "c14b_title_merged.xlsx", skip_rows=4)
    assert (phones(desk), import_.report.header) == (us(101, 102, 103), "none")
    import_ = desk.imported(text, skip_rows=4)
    assert import_.error == "The file has nothing below the 4 lines that are to be skipped."


def test_c08d_the_line_that_says_the_delimiter_may_be_quoted(desk: Desk) -> None:
    import_ = done(desk, "c08d_sep_quoted.csv")
    assert (phones(desk), import_.report.rejected, import_.report.header) == (us(101, 102), {}, "line 2")
    for top in ("sep=;", "SEP=;", '"sep=;";', "sep=;;"):
        import_ = done(desk, f"{top}\r\nName;Phone\r\nEve;+14155550109\r\n")
        assert (import_.report.file["delimiter"], import_.report.columns["Phone"]) == (";", "phone")


def test_a_file_of_opt_outs_that_has_only_a_header_is_done(desk: Desk) -> None:
    for text in ("phone\n", "Phone,Reason\n", "whatever\n", "phone\n\n  \n"):
        import_ = done(desk, text, stop=("sms",))
        assert (import_.rows_read, import_.report.stops_added) == (0, 0)
    table = pa.table({"phone": pa.array([], pa.int64()), "name": pa.array([], pa.string())})
    parquet.write_table(table, parquet_file := io.BytesIO())
    with xlsxwriter.Workbook(workbook := io.BytesIO()) as book:
        book.add_worksheet().write_row(0, 0, ["Phone", "Reason"])
    for content in (parquet_file.getvalue(), workbook.getvalue()):
        assert done(desk, content, "stops", stop=("sms",)).rows_read == 0
    assert desk.imported("phone\n").state == "failed"
    assert desk.imported("phone\n", stop=("sms",), list="People", mode="replace").state == "failed"


# The column of phones


def test_c05a_a_column_of_consents_is_not_that_of_phones(desk: Desk) -> None:
    import_ = done(desk, "c05a_shop_customers.csv", region="US", list="People")
    assert phones(desk) == us(181, 182, 183)
    assert import_.report.columns["Phone"] == "phone"
    assert import_.report.other_phone_columns == ["Default Address Phone"]
    assert [warning for warning in import_.report.warnings if "'Accepts SMS Marketing'" in warning]


def test_c05b_an_opt_in_is_no_phone(desk: Desk) -> None:
    import_ = done(desk, "c05b_sms_optin.csv", region="US")
    assert (phones(desk), import_.report.rejected) == (us(184, 185), {})
    assert [warning for warning in import_.report.warnings if "'SMS Opt-In'" in warning]


def test_c05h_a_contract_is_no_phone(desk: Desk) -> None:
    import_ = done(desk, "c05h_contract.csv", region="DE")
    assert phones(desk) == [493023125001, 493023125002]
    assert import_.report.columns["Telefon"] == "phone"


@pytest.mark.parametrize(
    ("head", "cells", "phone"),
    [
        ("Mobile,Contact", ("8912345", "+1415555{:04}"), "Contact"),
        ("WhatsApp,Tel", ("yes", "+1415555{:04}"), "Tel"),
        ("SMS,Viber,Phone", ("1", "0", "+1415555{:04}"), "Phone"),
        ("Telefonvertragsnummer,Kontakt", ("89123456{:04}", "+1415555{:04}"), "Kontakt"),
        ("Мобильный оператор,Контакт", ("Киевстар", "+1415555{:04}"), "Контакт"),
        ("Billing Phone,Phone", ("+1415556{:04}", "+1415555{:04}"), "Phone"),
        ("Work phone,Mobile", ("+1415556{:04}", "+1415555{:04}"), "Mobile"),
        ("Fax,Phone", ("+1415556{:04}", "+1415555{:04}"), "Phone"),
        ("Order,Phone", ("41555512{:04}", ""), "Phone"),
    ],
)
def test_names_propose_and_cells_decide(desk: Desk, head: str, cells: tuple[str, ...], phone: str) -> None:
    rows = [",".join(cell.format(100 + number) for cell in cells) for number in range(4)]
    rows.append(",".join([*[""] * (len(cells) - 1), "+14155550150"]))
    import_ = done(desk, "\n".join([head, *rows, ""]), region="US")
    assert import_.report.columns[phone] == "phone"
    assert set(phones(desk)) <= set(us(*range(100, 151)))


def test_a_column_that_few_have_filled_is_not_that_of_the_phones(desk: Desk) -> None:
    rows = [
        f"n{number},{'+14155550199' if number == 3 else ''},+1415555{number:04}" for number in range(100, 120)
    ]
    text = "\n".join(["Name,Mobile,Phone", "n3,+14155550199,", *rows, ""])
    import_ = done(desk, text)
    assert (len(phones(desk)), import_.report.columns["Phone"]) == (20, "phone")
    assert import_.report.other_phone_columns == ["Mobile"]


def test_columns_that_may_be_opt_outs_are_never_left_out_without_a_word(desk: Desk) -> None:
    names = ["stopped", "channels", "Unsubscribed", "opt_out", "OptOut", "Do not contact", "DNC", "Отписан"]
    import_ = done(desk, ",".join(["Phone", *names, "Town", "Stock"]) + "\n+14155550101" + "," * 10 + "\n")
    assert [warning.split("'")[1] for warning in import_.report.warnings] == names
    assert "--stop" not in import_.report.warnings[0]  # the edge that shows it spells the option
    cells = "Phone,Status,Source\n+14155550101,active,web\n+14155550102,Opted out,web\n"
    assert [warning.split("'")[1] for warning in done(desk, cells).report.warnings] == ["Status"]
    assert done(desk, cells, columns={"Status": ""}).report.columns["Status"] == ""


@pytest.mark.parametrize(
    "name",
    [
        "Newsletter", "is_unsub", "Complained", "Bounced", "Excluded", "Withdrawn", "Can contact", "Allowed",
        "Widerspruch", "Keine SMS", "Nicht anschreiben", "Werbung erlaubt", "Lista negra", "No contactar",
        "d\u00e9sinscrit", "N\u00e3o perturbe", "Odhl\u00e1\u0161en", "Rezygnacja", "Можно писать", "Отказ",
        "Рассылка", "Відмова", "Не турбувати",
    ],
)  # fmt: skip
def test_columns_of_opt_outs_in_other_words_are_warned_of(desk: Desk, name: str) -> None:
    import_ = done(desk, f"Phone,{name},Town,Stock,Notes\n+14155550101,x,Oslo,3,y\n+14155550102,,Rome,4,z\n")
    assert [warning.split("'")[1] for warning in import_.report.warnings] == [name]


def test_what_a_warning_advises_is_not_what_was_done(desk: Desk) -> None:
    text = "Phone,opted_out\n+14155550101,TRUE\n+14155550102,FALSE\n"
    (left_out,) = done(desk, text).report.warnings
    (all_stopped,) = done(desk, text, stop=("sms",)).report.warnings
    assert "import them with" in left_out
    assert "every phone is put on the stop list, whatever stands in it" in all_stopped
    assert sorted(desk.book()["stops"]) == us(101, 102)


@pytest.mark.parametrize("end", ["\x1a", "\ufeff\n", "\u200b,\u00a0\n", "\u200e\n\x1a"], ids=ascii)
def test_a_row_of_what_nobody_sees_is_blank(desk: Desk, end: str) -> None:
    import_ = done(desk, f"Phone,Name\n+14155550101,Ann\n{end}", stop=("sms",))
    assert (import_.rows_read, import_.report.rejected) == (1, {})
    assert import_.report.blank == end.count("\n") + end.count("\x1a")


@pytest.mark.parametrize(
    "header",
    [
        "Sales rep mobile,Phone",
        "Agent mobile,Name,Phone",
        "Store phone,Customer phone",
        "Handy Vertreter,Telefon",
        "Телефон менеджера,Телефон",
        "Customer No,Contact No",
        "ИНН,Контакт",
        "To,From",
        "Mobile,Number",
    ],
)
def test_the_phone_of_somebody_else_is_not_chosen(desk: Desk, header: str) -> None:
    fewer = 2 if header in ("Customer No,Contact No", "ИНН,Контакт") else 1
    name = "Ann," if "Name" in header else ""
    rows = [f"415555019{n % fewer},{name}415555{100 + n:04d}" for n in range(6)]
    import_ = done(desk, "\n".join([header, *rows]) + "\n", region="US")
    assert import_.report.columns[header.split(",")[-1]] == "phone"
    assert phones(desk) == us(*range(100, 106))
    assert import_.report.other_phone_columns == [header.split(",")[0]]


# Several phones


def test_c07a_several_columns_may_be_the_phone(desk: Desk) -> None:
    first, second = "Phone 1 - Value", "Phone 2 - Value"
    import_ = done(desk, "c07a_google.csv", region="US")
    assert phones(desk) == us(195)
    assert import_.report.other_phone_columns == [second]
    import_ = done(desk, "c07a_google.csv", region="US", columns={first: "phone", second: "phone"})
    assert phones(desk) == us(194, 195, 197)
    assert (import_.report.rejected, import_.report.columns[second]) == ({}, "phone")
    assert (import_.report.created, import_.report.unchanged) == (2, 1)


@pytest.mark.parametrize("name", ["c07a_google.csv", "c07b_outlook.csv"])
def test_all_phones_of_a_row_may_count(desk: Desk, name: str) -> None:
    import_ = done(desk, name, region="US", all_phones=True)
    everyone = {"c07a_google.csv": us(194, 195, 196, 197), "c07b_outlook.csv": us(102, 103, 104)}[name]
    assert phones(desk) == everyone
    rejected = import_.report.rows_rejected
    assert import_.rows_read + import_.report.further_phones == rejected + import_.report.created
    # What is to be stopped is stopped on every phone, without a word.
    import_ = done(desk, name, region="US", stop=("sms",))
    assert sorted(phone for phone, mask in desk.book()["stops"].items() if mask) == everyone
    assert import_.report.rows_rejected == rejected
    assert desk.rejects(import_).count("The phone in 'Phone 1 - Value'") == rejected
    import_ = done(desk, name, region="US", stop=("viber",), all_phones=False)
    assert import_.report.stops_added < len(everyone)


def test_all_phones_of_a_list_without_a_header_are_stopped(desk: Desk) -> None:
    text = "+14155550101,+14155550102\n+14155550103,\n,+14155550104\n+14155550105,+14155550105\n+14155550106,12\n"
    import_ = done(desk, text, stop=("sms",))
    assert sorted(desk.book()["stops"]) == us(*range(101, 107))
    assert (import_.rows_read, import_.report.further_phones, import_.report.duplicates) == (5, 2, 0)
    assert import_.report.rejected == {"not_a_number": 1}
    assert "The phone in 'column 2' is not a phone number." in desk.rejects(import_)


def test_a_file_of_nothing_but_columns_of_phones_is_refused(desk: Desk) -> None:
    text = (
        ",".join(f"Phone {number}" for number in range(3_000))
        + "\n"
        + ",".join(["+14155550101"] * 3_000)
        + "\n"
    )
    import_ = desk.imported(text, stop=("sms",))
    assert (import_.state, str(import_.error)[:49]) == (
        "failed",
        "3,000 columns are phones; up to 50 are read. Say ",
    )
    assert done(desk, text, columns={"Phone 7": "phone"}, stop=("sms",)).report.stops_added == 1


# Exports that come back


@pytest.mark.parametrize("format", exports.FORMATS)
def test_c12_stops_travel_with_an_export(
    db: Database, alice: Account, bob: Account, tmp_path: Path, format: str
) -> None:
    ours, theirs = Desk(db, alice, tmp_path), Desk(db, bob, tmp_path)
    done(ours, "c12_book.csv", create_fields=True)
    done(ours, "c12_optouts.csv", stop=("sms",))
    done(ours, "c12_optouts_viber.csv", stop=("viber", "rcs"))
    before = ours.book()
    contacts, stops = (exported(ours, Export(what=what, format=format)) for what in ("contacts", "stop list"))
    import_ = done(theirs, contacts, f"book.{format}", region="UA", create_fields=True)
    assert import_.report.columns["stopped"] == "stop list"
    assert (import_.report.stops_in_file, import_.report.stops_added, import_.report.fields_created) == (
        2,
        2,
        ["Name"],
    )
    after = theirs.book()
    assert (after["contacts"], after["values"]) == (before["contacts"], before["values"])
    assert after["stops"] == {phone: mask for phone, mask in before["stops"].items() if phone != 14155550109}
    import_ = done(theirs, stops, f"stops.{format}")
    assert (import_.report.stops_in_file, import_.report.stops_added, import_.report.created) == (3, 1, 0)
    assert theirs.book() == before
    assert theirs.drift() == []


def test_stops_travel_into_lists_and_are_never_taken_back(
    db: Database, alice: Account, tmp_path: Path
) -> None:
    desk = Desk(db, alice, tmp_path)
    done(desk, "phone,id,created_at,stopped\n14155550101,1,2026-01-31T10:00:00,sms\n", list="People")
    text = (
        "phone,id,created_at,stopped,City (field),Town\n"
        '14155550101,1,2026-01-31T10:00:00,,,\n14155550102,2,2026-01-31T10:00:00,"sms,viber",,\n'
        "14155550103,3,2026-01-31T10:00:00,whatsapp,,\n14155550103,3,2026-01-31T10:00:00,rcs,,\n"
        "14155550104,4,2026-01-31T10:00:00,,,\n14155550105,5,2026-01-31T10:00:00,fax,,\n"
    )
    plan = done(desk, text, list="People", dry_run=True, stop=())
    import_ = done(desk, text, list="People")
    assert plan.report.stops_added == import_.report.stops_added == 2
    assert import_.report.rejected == {"bad_stop": 1}
    assert desk.book()["stops"] == {14155550101: 1, 14155550102: 3, 14155550103: 12}
    assert desk.book()["contacts"] == {14155550101: 1, 14155550102: 3, 14155550103: 12, 14155550104: 0}
    assert desk.counts()["People"].stop_list_count == 2
    assert desk.drift() == []
    undone = desk.undone(import_)
    assert undone.state == "undone"
    assert desk.book()["stops"] == {14155550101: 1, 14155550102: 3, 14155550103: 12}
    assert desk.drift() == []


@pytest.mark.parametrize("mark", [",", ";", "|", " ; "])
def test_stops_travel_with_an_export_that_was_saved_anew(desk: Desk, mark: str) -> None:
    text = f'phone,id,created_at,stopped\n14155550101,1,x,"sms{mark}viber"\n14155550102,2,x,Viber\n'
    assert done(desk, text).report.rejected == {}
    rows = '{"phone":14155550103,"stopped":["sms","rcs"]}\n{"phone":14155550104,"stopped":[]}\n'
    assert done(desk, rows, "book.jsonl").report.stop_column == "stopped"
    assert desk.book()["stops"] == {14155550101: 3, 14155550102: 2, 14155550103: 5}


def test_stops_travel_with_the_rejects_of_an_export_that_are_repaired(desk: Desk) -> None:
    text = "phone,id,created_at,stopped\n14155550101,1,2026-01-31T10:00:00,sms\n14155550102,2,2026-01-31T10:00:00,FAX\n"
    import_ = done(desk, text, create_fields=True)
    assert import_.report.rejected == {"bad_stop": 1}
    again = done(desk, desk.rejects(import_).replace("FAX", "viber"), region="UA", create_fields=True)
    assert (again.report.fields_created, again.report.rejected) == ([], {})
    assert desk.book()["stops"] == {14155550101: 1, 14155550102: 2}


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("phone,stopped", "yes"),
        ("phone,id,created_at,stopped", ",,no"),
        ("phone,channels", "sms"),
        ("phone,channels,created_at", "email,2026"),
        ("Phone,Stopped", "sms"),
    ],
)
def test_columns_called_as_ours_in_other_files_are_warned_of(desk: Desk, head: str, cells: str) -> None:
    import_ = done(desk, f"{head}\n4155550101,{cells}\n", region="US")
    assert (phones(desk), desk.book()["stops"]) == (us(101), {})
    assert len(import_.report.warnings) == 1


def test_columns_of_an_export_that_somebody_chose_are_known_by_their_cells(desk: Desk) -> None:
    import_ = done(desk, "phone,stopped\n4155550101,\n4155550102,sms\n4155550103,nonsense\n", region="US")
    assert import_.report.columns == {"phone": "phone", "stopped": ""}
    import_ = done(desk, "Name,phone,stopped\nAnn,4155550101,\nBob,4155550102,sms\n", region="US")
    assert (phones(desk), desk.book()["stops"]) == (us(101, 102, 103), {14155550102: 1})


# Rejects


def test_c06_rejects_that_were_repaired_say_nothing_of_their_own(desk: Desk) -> None:
    import_ = done(desk, "c06_optouts_with_reason.csv", region="US", create_fields=True)
    assert import_.report.rejected == {"too_short": 1}
    rejects = desk.rejects(import_)
    head, row = csv.reader(io.StringIO(rejects))
    ours = ["rollbook:line", "rollbook:reason", "rollbook:message"]
    assert head == [*ours, "phone", "reason", "message", "rollbook:row"]
    assert row == ["3", "too_short", "The phone is too short.", "415555010", "complaint", "stop it", ""]
    again = done(desk, rejects, region="US", create_fields=True)
    assert desk.rejects(again).splitlines()[0] == rejects.splitlines()[0]
    for text in (rejects, rejects.replace(",", ";")):
        repaired = done(desk, text.replace("415555010", "4155550102"), region="US", create_fields=True)
        assert repaired.report.fields_created == []
        assert repaired.report.columns == {
            **dict.fromkeys([*ours, "rollbook:row"], ""),
            "phone": "phone",
            "reason": "reason",
            "message": "message",
        }
    values = {(name, phone): value for name, phone, value, _ in desk.book()["values"]}
    assert values["reason", 14155550102] == "complaint"
    assert values["message", 14155550102] == "stop it"


def test_c06_rejects_of_before_are_known_too(desk: Desk) -> None:
    import_ = done(desk, "c06_rejects_repaired.csv", region="US", create_fields=True)
    assert import_.report.fields_created == ["reason", "message"]
    values = [value[:3] for value in desk.book()["values"]]
    assert values == [("message", 14155550102, "stop it"), ("reason", 14155550102, "complaint")]
    bad = "line,reason,message,phone,reason,row\n2,too_short,The phone is too short.,41,fine,\n"
    import_ = done(desk, bad, region="US", create_fields=True)
    assert desk.rejects(import_).splitlines()[0].endswith(":message,phone,reason,rollbook:row")


@pytest.mark.parametrize("row", ["7,asked by mail,Stop it.", "x,too_short,The phone is too short."])
def test_columns_called_as_those_of_rejects_belong_to_the_user(desk: Desk, row: str) -> None:
    import_ = done(desk, f"line,reason,message,phone,row\n{row},+14155550101,a\n", create_fields=True)
    assert import_.report.fields_created == ["line", "reason", "message", "row"]


def test_c06b_rows_that_cannot_be_read_keep_their_cells(desk: Desk) -> None:
    import_ = done(desk, "c06b_unreadable.csv")
    head, *rows = csv.reader(io.StringIO(desk.rejects(import_)))
    assert head[3:] == ["phone", "name", "rollbook:row"]
    told = {row[0]: [row[1], *(formulas.unmarked(cell) for cell in row[3:])] for row in rows}
    assert told == {
        "2": ["text_after_quote", "+14155550101", "Ann Ash", '+14155550101,"Ann" Ash'],
        "3": ["too_many_cells", "+14155550102", "Bob", "+14155550102,Bob,x,y"],
        "4": ["too_short", "+1415555010", "Cyd", ""],
    }
    again = done(desk, desk.rejects(import_))
    assert (phones(desk), again.report.rejected) == (us(101, 102), {"too_short": 1})
    unread = "rollbook:line,rollbook:reason,rollbook:message,phone,rollbook:row\n9,no_end,Why.,,TEL:1\n"
    assert desk.rejects(done(desk, unread)).endswith(',"","TEL:1"\n')


# Rows and cells


def test_c09k_blank_rows_are_counted_as_blank(desk: Desk) -> None:
    import_ = done(desk, "c09k_blank_rows.csv")
    assert (phones(desk), import_.report.rejected) == (us(101, 102), {})
    assert (import_.rows_read, import_.report.blank) == (2, 5)


def test_c13i_a_space_before_a_quotation_mark(desk: Desk) -> None:
    import_ = done(desk, "c13i_space_quote.csv", create_fields=True)
    assert (phones(desk), import_.report.rejected) == (us(101, 102), {})
    values = [value[:3] for value in desk.book()["values"]]
    assert values == [
        ("city", 14155550101, "Oslo"),
        ("city", 14155550102, "Rome"),
        ("name", 14155550101, "Ash, Ann"),
        ("name", 14155550102, "Bob"),
    ]


def test_c08a_a_formula_of_a_text_is_that_text(desk: Desk) -> None:
    done(desk, "c08a_equals_quotes.csv", create_fields=True)
    values = {(name, value) for name, _, value, _ in desk.book()["values"]}
    assert ("Code", "007") in values
    assert 442079460021 in phones(desk)
    text = '"=""Tel""","=""Say """"x"""""""\n"=""+14155550101""","=""a,b"""\n+14155550102,"=1+1"\n'
    import_ = done(desk, text, create_fields=True)
    assert import_.report.columns == {"Tel": "phone", 'Say "x"': 'Say "x"'}
    values = {(name, value) for name, phone, value, _ in desk.book()["values"] if phone in us(101, 102)}
    assert values == {('Say "x"', "a,b"), ('Say "x"', "=1+1")}


def test_the_command_says_how_it_read_a_file(url_of_book: str, tmp_path: Path) -> None:
    def imported(*arguments: str) -> tuple[str, str]:
        ran = run("import", *arguments, "--database-url", url_of_book, "--spool-dir", str(tmp_path))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout, ran.stderr

    told, _ = imported(str(CASES / "c14a_filtered.xlsx"))
    assert "hidden rows: 1 (imported)" in told
    told, _ = imported(str(CASES / "c14a_filtered.xlsx"), "--skip-hidden")
    assert "hidden rows: 1 (left out)" in told
    told, _ = imported(str(CASES / "c04b_headerless_ext.txt"), "--region", "US")
    assert "header: none" in told
    told, warned = imported(str(CASES / "c05a_shop_customers.csv"), "--region", "US", "--no-all-phones")
    assert "Other columns of phones, not used: Default Address Phone" in told
    assert "Warning: The column 'Accepts SMS Marketing' was left out." in warned
    assert "--stop" in warned
    maps = ("--map", "Phone 2 - Value=phone", "--map", "Phone 1 - Value=phone", "--skip-rows", "0")
    told, _ = imported(str(CASES / "c07a_google.csv"), "--region", "US", *maps)
    assert re.search(r"new contacts +3", told)
    header = tmp_path / "stops.csv"
    header.write_text("phone\n")
    told, _ = imported(str(header), "--stop", "sms")
    assert re.search(r"read +0", told)
