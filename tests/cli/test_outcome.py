"""An import that left people out does not end like one that went well."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import with_account
from tests.imports.desk import csv_of, phone
from tests.servers import rollbook, run, shown_on

GOOD = csv_of(range(1, 4))
SOME = GOOD + "nonsense\n"
NONE = "phone\nnonsense\n12\n"


@pytest.fixture(autouse=True)
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a book; the environment names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    return tmp_path


def importing(text: str, *flags: str) -> list[str]:
    Path("it.csv").write_text(text)
    return ["import", "it.csv", "--phone-check", "possible", *flags]


CASES: list[tuple[str, list[str], int, str, str]] = [
    ("all good", [], 0, "ok", ""),
    ("all good", ["--stop", "sms"], 0, "ok", ""),
    ("some bad", [], 0, "some_rejected", ""),
    ("some bad", ["--strict"], 3, "some_rejected", ""),
    (
        "some bad",
        ["--stop", "sms"],
        3,
        "some_rejected",
        "1 of 4 rows was rejected: nobody was stopped by it.",
    ),
    ("some bad", ["--stop", "sms", "--allow-rejects"], 0, "some_rejected", "1 of 4 rows was rejected: "),
    ("some bad", ["--stop", "sms", "--dry-run"], 3, "some_rejected", "1 of 4 rows was rejected: "),
    ("some bad", ["--list", "Those", "--stop", "sms"], 3, "some_rejected", "1 of 4 rows was rejected: "),
    ("all bad", [], 3, "all_rejected", "Every row was rejected: nothing was imported."),
    ("all bad", ["--stop", "sms"], 3, "all_rejected", "Every row was rejected: nobody was stopped."),
    ("all bad", ["--stop", "sms", "--allow-rejects"], 3, "all_rejected", "Every row was rejected: "),
    ("all bad", ["--mode", "update"], 3, "all_rejected", "Every row was rejected: nothing was imported."),
]
TEXTS = {"all good": GOOD, "some bad": SOME, "all bad": NONE}


@pytest.mark.parametrize(
    ("file", "flags", "status", "outcome", "told"),
    CASES,
    ids=[" ".join([file, *flags]) for file, flags, *_ in CASES],
)
def test_the_exit_code_and_the_line_say_how_it_went(
    file: str, flags: list[str], status: int, outcome: str, told: str
) -> None:
    done = run(*importing(TEXTS[file], *flags, "--json"))
    assert done.returncode == status, done.stderr
    import_ = json.loads(done.stdout)
    assert (import_["state"], import_["outcome"]) == ("done", outcome)
    assert list(import_)[list(import_).index("state") + 1] == "outcome"
    assert done.stderr.startswith(told) if told else done.stderr == ""


def test_lists_and_reports_have_the_outcome() -> None:
    for text, outcome in ((GOOD, "ok"), (SOME, "some_rejected"), (NONE, "all_rejected")):
        import_ = json.loads(run(*importing(text, "--json")).stdout)
        assert json.loads(run("imports", "show", str(import_["id"]), "--json").stdout)["outcome"] == outcome
    path = Path("bad.csv")
    path.write_text("name\nAnn\n")
    failed = json.loads(run("import", str(path), "--json").stdout)
    assert (failed["state"], failed["outcome"]) == ("failed", None)
    listed: list[Any] = json.loads(run("imports", "list", "--json").stdout)
    assert [import_["outcome"] for import_ in listed] == [None, "all_rejected", "some_rejected", "ok"]
    table = run("imports", "list").stdout.splitlines()
    assert [row.split()[2] for row in table[2:]] == ["done"] * 3
    assert [row.split()[6] for row in table[2:]] == ["all_rejected", "some_rejected", "ok"]


def test_an_export_with_stops_that_comes_back_with_a_rejected_row_is_an_opt_out_import() -> None:
    text = (
        f"phone,id,created_at,stopped\n{phone(1)},1,2022-04-28T14:21:16Z,sms\n12,2,2022-04-28T14:21:16Z,sms\n"
    )
    done = run(*importing(text))
    assert done.returncode == 3, done.stdout
    assert done.stderr == "1 of 2 rows was rejected: nobody was stopped by it.\n"


def test_a_resumed_import_ends_in_the_same_way() -> None:
    import_ = json.loads(run(*importing(SOME, "--stop", "sms", "--json")).stdout)
    assert run("imports", "resume", str(import_["id"])).returncode == 3
    assert run("imports", "resume", str(import_["id"]), "--allow-rejects").returncode == 0


def test_strict_and_allowing_rejects_do_not_go_together() -> None:
    done = run(*importing(SOME, "--strict", "--allow-rejects"))
    assert (done.returncode, "do not go together" in done.stderr) == (2, True)


def test_the_line_is_red_on_a_terminal() -> None:
    master, slave = pty.openpty()
    command = rollbook(*importing(NONE, "--quiet"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    try:
        shown = shown_on(master)
    finally:
        process.kill()
        process.wait(30)
    assert b"\x1b[31m" in shown
    assert b"Every row was rejected: nothing was imported." in shown
