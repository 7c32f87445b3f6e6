"""Reading a column of phones: the rules that `classify` states, and its edges."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest

from rollbook.errors import Invalid
from rollbook.phones import column
from rollbook.phones.column import REASONS, REGIONS, SENTENCES, TYPES, PhoneColumn, classify
from tests.phones.nasty import Nasty
from tests.phones.oracle import differences


def one(text: str | None, region: str | None = None) -> tuple[int, str]:
    """Phone and reason of one text."""
    found = classify(pa.array([text], pa.string()), region)
    return int(found.phone[0]), REASONS[found.reason[0]]


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("0501234567", 380501234567),
        ("(050) 123-45-67", 380501234567),
        ("+380 (50) 123 45 67", 380501234567),
        ("380501234567", 380501234567),
        ("80501234567", 0),
        ("00380501234567", 380501234567),
        ("442079460018", 442079460018),
        ("0044 20 7946 0018", 442079460018),
        ("+44 (0)20 7946 0018", 442079460018),
        ("+00 44 20 7946 0018", 442079460018),
        ("\u00a0+44\u00a020 7946 0018\u00a0", 442079460018),
        ("+1 202 555 0123 ext. 5", 12025550123),
        ("1-800-FLOWERS", 18003569377),
        ("tel:+380-50-123-45-67", 380501234567),
        ("tel:050-123-45-67;phone-context=+380", 380501234567),
        ("\u0660\u0665\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667", 380501234567),
        ("\uff10\uff15\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17", 380501234567),
        ("\uff0b\uff14\uff14 20 7946 0018", 442079460018),
        ("++380501234567", 380501234567),
        ("\t0501234567\r\n", 380501234567),
        ("'0501234567", 380501234567),
        ("'442079460018", 442079460018),
        ("  ' 442079460018", 442079460018),
        ("501234567.0", 380501234567),
        ("380501234567.0", 380501234567),
        ("+380501234567.0", 380501234567),
        (" 442079460018.0 ", 442079460018),
        ("'380501234567.0", 380501234567),
        ("380501234567.00", 380501234567),
        ("380501234567,0", 380501234567),
        ("380,501,234,567.0", 380501234567),
        ("380 501 234 567,00", 380501234567),
        ("3.80501234567E+11", 380501234567),
        ("3,80501234567e11", 380501234567),
        ('="380501234567"', 380501234567),
        ("050\t123\u202f45\u200767", 380501234567),
        ("050\u2013123\u00ad45\ufe0f67\u200e", 380501234567),
        ("050 123 45\n67", 380501234567),
        ("0501234567 / +38 050 123 45 67", 380501234567),
        ("0501234567 x12345", 380501234567),
    ],
)
def test_what_people_and_spreadsheets_write_is_read(text: str, phone: int) -> None:
    assert one(text, "UA")[0] == phone


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        ("  \t ", "empty"),
        ("'", "empty"),
        ("\u00a0", "empty"),
        ("n/a", "not_a_number"),
        ("-", "not_a_number"),
        ("+", "not_a_number"),
        ("1", "not_a_number"),
        ("anna@example.com", "not_a_number"),
        ("050+1234567", "not_a_number"),
        ("380501234567.5", "not_a_number"),
        ("4930123456.125", "not_a_number"),
        ("0501234567;0501234568", "two_numbers"),
        ("0501234567, 501234568", "two_numbers"),
        ("0501234567 ext 1234567", "two_numbers"),
        ("0501234567\n0501234568", "two_numbers"),
        ("0501234567 0501234568", "two_numbers"),
        ("0501234567/0501234568", "two_numbers"),
        ("050 123 45 67 - 050 123 45 68", "two_numbers"),
        ("0501234567 or 0501234568", "two_numbers"),
        ("+380501234567 +380501234568", "two_numbers"),
        ("0501234567 (+380501234568)", "two_numbers"),
        ("0501234567 Eva", "letters_behind"),
        ("050 1234567 \u041e\u043b\u044f", "letters_behind"),
        ("050 123 Anna", "letters_behind"),
        ("0501234567 (office)", "letters_behind"),
        ("050 tel 1234567", "letters_behind"),
        ("1-415-555-O101", "letters_behind"),
        ("+1 415 GO SOLAR", "not_a_number"),
        ("0" * 251, "not_a_number"),
        ("1" * 5000, "not_a_number"),
        ("\u20ac" * 84 + "0501234567", ""),
        ("3.80E+11", "scientific_notation"),
        ("3,8E+11", "scientific_notation"),
        ("3.8050123456E+11", "scientific_notation"),
        ("4e11", "scientific_notation"),
        ("+999123456789", "unknown_country_code"),
        ("+0123456", "unknown_country_code"),
        ("12", "too_short"),
        ("+3805012", "too_short"),
        ("+38050123456789", "too_long"),
        ("1234567890123456", "too_long"),
        ("12345678901234567890", "too_long"),
        ("9" * 200, "too_long"),
        ("+49 1512345678901234", "too_long"),
        ("+4915123456789012", "too_long"),
        ("+1 555 0123", "local_only"),
        ("+59912345678901", "too_long"),
        ("+685 12345678", "invalid_length"),
        ("+380 00 000 00 01", "not_assigned"),
        ("0001234567", "not_assigned"),
    ],
)
def test_what_is_no_valid_number_has_a_reason(text: str | None, reason: str) -> None:
    assert one(text, "UA")[1] == reason


def test_a_possible_number_that_is_not_assigned_keeps_its_digits() -> None:
    found = classify(pa.array(["+380 00 000 00 01", "+380 50 123 45 67", "+380 50 12"]))
    assert found.phone.tolist() == [380000000001, 380501234567, 0]
    assert found.possible.tolist() == [True, True, False]
    assert found.valid.tolist() == [False, True, False]
    assert [REGIONS[region] for region in found.region] == ["UA", "UA", ""]
    assert [TYPES[type] for type in found.type] == ["unknown", "mobile", "unknown"]


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("380501234567", 380501234567),
        ("+380501234567", 380501234567),
        ("(380) 50 123-45-67", 380501234567),
        ("0501234567", 0),
        ("00380501234567", 380501234567),
        ("+00380501234567", 380501234567),
        ("011380501234567", 0),
        ("tel:380501234567", 380501234567),
        ("\u0663\u0668\u0660\u0665\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667", 380501234567),
    ],
)
def test_without_a_region_digits_begin_with_a_country_code(text: str, phone: int) -> None:
    assert one(text)[0] == phone


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("442079460018", 442079460018),
        (" 442079460018", 442079460018),
        ("            442079460018", 442079460018),
        ("44 (0)20 7946 0018", 442079460018),
        ("(44) 20 7946 0018", 0),
        ("-442079460018", 0),
    ],
)
def test_international_digits_without_a_plus_are_taken_where_the_national_reading_fails(
    text: str, phone: int
) -> None:
    assert one(text, "UA")[0] == phone


def test_a_national_reading_that_is_valid_comes_first() -> None:
    assert one("441234567", "UA")[0] == 380441234567


def test_every_kind_of_array_is_read_alike() -> None:
    texts = [*Nasty("UA", seed=5).texts(500), None]
    expected = classify(pa.array(texts, pa.string()), "UA")
    padded = pa.array([*["000"] * 7, *texts, "0"], pa.string())
    halves = pa.chunked_array([pa.array(texts[:200], pa.string()), pa.array(texts[200:], pa.string())])
    for array in (
        pa.array(texts, pa.large_string()),
        padded.slice(7, len(texts)),
        halves,
        pa.chunked_array([padded.slice(7, 1), padded.slice(8, 0), padded.slice(8, len(texts) - 1)]),
    ):
        assert_same(classify(array, "UA"), expected)


def test_a_null_hides_what_is_behind_it() -> None:
    data = pa.py_buffer(b"+380501234567" * 2)
    edges = pa.py_buffer(np.array([0, 13, 26], np.int32))
    array = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), edges, data])
    found = classify(array, "UA")
    assert found.phone.tolist() == [0, 380501234567]
    assert REASONS[found.reason[0]] == "empty"


def test_blocks_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array(Nasty("UA", seed=6).texts(1000))
    expected = classify(texts, "UA")
    monkeypatch.setattr(column, "BLOCK_ROWS", 7)
    assert_same(classify(texts, "UA"), expected)


@pytest.mark.parametrize("texts", [pa.array([], pa.string()), pa.chunked_array([], pa.string())])
def test_no_texts_are_no_numbers(texts: pa.Array) -> None:
    assert len(classify(texts, "UA")) == 0


@pytest.mark.parametrize("region", ["ua", "UA"])
def test_the_region_may_be_written_small(region: str) -> None:
    assert one("0501234567", region)[0] == 380501234567


@pytest.mark.parametrize("region", ["XX", "", "001", "Ukraine"])
def test_an_unknown_region_is_refused(region: str) -> None:
    with pytest.raises(Invalid, match="must be two letters such as UA"):
        classify(pa.array(["0501234567"]), region)


def test_only_text_is_read() -> None:
    with pytest.raises(Invalid, match="must be text, not int64"):
        classify(pa.array([380501234567]))


def test_a_thousand_texts_that_are_one_character_short_of_endless_are_read() -> None:
    texts = [f"{number:0250}" for number in range(1000)] + ["\u0660" * 250, "x" * 250, " " * 250]
    assert differences(texts, "UA") == []


def test_one_endless_text_costs_nothing() -> None:
    texts = pa.array(["0501234567", "7" * 50_000_000, "+44 20 7946 0018"])
    assert classify(texts, "UA").phone.tolist() == [380501234567, 0, 442079460018]


def test_threads_may_read_at_the_same_time() -> None:
    texts = pa.array(Nasty("PL", seed=7).texts(2000))
    expected = classify(texts, "PL")
    found: list[PhoneColumn] = []
    threads = [threading.Thread(target=lambda: found.append(classify(texts, "PL"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        assert_same(each, expected)


def test_every_reason_but_the_first_has_a_sentence() -> None:
    assert REASONS[0] == ""
    assert set(SENTENCES) == set(REASONS[1:])


def assert_same(found: PhoneColumn, expected: PhoneColumn) -> None:
    for name in ("phone", "possible", "valid", "reason", "region", "type"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
