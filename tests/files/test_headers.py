from __future__ import annotations

import subprocess
import sys

import pytest

from rollbook.files import guess_phone_column
from rollbook.files.headers import header_place, looks_like_phone, unique_names


@pytest.mark.parametrize(
    "header",
    """
    phone|Phone Number|PHONE_NUMBER|phoneNumber|Phone #|Phone No.|msisdn|MSISDN|Mobile|mobile number|Mobile Phone|Cell|cell phone
    Tel|Tel.|tel:|Telephone|telephone_number|Number|GSM|WhatsApp|WhatsApp number|Viber|Contact phone|E.164|recipient
    телефон|Телефон|Номер телефона|номер|Мобильный|Мобильный телефон|Моб. тел.|моб|Сотовый|тел.|Мобільний|Номер телефону
    telefon|Telefon|Telefonnummer|Handynummer|Mobilnummer|Handy|telefono|Teléfono|Número de teléfono|celular|Móvil|numéro
    téléphone|portable|Téléphone portable|cellulare|telefone|Telemóvel|komórka|Telefon komórkowy|cep telefonu|telefoonnummer
    puhelin|puhelinnumero|τηλέφωνο|κινητό|טלפון|الهاتف|هاتف|جوال|电话|手机号|電話番号|휴대폰
    """.strip()
    .replace("\n", "|")
    .split("|"),
)
def test_headers_that_say_phone(header: str) -> None:
    header = header.strip()
    sample: list[list[str | None]] = [["Ann", "x", "y"]]
    assert guess_phone_column(["name", header, "city"], sample) == header


@pytest.mark.parametrize(
    "header",
    [
        "name",
        "telegram",
        "phone type",
        "mobile operator",
        "country code",
        "order number",
        "Номер заказа",
        "phone verified",
        "тип телефона",
        "fax",
        "phone_count",
        "numbered",
        "excellent",
        "",
    ],
)
def test_headers_that_say_something_else(header: str) -> None:
    assert guess_phone_column(["x", header], [["Ann", "12"]]) is None


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (["number", "phone"], "phone"),
        (["phone", "mobile"], "mobile"),
        (["phone", "mobile phone"], "mobile phone"),
        (["work phone", "phone"], "phone"),
        (["home phone", "cell phone", "phone"], "cell phone"),
        (["phone", "msisdn"], "msisdn"),
        (["№", "номер", "телефон"], "телефон"),
        (["phone 2", "phone"], "phone"),
        (["phone", "phone type"], "phone"),
        (["Telefon", "Handynummer"], "Handynummer"),
    ],
)
def test_the_most_specific_header_wins(columns: list[str], chosen: str) -> None:
    assert guess_phone_column(columns, [["12025550101"] * len(columns)]) == chosen


def test_content_decides_between_equal_headers_and_without_any() -> None:
    rows: list[list[str | None]] = [
        ["1", None, "+12025550101", "2026-01-31"],
        ["2", "", "12025550102", "2026-02-28"],
    ]
    assert guess_phone_column(["mobile A", "mobile B", "mobile C", "d"], rows) == "mobile C"
    assert guess_phone_column(["a", "b", "c", "d"], rows) == "c"
    assert guess_phone_column(["column 1", "column 2", "column 3", "column 4"], rows) == "column 3"
    assert guess_phone_column(["mobile A", "mobile B"], [["", None]]) == "mobile A"
    assert guess_phone_column(["a", "b"], [["x", "y"], ["12025550101", "z"], ["v", "w"]]) is None
    assert guess_phone_column(["id", "b"], [["10000001", "12025550101"]]) == "b"


def test_a_single_column_without_a_name_is_the_phones() -> None:
    assert guess_phone_column(["column 1"], []) == "column 1"
    assert guess_phone_column(["foo"], [["bar"]]) is None
    assert guess_phone_column(["foo"], [["12025550101"]]) == "foo"
    assert guess_phone_column([], []) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+1 (202) 555-0101", True),
        ("12025550101", True),
        ("'12025550101", True),
        ("380501234567.0", True),
        ("3.80E+11", True),
        ("202.555.01.01", True),
        ("٣٨٠٥٠١٢٣٤٥٦٧", True),
        ("2026-01-31", False),
        ("31.01.2026", False),
        ("2026-01-31 10:00:00", False),
        ("123456.789", False),
        ("123456", False),
        ("1234567890123456", False),
        ("Ann", False),
        ("", False),
        ("-12345678", False),
        ("a@example.com", False),
        ("Main st. 12345678", False),
    ],
)
def test_what_looks_like_a_phone(text: str, *, expected: bool) -> None:
    assert looks_like_phone(text) is expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["phone", "name"], True),
        (["foo", "bar"], True),
        (["телефон"], True),
        (["12025550101", "name"], False),
        (["1", "2"], False),
        (["", " ", None], False),
        ([], False),
        (["id", "1"], True),
    ],
)
def test_what_is_a_header(row: list[str | None], *, expected: bool) -> None:
    assert (header_place([row]) == 0) is expected


def test_names_of_columns_are_unique() -> None:
    assert unique_names(["a", "A", "", " b  c ", "a (2)", None], 7) == [
        "a",
        "A (2)",
        "column 3",
        "b c",
        "a (2) (2)",
        "column 6",
        "column 7",
    ]


def test_the_package_itself_is_light() -> None:
    """The service imports it when it starts, and stays small (`bench_idle_memory`)."""
    code = "import sys, rollbook.files; print([n for n in ('numpy', 'pyarrow', 'fastexcel') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
