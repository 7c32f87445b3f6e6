"""Numbers as people have them in files: two in a cell, names behind them, characters that nobody sees."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rollbook import accounts, contacts, numbers, stop_list
from rollbook.contacts import NewContact
from rollbook.db import Database, Transaction
from rollbook.imports import Import
from rollbook.phones import one
from rollbook.search import PageRequest, Search
from tests.cases.people import done
from tests.imports.desk import Desk


def stops(desk: Desk) -> list[int]:
    found = desk.db.read(stop_list.find, desk.account_id, Search(page=PageRequest(500)))
    return sorted(stop.phone for stop in found.rows)


def reachable(desk: Desk) -> int | None:
    """How many contacts may get an SMS."""

    def count(tx: Transaction, account_id: int) -> int | None:
        sql = "SELECT count(*) FROM contact WHERE account_id = :account_id AND stop_mask & 1 = 0"
        return tx.one(int, sql, account_id=account_id)

    return desk.db.read(count, desk.account_id)


def messages(desk: Desk, import_: Import) -> list[str]:
    path = desk.spool.rejects(import_.folder)
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["rollbook:message"] for row in csv.DictReader(file)]


def us(*numbers: int) -> list[int]:
    return [14155550000 + number for number in numbers]


def ua(*numbers: int) -> list[int]:
    return [380671112200 + number for number in numbers]


# Two numbers in a cell


def test_c01_no_number_of_a_cell_with_two_is_lost(desk: Desk) -> None:
    import_ = done(desk, "c01_two_in_a_cell.csv", region="UA", stop=("sms",))
    assert import_.report.rejected == {"two_numbers": 6}
    assert stops(desk) == ua(95)
    assert messages(desk, import_)[0] == ("The phone holds two numbers: '067 111 22 33' and '067 111 22 44'.")


def test_c01_each_number_of_a_cell_is_taken_where_that_is_wanted(desk: Desk) -> None:
    import_ = done(desk, "c01_two_in_a_cell.csv", region="UA", stop=("sms",), split_phones=True)
    assert import_.report.rejected == {}
    assert (import_.rows_read, import_.report.further_phones) == (7, 6)
    assert stops(desk) == ua(33, 44, 55, 66, 77, 88, 91, 92, 93, 94, 95, 96, 97)


def test_c01_split_numbers_become_contacts_with_the_values_of_their_row(desk: Desk) -> None:
    import_ = done(desk, "c01_two_in_a_cell.csv", region="UA", split_phones=True, create_fields=True)
    book = desk.book()
    assert len(book["contacts"]) == 13 == import_.report.created


def test_c01b_an_extension_is_no_second_number_and_a_second_number_no_extension(desk: Desk) -> None:
    import_ = done(desk, "c01b_optout_two_in_a_cell.csv", region="US", stop=("sms",))
    assert import_.report.rejected == {"two_numbers": 4}
    assert stops(desk) == us(109)
    import_ = done(desk, "c01b_optout_two_in_a_cell.csv", region="US", stop=("sms",), split_phones=True)
    assert import_.report.rejected == {}
    assert stops(desk) == us(*range(101, 110))


def test_c01d(desk: Desk) -> None:
    import_ = done(desk, "c01d_two_digits.tsv", region="UA", stop=("sms",))
    assert import_.report.rejected == {"two_numbers": 4}
    assert stops(desk) == []


def test_a_check_of_numbers_says_it_too() -> None:
    [found] = numbers.check(["067 111 22 33; 067 111 22 44"], "UA")
    assert (found.reason, found.valid, found.phone) == ("two_numbers", False, None)
    assert found.sentence == "holds two numbers: '067 111 22 33' and '067 111 22 44'"


def test_a_part_of_a_split_cell_that_is_no_phone_is_rejected(desk: Desk) -> None:
    import_ = done(desk, 'phone,name\n"+380671112233; 1234567890123",Ann\n', region="UA", split_phones=True)
    assert sum(import_.report.rejected.values()) == 1
    assert sorted(desk.book()["contacts"]) == ua(33)


# Letters, unseen characters, scientific notation


def test_c02_a_name_behind_a_number_is_no_digits(desk: Desk) -> None:
    import_ = done(desk, "c02_name_behind_number.csv", region="AT")
    assert import_.report.rejected == {"letters_behind": 4, "two_numbers": 1}
    assert sorted(desk.book()["contacts"]) == [436641234571]


def test_c03_what_nobody_sees_does_not_matter(desk: Desk) -> None:
    import_ = done(desk, "c03_invisible.csv", region="US")
    assert import_.report.rejected == {}
    assert sorted(desk.book()["contacts"]) == us(*range(110, 122))


def test_c08e_scientific_notation_with_all_its_digits_is_a_number(desk: Desk) -> None:
    import_ = done(desk, "c08e_sci_full.csv", region="US")
    assert import_.report.rejected == {"scientific_notation": 1}
    assert sorted(desk.book()["contacts"]) == [14155550133, 380671112233]


def test_c11b_double_zero_is_a_plus_in_front_of_a_country_code(desk: Desk) -> None:
    import_ = done(desk, "c11b_idd_no_region.csv")
    assert import_.report.rejected == {"unknown_country_code": 1}
    import_ = done(desk, "c11b_idd_no_region.csv", region="US")
    assert import_.report.rejected == {}
    assert sorted(desk.book()["contacts"]) == [14155550101, 442079460019, 442079460020]


# What stops people takes what the book can hold


IN_THE_BOOK = [380000000001, 15550100002, 447700900003, 491000000004, 43100000005, 61491570006]


def test_an_opt_out_file_stops_every_contact_that_it_names(db: Database, tmp_path: Path) -> None:
    desk = Desk(db, db.write(accounts.create, name="acme"), tmp_path)
    gone = 999123456789  # no plan has such numbers (any more)
    for phone in (*IN_THE_BOOK, gone):
        db.write(contacts.create, desk.account_id, NewContact(phone))
    file = "phone\n" + "".join(f"+{phone}\n" for phone in (*IN_THE_BOOK, gone, gone + 1))
    import_ = done(desk, file, stop=("sms",))
    assert import_.report.rejected == {"unknown_country_code": 1}
    assert stops(desk) == sorted((*IN_THE_BOOK, gone))
    assert reachable(desk) == 0
    assert desk.drift() == []


def test_an_opt_out_file_finds_such_contacts_in_each_of_its_columns(desk: Desk) -> None:
    gone = [999123456789, 999123456780, 999123456781]
    for phone in gone:
        desk.db.write(contacts.create, desk.account_id, NewContact(phone))
    rows = [("n/a", f"+{gone[0]}"), (f"+{gone[1]}", "n/a"), ("n/a", "n/a"), (f"+{gone[2]}", f"+{gone[0]}")]
    file = "phone,mobile\n" + "".join(f"{first},{second}\n" for first, second in rows)
    import_ = done(desk, file, columns={"phone": "phone", "mobile": "phone"}, stop=("sms",))
    assert stops(desk) == sorted(gone)
    assert sum(import_.report.rejected.values()) == 4
    assert desk.drift() == []


def test_contacts_are_still_to_be_valid_where_nobody_is_stopped(desk: Desk) -> None:
    import_ = done(desk, "phone\n+380 00 000 00 01\n")
    assert import_.report.rejected == {"not_assigned": 1}


# Marks that count numbers, and country codes in a column of their own


@pytest.mark.parametrize("mark", [" (2)", " [1]", " 1)", "/2", " / 12", " (12)."])
@pytest.mark.parametrize(
    ("number", "region"),
    [("415-555-0120", "US"), ("067 123 45 67", "UA"), ("+380671234567", None), ("+380671234567", "US")],
)
def test_a_mark_behind_a_number_is_no_digit_of_it(
    desk: Desk, number: str, region: str | None, mark: str
) -> None:
    import_ = done(desk, f"phone\n{number}{mark}\n", region=region, stop=("sms",))
    assert (import_.report.rejected, stops(desk)) == ({"too_long": 1}, [])
    assert numbers.check([number + mark], region)[0].phone is None
    assert one.read(number, region).phone


@pytest.mark.parametrize("text", ["06/12/34/56/78", "(06) 12 34 56 (78)", "0612345678 ()"])
def test_brackets_and_slashes_within_a_number_are_no_mark(text: str) -> None:
    assert one.read(text, "FR").phone == 33612345678


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ("Country Code", ("+1", "+380", "+43")),
        ("country_code", ("1", "380", "43")),
        ("Mobile Country Code", ("001", "00380", "0043")),
        ("Код країни", ("1.0", "380.0", "43.0")),
        ("Dial code", ("(+1)", "(+380)", "(+43)")),
        ("Code", ("+1", "+380", "+43")),
        ("Prefix", ("'+1", "'+380", "'+43")),
    ],
)
@pytest.mark.parametrize("region", [None, "DE"])
def test_country_codes_of_a_column_belong_to_the_numbers_beside_them(
    desk: Desk, header: str, codes: tuple[str, str, str], region: str | None
) -> None:
    bare = ("415-555-0120", "0671112233", "6641234567")
    rows = "".join(f"{code},{number}\n" for code, number in zip(codes, bare, strict=True))
    import_ = done(desk, f"{header},Mobile\n{rows}", region=region, stop=("sms",))
    assert import_.report.columns == {header: "country code", "Mobile": "phone"}
    assert (import_.report.rejected, stops(desk)) == ({}, [14155550120, 380671112233, 436641234567])


def test_a_number_that_has_its_country_code_gets_no_second_one(desk: Desk) -> None:
    text = (
        "Country Code,Mobile\n380,380671112233\n380,+14155550120\n380,0043 664 1234567\n,+380671112234\n"
        "380,067 111 22 35\n1-876,5551234\n49,4921234567\n"
    )
    import_ = done(desk, text, stop=("sms",))
    assert stops(desk) == [14155550120, 18765551234, *ua(33, 34, 35), 436641234567]
    assert messages(desk, import_) == ["The phone holds two numbers: '+494921234567' and '+4921234567'."]


def test_a_column_that_is_called_like_country_codes_and_has_others_is_left_alone(desk: Desk) -> None:
    import_ = done(
        desk, "Country code,Area code,Phone\nUS,415,4155550120\nUS,415,415-555-0121\n", region="US"
    )
    assert import_.report.columns == {"Country code": "", "Area code": "", "Phone": "phone"}
    assert sorted(desk.book()["contacts"]) == us(120, 121)
    import_ = done(desk, "Country code,Phone\n+43,4155550122\n", region="US", columns={"Country code": ""})
    assert sorted(desk.book()["contacts"]) == us(120, 121, 122)


def test_a_column_of_country_codes_may_be_a_field_too(desk: Desk) -> None:
    import_ = done(desk, "Country code,Phone\n43,6641234567\n", create_fields=True)
    assert import_.report.columns == {"Country code": "Country code", "Phone": "phone"}
    assert [value[1:3] for value in desk.book()["values"]] == [(436641234567, "43")]


@pytest.mark.parametrize(
    "number",
    [
        "664‑123‑45‑67", "\u200e6641234567", "６６４１２３４５６７", "6641234567 ext 12", "tel:6641234567", "Ann 6641234567",
        "(0664) 1234567", "6641234567.0", "6.641234567E+09", "'6641234567", '"=""6641234567"""',
    ],
)  # fmt: skip
def test_no_spelling_of_a_number_parts_it_from_its_country_code(desk: Desk, number: str) -> None:
    import_ = done(desk, f"Country code,Phone\n43,{number}\n380,0671112233\n", stop=("sms",))
    assert set(stops(desk)) - {436641234567} == set(ua(33)), import_.report.rejected
    assert 436641234567 in stops(desk) or import_.report.rejected


def test_a_column_of_other_codes_is_none_of_countries(desk: Desk) -> None:
    import_ = done(desk, "Code,Phone\n+10,4155550120\n+20,4155550121\n", region="US", stop=("sms",))
    assert (import_.report.columns["Code"], stops(desk)) == ("", us(120, 121))


def test_the_second_number_of_a_cell_is_not_read_without_its_country_code(desk: Desk) -> None:
    text = "Country code,Phone\n43,0664 1234567 / 6641234568\n380,0671112233\n"
    import_ = done(desk, text, stop=("sms",), split_phones=True)
    assert (import_.report.rejected, stops(desk)) == ({"two_numbers": 1}, ua(33))
    assert messages(desk, import_) == ["The phone holds two numbers: '+430664 1234567' and '6641234568'."]
