"""`rollbook numbers check`: the summary, the CSV, and what it says of files that it cannot use."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import with_account
from tests.servers import rollbook, run

FILE = """name,phone,city
Anna,(050) 765-43-21,Kyiv
Ben,+44 20 7946 0018,London
Carl,442079460019,London
Dora,+380000000001,Kyiv
Emil,3.80E+11,Kyiv
Finn,n/a,Kyiv
Gil,,Kyiv
"""
SUMMARY = {
    "column": "phone",
    "rows": 7,
    "unreadable": 0,
    "valid": 3,
    "possible": 4,
    "reasons": {"empty": 1, "not_a_number": 1, "not_assigned": 1, "scientific_notation": 1},
    "types": {"fixed_line": 2, "mobile": 1},
    "regions": {"GB": 2, "UA": 1},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    path.write_text(FILE)
    return path


def test_a_file_is_summed_up_for_people(file: Path) -> None:
    done = run("numbers", "check", str(file), "--region", "ua")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "Column 'phone': 7 numbers, of which are"
    assert "valid 3 42.9%" in lines
    assert "not: is in scientific notation that has lost digits 1 14.3%" in lines
    assert "fixed line 2 66.7%" in lines
    assert "GB 2 66.7%" in lines


def test_a_file_is_summed_up_for_programs(file: Path) -> None:
    done = run("numbers", "check", str(file), "--region", "UA", "--json")
    assert json.loads(done.stdout) == SUMMARY


def test_standard_input_is_read_too() -> None:
    done = subprocess.run(
        rollbook("numbers", "check", "-", "--json", "--region", "UA"),
        input=FILE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == SUMMARY


def test_the_output_has_a_row_for_each_number(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "checked.csv"
    done = run("numbers", "check", str(file), "--region", "UA", "--output", str(output))
    assert done.returncode == 0
    assert done.stderr == f"\nWrote 7 rows to {output}.\n"
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6", "7", "8"]
    assert rows[0] == {
        "line": "2",
        "number": "(050) 765-43-21",
        "valid": "yes",
        "possible": "yes",
        "reason": "",
        "e164": "+380507654321",
        "region": "UA",
        "type": "mobile",
        "international": "+380 50 765 4321",
        "national": "050 765 4321",
        "carrier": "Vodafone",
        "time_zones": "Europe/Kyiv",
    }
    assert (rows[3]["valid"], rows[3]["possible"], rows[3]["reason"]) == ("no", "yes", "not_assigned")
    assert (rows[6]["number"], rows[6]["reason"], rows[6]["e164"]) == ("", "empty", "")


def test_a_brief_output_leaves_the_slow_part_out(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "checked.csv"
    run("numbers", "check", str(file), "--region", "UA", "--output", str(output), "--brief")
    assert output.read_text().splitlines()[:2] == [
        "line,number,valid,possible,reason,e164,region,type",
        "2,(050) 765-43-21,yes,yes,,+380507654321,UA,mobile",
    ]


def test_the_column_may_be_named(file: Path) -> None:
    done = run("numbers", "check", str(file), "--column", "CITY", "--json")
    assert json.loads(done.stdout)["reasons"] == {"not_a_number": 7}


def test_a_list_of_bare_numbers_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("+380507654321\n+442079460018\n")
    found = json.loads(run("numbers", "check", str(path), "--json").stdout)
    assert (found["rows"], found["valid"]) == (2, 2)


def test_many_regions_are_cut_short_for_people(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    codes = [380, 44, 49, 33, 34, 39, 48, 420, 421, 43, 32, 31, 45, 46, 47, 30, 36, 40]
    numbers = [f"+{code}{national}" for code in codes for national in NATIONAL[code]]
    path.write_text("\n".join(numbers) + "\n")
    assert "\n3 others" in run("numbers", "check", str(path)).stdout


NATIONAL = {
    380: ["507654321"], 44: ["2079460018"], 49: ["15123456789"], 33: ["612345678"], 34: ["612345678"],
    39: ["3123456789"], 48: ["512345678"], 420: ["601123456"], 421: ["912123456"], 43: ["664123456"],
    32: ["470123456"], 31: ["612345678"], 45: ["34412345"], 46: ["701234567"], 47: ["40612345"],
    30: ["6912345678"], 36: ["201234567"], 40: ["712034567"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--column", "mobile"], "Error: There is no column 'mobile'; there are name, phone, city."),
        (["--output", "/nowhere/checked.csv"], "Error: /nowhere/checked.csv cannot be written: no such file"),
    ],
)
def test_what_cannot_be_done_is_said(file: Path, arguments: list[str], message: str) -> None:
    done = run("numbers", "check", str(file), *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(message)


def test_c14f_what_an_error_advises_is_there(tmp_path: Path) -> None:
    book = str(Path(__file__).parents[1] / "cases" / "c14f_two_sheets.xlsx")
    database = ("--database-url", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    for command in (
        ("numbers", "check", book, "--json"),
        ("import", book, "--stop", "sms", "--json", *database),
    ):
        told = run(*command)
        assert told.returncode == 1
        said = told.stderr or json.loads(told.stdout)["error"]
        assert "2 sheets: Customers, Opt-outs. Choose one, for example --sheet Customers." in said
        chosen = (
            run(*command, "--sheet", "Opt-outs", "--phone-check", "possible")
            if command[0] == "import"
            else run(*command, "--sheet", "Opt-outs")
        )
        assert chosen.returncode == 0, chosen.stderr
        found = json.loads(chosen.stdout)
        assert found.get("rows", found.get("rows_read")) == 1


def test_it_reads_files_as_they_are_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "customers.txt"
    path.write_bytes("тел~имя\n+380 50 123 45 67~Анна\n".encode("koi8-u"))
    flags = ("--delimiter", "~", "--encoding", "koi8-u", "--header", "--format", "csv", "--column", "тел")
    done = run("numbers", "check", str(path), "--json", *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["valid"] == 1
    wrong = run("numbers", "check", str(path), "--format", "csv", "--sheet", "A")
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (
        2,
        "Error: --sheet goes with xlsx, not with --format csv.",
    )
    output = tmp_path / "checked.csv"
    assert run("numbers", "check", str(path), *flags, "--output", str(output), "--bom").returncode == 0
    assert output.read_bytes().startswith(b"\xef\xbb\xbfline,number,")
    for flag in (("--encoding", "klingon"), ("--region", "Kyiv"), ("--delimiter", "ab"), ("--sheet", "")):
        refused = run("numbers", "check", str(path), *flag)
        assert refused.returncode == 2
        assert f"Invalid value for '{flag[0]}'" in refused.stderr


def test_a_file_without_numbers_is_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "cities.csv"
    path.write_text("name,city\nAnna,Kyiv\nBen,London\n")
    done = run("numbers", "check", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: No column looks like phone numbers; name one with --column: name, city.\n"


def test_country_codes_of_a_column_belong_to_the_numbers(tmp_path: Path) -> None:
    path, output = tmp_path / "codes.csv", tmp_path / "checked.csv"
    path.write_text("Country code,Phone\n+43,6641234567\n+380,0671112233\n,+14155550120\n")
    done = run("numbers", "check", str(path), "--output", str(output), "--json")
    assert json.loads(done.stdout)["regions"] == {"AT": 1, "UA": 1, "US": 1}
    with output.open(newline="") as file:
        assert [row["e164"] for row in csv.DictReader(file)] == [
            "+436641234567",
            "+380671112233",
            "+14155550120",
        ]
