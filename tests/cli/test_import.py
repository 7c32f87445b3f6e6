"""`rollbook import`, `rollbook imports` and `rollbook work`, as people use them."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import with_account
from tests.imports.desk import csv_of, phone
from tests.servers import begun, rollbook, run


@pytest.fixture
def account(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database with an account; the environment names both it and the spool."""
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(url))
    monkeypatch.setenv("ROLLBOOK_SPOOL_DIR", str(tmp_path / "spool"))
    return url


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `account`, for what is the same on every engine."""
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))


def imported(path: Path | str, *flags: str, status: int = 0) -> Any:
    """What the command prints as JSON."""
    done = run("import", str(path), "--phone-check", "possible", "--json", *flags)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_a_file_comes_into_a_list_and_out_again(account: str, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(f"Phone;City\n{phone(1)};Kyiv\n{phone(2)};Rome\nnonsense;Oslo\n{phone(2)};Bonn\n")
    told = run("import", str(path), "--list", "Customers", "--phone-check", "possible", "--create-fields")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "Import 1 of customers.csv: done.",
        "Columns: Phone -> phone, City.",
        "Read as csv, encoding utf-8, delimiter ';', header: line 1.",
        "ROWS",
        "read                                         4",
        "rejected: not a number                       1",
        "duplicate in the file (the last one counts)  1",
        "new contacts                                 2",
        "joined the list                              2",
        "Rejected rows with their lines: rollbook imports rejects 1",
    ]
    assert told.stderr == ""
    rejects = run("imports", "rejects", "1").stdout.splitlines()
    assert rejects[0] == "rollbook:line,rollbook:reason,rollbook:message,Phone,City,rollbook:row"
    assert next(csv.reader(rejects[1:]))[:2] == ["4", "not_a_number"]
    listed = run("imports", "list").stdout.splitlines()
    assert listed[0].split() == [
        "ID",
        "FILE",
        "STATE",
        "ROWS",
        "NEW",
        "REJECTED",
        "OUTCOME",
        "CREATED",
        "(UTC)",
    ]
    assert listed[1].split()[:7] == ["1", "customers.csv", "done", "4", "2", "1", "some_rejected"]
    shown = json.loads(run("imports", "show", "1", "--json").stdout)
    assert shown["report"]["created"] == 2
    undone = run("imports", "undo", "1")
    assert "undo: contacts deleted  " in undone.stdout
    assert json.loads(run("verify", "--json").stdout)["drift"] == []


def test_standard_input_a_dry_run_and_the_exit_codes(account: str, tmp_path: Path) -> None:
    text = csv_of(range(1, 5)) + "nonsense\n"
    command = rollbook("import", "-", "--phone-check", "possible", "--dry-run")
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Dry run: nothing was changed. It would be:")
    path = tmp_path / "contacts.csv"
    path.write_text(text)
    rejects = tmp_path / "rejects.csv"
    assert imported(path, "--strict", "--rejects", str(rejects), status=3)["report"]["created"] == 4
    assert rejects.read_text().splitlines()[1].startswith("6,")
    assert imported(path, "--region", "ua")["report"]["unchanged"] == 4
    bad = tmp_path / "bad.csv"
    bad.write_text("name\nAnn\n")
    assert imported(bad, status=1)["state"] == "failed"
    assert run("import", str(path), "--map", "phone").returncode == 2
    assert run("import", str(path), "--account", "nobody").returncode == 1
    assert not list((tmp_path / "spool" / "incoming").iterdir())


def test_a_file_for_rejects_that_cannot_be_is_refused_before_the_import(local: None, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 3)) + "nonsense\n")
    (tmp_path / "link.csv").symlink_to(path)
    wrong = {
        str(tmp_path): "is a directory",
        str(tmp_path / "none" / "rejects.csv"): "no such file or directory",
        str(path / "rejects.csv"): "not a directory",
        str(tmp_path / ("x" * 300)): "file name too long",
        str(path): "it is the file that is read",
        "-": "name a file; `rollbook imports rejects ID` prints the rejects of an import",
        str(tmp_path / "link.csv"): "it is the file that is read",
    }
    for rejects, why in wrong.items():
        done = run("import", str(path), "--rejects", rejects)
        assert (done.returncode, done.stderr) == (1, f"Error: {rejects} cannot be written: {why}.\n")
    assert run("imports", "list", "--json").stdout == "[]\n"
    assert path.read_text().endswith("nonsense\n")
    done = run("numbers", "check", str(path), "--output", str(tmp_path / "link.csv"))
    assert done.stderr == f"Error: {tmp_path / 'link.csv'} cannot be written: it is the file that is read.\n"
    full = run("import", str(path), "--phone-check", "possible", "--rejects", "/dev/full")
    assert (full.returncode, full.stderr) == (
        1,
        "Error: /dev/full cannot be written: no space left on device.\n",
    )


def test_a_file_for_rejects_stays_as_it_was_until_they_come(local: None, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("name\nAnn\n")
    good.write_text(f"phone,note\n{phone(1)},\nx,=1+1\n")
    rejects, new = tmp_path / "rejects.csv", tmp_path / "new.csv"
    rejects.write_text("mine, longer than what comes\n" * 20)
    assert run("import", str(bad), "--rejects", str(rejects)).returncode == 1
    assert rejects.read_text().startswith("mine")
    assert run("import", str(bad), "--rejects", str(new)).returncode == 1
    assert not new.exists()
    import_ = imported(good, "--rejects", str(rejects))
    assert rejects.read_text() == run("imports", "rejects", str(import_["id"])).stdout
    assert "'=1+1" in rejects.read_text()
    import_ = imported(good, "--rejects", str(new), "--raw")
    assert [row["note"] for row in csv.DictReader(new.read_text().splitlines())] == ["=1+1"]
    assert new.read_text() == run("imports", "rejects", str(import_["id"]), "--raw").stdout
    assert (
        run("imports", "rejects", str(import_["id"]), "--raw", "--bom").stdout == "\ufeff" + new.read_text()
    )


def test_columns_and_stops_by_flags(account: str, tmp_path: Path) -> None:
    path = tmp_path / "optouts.txt"
    path.write_text(f"a\tb\n{phone(1)}\tx\n{phone(2)}\ty\n")
    report = imported(path, "--stop", "sms, viber", "--map", "a=phone", "--delimiter", "\\t")["report"]
    assert (report["only_stopped"], report["stops_added"]) == (2, 2)
    twice = imported(path, "--stop", "rcs", "--stop", "whatsapp", "--map", "a=phone")["report"]
    assert twice["stops_added"] == 2


def test_opt_outs_without_a_row_are_a_success_of_no_rows(local: None, tmp_path: Path) -> None:
    path = tmp_path / "optouts.csv"
    path.write_text("phone,reason\n")
    told = run("import", str(path), "--stop", "sms")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Import 1 of optouts.csv: done.\n")
    assert told.stdout.splitlines()[-2:] == ["ROWS", "read  0"]
    assert imported(path, "--stop", "sms", "--strict")["rows_read"] == 0
    assert run("import", str(path)).stderr == "Error: optouts.csv has a header but no rows.\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--stop", "fax"], "'--stop': The stop must be any of sms, viber, rcs, whatsapp, not 'fax'."),
        (["--stop", ""], "'--stop': The stop is empty: it takes some of sms, viber, rcs, whatsapp."),
        (["--map", "phone"], "'--map': The map must be COLUMN=FIELD, not 'phone'."),
        (["--map", "a=phone", "--map", "a=b"], "The map says two things of the column 'a'."),
        (["--region", "XX"], "'--region': The region must be two letters such as UA (ISO 3166-1), not 'XX'."),
        (["--format", "foo"], "'--format': 'foo' is not one of 'csv', 'xlsx', 'parquet', 'jsonl', 'vcard'."),
        (["--delimiter", "ab"], "'--delimiter': The delimiter cannot be 'ab'"),
        (["--encoding", "klingon"], "'--encoding': There is no encoding 'klingon'"),
        (["--encoding", ""], "'--encoding': The encoding is empty"),
        (["--list", "ab"], "'--list': The list name must be at least 3 characters."),
        (["--mode", "replace"], "Error: --mode replace needs a list whose members to replace: --list."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_that_cannot_be_is_refused_before_anything_is_done(
    tmp_path: Path, flags: list[str], told: str
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 5)))
    database = tmp_path / "rollbook.db"
    done = run("import", str(path), "--database-url", f"sqlite:///{database}", *flags)
    assert done.returncode == 2
    assert told in done.stderr
    assert not database.exists()


def test_an_error_names_flags_whoever_begun_the_import(local: None, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name\nAnn\n")
    failed = run("import", str(path))
    assert failed.returncode == 1
    assert failed.stderr.endswith("Say which one it is: --map COLUMN=phone.\n")
    assert "--map COLUMN=phone" in json.loads(run("imports", "list", "--json").stdout)[0]["error"]
    assert "--map COLUMN=phone" in run("imports", "show", "1").stderr


def test_a_list_is_meant_as_everywhere(account: str, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 5)))
    named = imported(path, "--list", "Customers")["list_id"]
    for word in (f"#{named}", str(named), " Customers"):
        assert imported(path, "--list", word)["list_id"] == named
        assert run("audience", "--list", word).stdout == "4\n"
    told = run("import", str(path), "--phone-check", "possible", "--list", str(named))
    assert told.stderr == f"The list {named} is 'Customers'.\n"
    new = imported(path, "--list", "123456")
    assert new["report"]["list_created"]
    assert run("audience", "--list", "123456").stdout == "4\n"
    for command in (["import", str(path)], ["audience"], ["export"]):
        refused = run(*command, "--list", "#999999")
        assert (refused.returncode, refused.stderr) == (1, "Error: There is no contact list '#999999'.\n")
    assert run("import", str(path), "--list", "0").stderr == "Error: There is no contact list '0'.\n"


def test_several_accounts_have_to_be_told_apart(account: str, tmp_path: Path) -> None:
    with_account(account, "bob")
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 5)))
    refused = run("import", str(path))
    assert refused.returncode == 2
    assert "alice, bob" in refused.stderr
    assert imported(path, "--account", "bob", "--sandbox")["report"]["created"] == 4


def test_an_import_that_is_interrupted_is_resumed(account: str, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 150_000)))
    command = rollbook("import", str(path), "--list", "Customers", "--phone-check", "possible")
    with begun(command, measured=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            listed = json.loads(run("imports", "list", "--json").stdout)
            if listed:
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    if process.returncode != 0:  # unless it was quicker
        assert process.returncode == 130, told
        assert "rollbook imports resume 1" in told
    assert run("imports", "resume", "1").returncode == 0
    shown = json.loads(run("imports", "show", "1", "--json").stdout)
    assert (shown["state"], shown["report"]["created"]) == ("done", 149_999)
    assert json.loads(run("verify", "--json").stdout)["drift"] == []


def test_work_does_what_waits_and_ends_when_idle(account: str, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 300_000)))
    command = rollbook("import", str(path), "--phone-check", "possible", "--quiet")
    with begun(command, stdout=subprocess.DEVNULL) as process:
        while not json.loads(run("imports", "list", "--json").stdout):
            time.sleep(0.01)
        process.kill()
    assert run("work", "--until-idle").returncode == 0
    [import_] = json.loads(run("imports", "list", "--json").stdout)
    assert (import_["state"], import_["report"]["created"]) == ("done", 299_999)


def test_cancel_and_what_has_ended(account: str, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 5)))
    imported(path)
    refused = run("imports", "cancel", "1")
    assert refused.returncode == 1
    assert refused.stderr == "Error: Import 1 cannot be cancelled: it is done.\n"
    assert run("imports", "show", "9").stderr == "Error: There is no import 9.\n"


def test_a_terminal_shows_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(1, 200_000)))
    master, slave = pty.openpty()
    with begun(
        rollbook("import", str(path), "--phone-check", "possible"),
        env={"TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.DEVNULL,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        assert process.wait(30) == 0
    assert b"merging" in shown
    assert b"199,999 rows in" in shown  # how it ended stays there
