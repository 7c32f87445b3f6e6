"""Numbers as people have them in files: two in a cell, names behind them, characters that nobody sees."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollbook import accounts, contacts, numbers, stop_list
from rollbook.contacts import NewContact
from rollbook.db import Database, Transaction
from rollbook.imports.jobs import Job
from rollbook.search import Page, Search
from tests.conftest import opened
from tests.imports.desk import Desk

CASES = Path(__file__).parent
_names = itertools.count(1)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that the tests share, each with an account of its own: files are read alike on both engines."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('numbers')}/rollbook.db") as database:
        database.migrate()
        yield database


@pytest.fixture
def desk(book: Database, tmp_path: Path) -> Desk:
    return Desk(book, book.write(accounts.create, name=f"account {next(_names)}"), tmp_path)


def done(desk: Desk, file: str, name: str = "contacts.csv", **spec: object) -> Job:
    """Import a case by its name, or a text, as the command does it."""
    path = CASES / file if "\n" not in file else None
    content = path.read_bytes() if path else file
    return desk.done(content, path.name if path else name, **{"phone_check": "valid", **spec})


def stops(desk: Desk) -> list[int]:
    found = desk.db.read(stop_list.find, desk.account_id, Search(page=Page(500)))
    return sorted(stop.phone for stop in found.stops)


def reachable(desk: Desk) -> int | None:
    """How many contacts may get an SMS."""

    def count(tx: Transaction, account_id: int) -> int | None:
        sql = "SELECT count(*) FROM contact WHERE account_id = :account_id AND stop_mask & 1 = 0"
        return tx.one(int, sql, account_id=account_id)

    return desk.db.read(count, desk.account_id)


def messages(desk: Desk, job: Job) -> list[str]:
    path = desk.spool.rejects(job.folder)
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["rollbook:message"] for row in csv.DictReader(file)]


def us(*numbers: int) -> list[int]:
    return [14155550000 + number for number in numbers]


def ua(*numbers: int) -> list[int]:
    return [380671112200 + number for number in numbers]


# Two numbers in a cell


def test_c01_no_number_of_a_cell_with_two_is_lost(desk: Desk) -> None:
    job = done(desk, "c01_two_in_a_cell.csv", region="UA", stop=("sms",))
    assert job.report.rejected == {"two_numbers": 6}
    assert stops(desk) == ua(95)
    assert messages(desk, job)[0] == ("The phone holds two numbers: '067 111 22 33' and '067 111 22 44'.")


def test_c01_each_number_of_a_cell_is_taken_where_that_is_wanted(desk: Desk) -> None:
    job = done(desk, "c01_two_in_a_cell.csv", region="UA", stop=("sms",), split_phones=True)
    assert job.report.rejected == {}
    assert (job.rows_read, job.report.further_phones) == (7, 6)
    assert stops(desk) == ua(33, 44, 55, 66, 77, 88, 91, 92, 93, 94, 95, 96, 97)


def test_c01_split_numbers_become_contacts_with_the_values_of_their_row(desk: Desk) -> None:
    job = done(desk, "c01_two_in_a_cell.csv", region="UA", split_phones=True, create_fields=True)
    book = desk.book()
    assert len(book["contacts"]) == 13 == job.report.created


def test_c01b_an_extension_is_no_second_number_and_a_second_number_no_extension(desk: Desk) -> None:
    job = done(desk, "c01b_optout_two_in_a_cell.csv", region="US", stop=("sms",))
    assert job.report.rejected == {"two_numbers": 4}
    assert stops(desk) == us(109)
    job = done(desk, "c01b_optout_two_in_a_cell.csv", region="US", stop=("sms",), split_phones=True)
    assert job.report.rejected == {}
    assert stops(desk) == us(*range(101, 110))


def test_c01d(desk: Desk) -> None:
    job = done(desk, "c01d_two_digits.tsv", region="UA", stop=("sms",))
    assert job.report.rejected == {"two_numbers": 4}
    assert stops(desk) == []


def test_a_check_of_numbers_says_it_too() -> None:
    [found] = numbers.check(["067 111 22 33; 067 111 22 44"], "UA")
    assert (found.reason, found.valid, found.phone) == ("two_numbers", False, None)
    assert found.sentence == "holds two numbers: '067 111 22 33' and '067 111 22 44'"


def test_a_part_of_a_split_cell_that_is_no_phone_is_rejected(desk: Desk) -> None:
    job = done(desk, 'phone,name\n"+380671112233; 1234567890123",Ann\n', region="UA", split_phones=True)
    assert sum(job.report.rejected.values()) == 1
    assert sorted(desk.book()["contacts"]) == ua(33)


# Letters, unseen characters, scientific notation


def test_c02_a_name_behind_a_number_is_no_digits(desk: Desk) -> None:
    job = done(desk, "c02_name_behind_number.csv", region="AT")
    assert job.report.rejected == {"letters_behind": 4, "two_numbers": 1}
    assert sorted(desk.book()["contacts"]) == [436641234571]


def test_c03_what_nobody_sees_does_not_matter(desk: Desk) -> None:
    job = done(desk, "c03_invisible.csv", region="US")
    assert job.report.rejected == {}
    assert sorted(desk.book()["contacts"]) == us(*range(110, 122))


def test_c08e_scientific_notation_with_all_its_digits_is_a_number(desk: Desk) -> None:
    job = done(desk, "c08e_sci_full.csv", region="US")
    assert job.report.rejected == {"scientific_notation": 1}
    assert sorted(desk.book()["contacts"]) == [14155550133, 380671112233]


def test_c11b_double_zero_is_a_plus_in_front_of_a_country_code(desk: Desk) -> None:
    job = done(desk, "c11b_idd_no_region.csv")
    assert job.report.rejected == {"unknown_country_code": 1}
    job = done(desk, "c11b_idd_no_region.csv", region="US")
    assert job.report.rejected == {}
    assert sorted(desk.book()["contacts"]) == [14155550101, 442079460019, 442079460020]


# What stops people takes what the book can hold


IN_THE_BOOK = [380000000001, 15550100002, 447700900003, 491000000004, 43100000005, 61491570006]


def test_an_opt_out_file_stops_every_contact_that_it_names(db: Database, tmp_path: Path) -> None:
    desk = Desk(db, db.write(accounts.create, name="acme"), tmp_path)
    gone = 999123456789  # no plan has such numbers (any more)
    for phone in (*IN_THE_BOOK, gone):
        db.write(contacts.create, desk.account_id, NewContact(phone))
    file = "phone\n" + "".join(f"+{phone}\n" for phone in (*IN_THE_BOOK, gone, gone + 1))
    job = done(desk, file, stop=("sms",))
    assert job.report.rejected == {"unknown_country_code": 1}
    assert stops(desk) == sorted((*IN_THE_BOOK, gone))
    assert reachable(desk) == 0
    assert desk.drift() == []


def test_contacts_are_still_to_be_valid_where_nobody_is_stopped(desk: Desk) -> None:
    job = done(desk, "phone\n+380 00 000 00 01\n")
    assert job.report.rejected == {"not_assigned": 1}
