"""Cards and workbooks as people have them: small inputs made after public reports of people who import contacts."""

from __future__ import annotations

import csv
import io

import pytest
import xlsxwriter

from rollbook.files import formulas
from tests.cases.people import done, phones, us
from tests.imports.desk import Desk

# Cards


def test_c10a_numbers_for_fax_and_pager_are_left_out_and_counted(desk: Desk) -> None:
    import_ = done(desk, "c10a_ios.vcf", region="US")
    assert (phones(desk), import_.report.rejected) == (us(101, 102), {})
    assert import_.report.left_out == {"fax": 1, "pager": 1}


@pytest.mark.parametrize(
    "line",
    [
        "TEL;HOME;FAX:{}",
        'TEL;TYPE="work,fax":{}',
        "TEL;TYPE=CELL,FAX:{}",
        "TEL;X-OTHERFAX:{}",
        "TEL;type=HomeFax;type=pref:{}",
        "TEL;VALUE=uri;TYPE=fax:tel:{}",
        "item7.TEL:{}\nitem7.X-ABLabel:_$!<WorkFAX>!$_",
        "item7.X-ABLabel:Fax Büro\nitem7.TEL;TYPE=x:{}",
        "TEL;MODEM:{}",
        "TEL;PAGER;WORK:{}",
    ],
)
def test_what_no_message_can_be_sent_to_is_no_phone(desk: Desk, line: str) -> None:
    card = f"BEGIN:VCARD\nVERSION:3.0\nFN:Ann\n{line.format('+14155550101')}\nTEL;VIDEO:+14155550102\nEND:VCARD\n"
    import_ = done(desk, card, "cards.vcf")
    assert (phones(desk), import_.report.rejected) == (us(102), {})
    assert sum(import_.report.left_out.values()) == 1


def test_c10d_a_photo_that_is_not_folded_is_passed_over(desk: Desk) -> None:
    import_ = done(desk, "c10d_photo_unfolded.vcf")
    assert (phones(desk), import_.report.rejected, import_.rows_read) == (us(101, 102, 103), {}, 3)
    photos = [
        "PHOTO;ENCODING=b:" + "\n".join(["QUJD" * 19] * 50),
        "PHOTO;BASE64:" + "QUJD" * 600_000,
        "PHOTO:data:image/jpeg;base64,QUJD\n\nQUJD\n=",
        "NOTE:met at\nthe fair\nin May",
    ]
    cards = [
        f"BEGIN:VCARD\nFN:Eve\n{photo}\nTEL:+1415555011{number}\nEND:VCARD\n"
        for number, photo in enumerate(photos)
    ]
    import_ = done(desk, "".join(cards), "cards.vcf")
    assert phones(desk)[3:] == us(110, 111, 112, 113)
    assert import_.report.rows_rejected <= 1


@pytest.mark.parametrize("between", ["", "\ufeff", "\r\n\ufeff", " ", "\n\n"], ids=ascii)
def test_cards_of_files_put_one_behind_the_other_are_all_read(desk: Desk, between: str) -> None:
    cards = [f"BEGIN:VCARD\nVERSION:3.0\nFN:A\nTEL:+1415555010{n}\nEND:VCARD" for n in (1, 2, 3)]
    import_ = done(desk, between.join(cards), "cards.vcf", stop=("sms",))
    assert (import_.report.rejected, sorted(desk.book()["stops"])) == ({}, us(101, 102, 103))


def test_c10h_a_card_without_an_end_names_its_phones(desk: Desk) -> None:
    import_ = done(desk, "c10h_no_end.vcf")
    assert (phones(desk), import_.report.rejected) == (us(102), {"no_end": 2})
    _, *rows = csv.reader(io.StringIO(desk.rejects(import_)))
    told = [(row[0], formulas.unmarked(row[3]), row[5]) for row in rows]
    assert told == [("1", "+14155550101", "Ann Ash"), ("10", "+14155550103", "Cyd")]
    text = "BEGIN:VCARD\nFN:Ann\nTEL:+14155550105\nTEL:+14155550106\nTEL;FAX:+14155550107\nNOTE:x\nFN:y\n"
    import_ = done(desk, text, "cards.vcf", stop=("sms",))
    assert import_.report.rejected == {"no_end": 1}
    assert "+14155550105; +14155550106" in desk.rejects(import_)


def test_a_number_that_goes_on_in_the_next_line_is_never_half_of_one(desk: Desk) -> None:
    card = "BEGIN:VCARD\nFN:Ann\nTEL:+1415555\n0101\nTEL:+14155550102\nJohn\nEND:VCARD\n"
    import_ = done(desk, card, "cards.vcf")
    assert us(101)[0] in phones(desk)
    assert import_.rows_read == 2


# Workbooks


def test_c14a_hidden_rows_are_imported_and_counted(desk: Desk) -> None:
    import_ = done(desk, "c14a_filtered.xlsx")
    assert (phones(desk), import_.report.hidden_rows) == (us(101, 102, 103), 1)


def test_c14a_hidden_rows_can_be_left_out(desk: Desk) -> None:
    import_ = done(desk, "c14a_filtered.xlsx", skip_hidden=True)
    assert (phones(desk), import_.report.hidden_rows, import_.rows_read) == (us(101, 103), 1, 2)


def test_hidden_rows_are_found_in_large_sheets_and_the_one_that_is_read(desk: Desk) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as workbook:
        for name in ("Others", "People"):
            sheet = workbook.add_worksheet(name)
            sheet.write_row(0, 0, ["Name", "Phone"])
            for row in range(1, 20_001):
                sheet.write_row(row, 0, [f"Hidden row {row}" * 5, f"+1415555{row % 10_000:04}"])
            hidden = range(3, 20_000, 1_000) if name == "People" else range(2, 9)
            for row in hidden:
                sheet.set_row(row, None, None, {"hidden": True})
    import_ = done(desk, out.getvalue(), "people.xlsx", sheet="People", dry_run=True)
    assert (import_.report.hidden_rows, import_.rows_read) == (20, 20_000)
    import_ = done(desk, out.getvalue(), "people.xlsx", sheet="People", dry_run=True, skip_hidden=True)
    assert (import_.report.hidden_rows, import_.rows_read, import_.report.blank) == (20, 19_980, 0)


def test_blank_rows_of_a_workbook_are_counted(desk: Desk) -> None:
    with xlsxwriter.Workbook(out := io.BytesIO()) as workbook:
        sheet = workbook.add_worksheet()
        for row, cells in {
            0: ["Name", "Phone"],
            2: ["Ann", "+14155550101"],
            4: [" ", "\t"],
            7: ["Bob", "+14155550102"],
        }.items():
            sheet.write_row(row, 0, cells)
    import_ = done(desk, out.getvalue(), "people.xlsx")
    assert (phones(desk), import_.report.rejected, import_.report.blank) == (us(101, 102), {}, 4)
