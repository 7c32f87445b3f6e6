"""`rollbook export` and `rollbook audience`, run as processes on both engines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rollbook import accounts, contacts, fields, lists, members, stop_list
from rollbook.contacts import Contact, NewContact
from rollbook.db import Database
from rollbook.fields import NewField
from rollbook.lists import NewList
from tests.servers import begun, rollbook, run

PHONE = 380_000_000_000


@pytest.fixture
def account(db: Database) -> int:
    """The only account: lists `Everyone` of 1 to 6, `Few, VIP` of 1 and 2, `777` of 6; 2 is stopped on SMS."""
    made = db.write(accounts.create, name="acme")
    account_id = made.account_id
    city = db.write(fields.create, account_id, NewField("City", "text")).id
    news = [NewContact(PHONE + number, (), {city: "Kyiv"}) for number in range(1, 7)]
    ids = [each.id for each in db.write(contacts.create_many, account_id, news) if isinstance(each, Contact)]
    for name, some in (("Everyone", ids), ("Few, VIP", ids[:2]), ("777", ids[5:])):
        list_id = db.write(lists.create, account_id, NewList(name)).id
        db.write(members.attach, account_id, contact_ids=some, list_ids=[list_id])
    db.write(stop_list.add, account_id, phones=[PHONE + 2, PHONE + 99], channels=["sms"])
    return account_id


def told(url: str, *arguments: str, status: int = 0) -> str:
    """What a command prints: on standard output, or on standard error when it fails."""
    done = run(*arguments, "--database-url", url)
    assert done.returncode == status, done.stderr + done.stdout
    return done.stderr if status else done.stdout


def phones(text: str) -> list[int]:
    return [int(row["phone"]) - PHONE for row in csv.DictReader(io.StringIO(text, newline=""))]


def test_an_audience_is_counted_and_exported_in_the_same_words(url: str, db: Database, account: int) -> None:
    few = db.read(lists.resolve, account, ["Few, VIP"])[0]
    cases: list[tuple[list[str], list[int]]] = [
        (["--list", "Everyone"], [1, 2, 3, 4, 5, 6]),
        (["--list", "Everyone", "--reachable", "sms, viber"], [1, 3, 4, 5, 6]),
        (["--list", "Everyone", "--minus", "Few, VIP"], [3, 4, 5, 6]),
        (["--list", "Few, VIP", "--list", "777"], [1, 2, 6]),
        (["--and", "Everyone", "--and", f"#{few}", "--stopped", "sms"], [2]),
        (["--list", str(few)], [1, 2]),
    ]
    for words, numbers in cases:
        assert told(url, "audience", *words) == f"{len(numbers)}\n"
        assert json.loads(told(url, "audience", *words, "--json")) == {"count": len(numbers)}
        assert phones(told(url, "export", *words)) == numbers
    assert told(url, "audience", "--reachable", "sms") == "5\n"
    assert told(url, "audience", "--sandbox") == "0\n"
    assert phones(told(url, "export", "--all")) == [1, 2, 3, 4, 5, 6]
    assert phones(told(url, "export", "--stop-list", "--stopped", "sms")) == [2, 99]
    assert phones(told(url, "export", "--stop-list", "--stopped", "viber")) == []


def test_a_list_whose_name_is_a_number_is_meant_before_an_id(db: Database, account: int) -> None:
    [by_name] = db.read(lists.resolve, account, ["777"])
    assert db.read(lists.get, account, by_name).name == "777"
    assert db.read(lists.resolve, account, [f"#{by_name}", str(by_name), " 777 "]) == [by_name] * 3


def test_lists_that_there_are_not_are_named(url: str, account: int) -> None:
    error = told(url, "audience", "--list", "Nobody", "--minus", "#999", "--list", "Everyone", status=1)
    assert error == "Error: There is no contact list 'Nobody'. There is no contact list '#999'.\n"


def test_the_name_of_a_file_says_its_format(url: str, account: int, tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.ndjson", "a.parquet", "a.xlsx", "a.csv.gz", "a.jsonl.zst"):
        path = tmp_path / name
        summary = json.loads(told(url, "export", "--all", "-o", str(path), "--json"))
        assert (summary["rows"], summary["file"]) == (6, str(path))
        assert summary["bytes"] == path.stat().st_size > 0
        assert summary["seconds"] >= 0
    plain = (tmp_path / "a.csv").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == plain
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "a.ndjson").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "a.xlsx").read_bytes()[:2] == b"PK"
    assert (tmp_path / "a.jsonl.zst").read_bytes()[:4] == bytes.fromhex("28b52ffd")
    assert told(url, "export", "--all") == plain.decode()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".part") == []


def test_columns_lists_and_formulas_from_the_command_line(url: str, db: Database, account: int) -> None:
    db.write(fields.create, account, NewField("=Last, first", "text"))
    text = told(
        url, "export", "--list", "Few, VIP", "--columns", 'phone,"=Last, first"', "--columns", "City",
        "--with-lists", "--bom",
    )  # fmt: skip
    assert text.startswith("\ufeff")
    assert told(url, "export", "--all", "--columns", '"=Last, first"', "--raw").startswith('"=Last, first"\n')
    text = text.removeprefix("\ufeff")
    head, first, *_ = csv.reader(io.StringIO(text))
    assert head == ["phone", "'=Last, first", "City", "lists"]
    assert first == [str(PHONE + 1), "", "Kyiv", '["Few, VIP","Everyone"]']


def test_a_file_that_is_there_is_not_replaced_unless_forced(url: str, account: int, tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text("mine")
    error = told(url, "export", "--all", "-o", str(path), status=1)
    assert error == f"Error: {path} cannot be written: it is there already; --force replaces it.\n"
    assert path.read_text() == "mine"
    assert told(url, "export", "--all", "-o", str(path), "--force").startswith("6 rows, ")
    assert phones(path.read_text()) == [1, 2, 3, 4, 5, 6]
    assert list(tmp_path.glob("book*")) == [path]
    assert told(url, "export", "--list", "777", "-o", str(tmp_path / "one.csv")).startswith("1 row, ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "{folder}"], "it is a folder"),
        (["-o", "{folder}/none/book.csv"], "no such file or directory"),
        (["-o", "/dev/full/book.csv"], "not a directory"),
        (["-o", "/dev/full"], "no space left on device"),
        (["-o", "{folder}/" + 300 * "x"], "file name too long"),
    ],
)
def test_where_nothing_can_be_written_it_says_so(
    url: str, account: int, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    given = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
    error = told(url, "export", "--all", *given, status=1)
    assert error.startswith("Error: ")
    assert error.endswith(f" cannot be written: {reason}.\n")


def test_a_pipe_and_a_device_are_written_to_and_stay(url: str, account: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        rollbook("export", "--all", "-o", str(pipe), "--database-url", url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert phones(pipe.read_text()) == [1, 2, 3, 4, 5, 6]
        assert process.communicate(timeout=60) == ("", "")
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("pipe")] == ["pipe"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say what to export: --list (or --and), --all, --stop-list or --person PHONE."),
        (["--all", "--list", "x"], "Say what to export"),
        (["--minus", "x"], "Say what to export"),
        (["--stop-list", "--reachable", "sms"], "--minus and --reachable do not go with --stop-list."),
        (["--all", "--json"], "--json tells of the FILE that was written: it needs -o FILE."),
        (["--person", "1", "--format", "csv"], "--person goes with -o, --force and --json only"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    url: str, account: int, arguments: list[str], sentence: str
) -> None:
    error = told(url, "export", *arguments, status=2)
    assert f"Error: {sentence}" in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--all", "--columns", "Town"], "There is no column 'Town': there are phone, id, created_at, stopped"),
        (["--all", "--format", "xlsx", "--compress", "gzip"], "A file in xlsx is compressed already."),
        (["--person", "12"], "The phone "),
        (["--person", "+380000000055"], "There is no contact or stop with the phone 380000000055."),
        (["--all", "--account", "nobody"], "There is no account 'nobody'."),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_said_in_a_sentence(
    url: str, account: int, arguments: list[str], sentence: str
) -> None:
    assert told(url, "export", *arguments, status=1).startswith(f"Error: {sentence}")


def test_one_persons_data(url: str, account: int, tmp_path: Path) -> None:
    found = json.loads(told(url, "export", "--person", "+380 00 000 00 02"))
    assert (found["phone"], found["contact"]["fields"]) == (PHONE + 2, {"City": "Kyiv"})
    assert [each["name"] for each in found["contact"]["lists"]] == ["Few, VIP", "Everyone"]
    assert found["stop_list"]["channels"] == ["sms"]
    path = tmp_path / "person.json"
    summary = json.loads(told(url, "export", "--person", str(PHONE + 99), "-o", str(path), "--json"))
    assert summary["rows"] == 1
    assert json.loads(path.read_text())["contact"] is None


def test_a_reader_that_has_enough_ends_it(url: str, db: Database, account: int) -> None:
    db.write(_more, account)
    command = " ".join(rollbook("export", "--all", "--database-url", f"'{url}'"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 2"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("phone,id,created_at,stopped,City\n380")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_stopped_leaves_no_file(
    url: str, db: Database, account: int, tmp_path: Path, how: signal.Signals
) -> None:
    db.write(_more, account)
    path = tmp_path / "out" / "book.xlsx"  # which takes long enough
    path.parent.mkdir()
    command = rollbook("export", "--all", "-o", str(path), "--database-url", url)
    part = path.with_name("book.xlsx.part")
    with begun(command, measured=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not part.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        busy = told(url, "export", "--all", "-o", str(path), status=1)
        assert busy == f"Error: {path} cannot be written: another export writes it now.\n"
        process.send_signal(how)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Aborted!" in error
    assert list(path.parent.iterdir()) == []


def _more(tx: Any, account_id: int, how_many: int = 100_000) -> None:
    """More contacts, straight into the table; counts are wrong afterwards."""
    ids = tx.new_ids("contact", how_many)
    tx.run(
        """
        INSERT INTO contact (account_id, id, phone, stop_mask, created_at)
        WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < :last)
        SELECT :account_id, :first + n, 380000100000 + n, 0, 1700000000 FROM number
        """,
        account_id=account_id,
        first=ids[0],
        last=how_many - 1,
    )


def test_what_is_left_of_a_killed_export_is_overwritten(url: str, account: int, tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.with_name("book.csv.part").write_text("half a line")
    told(url, "export", "--all", "-o", str(path), "--quiet")
    assert phones(path.read_text()) == [1, 2, 3, 4, 5, 6]
    assert os.listdir(tmp_path).count("book.csv.part") == 0
