"""Nothing that comes from a file, its name or the book acts on the terminal of whoever uses the command."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
from pathlib import Path

import pytest

from rollbook.logs import JsonFormatter
from rollbook.texts import visible, visible_json
from tests.conftest import with_account
from tests.imports.desk import phone
from tests.servers import rollbook, run, shown_on

TITLE = "\x1b]0;owned\x1b~"
"""Sets the title of a terminal."""
NASTY = f"a{TITLE}\x9b2J\u202egnp\rb\nImport 7 of c: done."
"""An escape sequence, one that begins with C1, a bidi override, and two ends of lines."""
SHOWN = "a\\x1b]0;owned\\x1b~\\x9b2J\\u202egnp\\rb\\nImport 7 of c: done."


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a book; the environment names it."""
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    return tmp_path


def harmless(*texts: str) -> None:
    """Everything that was printed may go to a terminal."""
    for text in texts:
        for mark in ("\x1b", "\x9b", "\u202e", "\r"):
            assert mark not in text
        assert "\nImport 7" not in text


def on_a_terminal(*arguments: str) -> str:
    """What a command prints where its standard output is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(rollbook(*arguments), stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    try:
        shown = shown_on(master)
    finally:
        process.kill()
        process.wait(30)
    return shown.decode().replace("\r\n", "\n")  # the terminal's own ends of lines


def test_names_of_files_columns_and_lists_are_shown_harmlessly(book: Path) -> None:
    path = book / f"{NASTY}.csv"
    header = f"{TITLE}\u202ename"
    path.write_text(f"phone,{header}\n{phone(1)},x\n{TITLE}12,y\n")
    flags = ("--phone-check", "possible", "--create-fields", "--list", f"A{TITLE}\x9b")
    told = run("import", str(path), *flags)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"Import 1 of {SHOWN}.csv: done.\n")
    assert "\\x1b]0;owned\\x1b~\\u202ename" in told.stdout
    listed = run("imports", "list")
    assert f"{SHOWN}.csv" in listed.stdout
    machine = run("imports", "show", "1", "--json")
    assert json.loads(machine.stdout)["source"] == f"{NASTY}.csv"
    unknown = run("audience", "--list", f"B{TITLE}")
    assert unknown.returncode == 1
    checked = run("numbers", "check", str(path), "--column", "phone")
    columns = run("numbers", "check", str(path), "--column", f"{TITLE}x")
    assert columns.returncode == 1
    harmless(*(text for done in (told, listed, machine, unknown, checked, columns)
               for text in (done.stdout, done.stderr)))  # fmt: skip


def test_errors_are_one_harmless_line(book: Path) -> None:
    path = str(book / NASTY)
    wrong = [
        run("import", path),
        run("import", path, NASTY),
        run("import", path, f"--{NASTY}"),
        run("import", path, "--format", NASTY),
        run("import", path, "--encoding", NASTY),
        run("import", path, "--account", NASTY),
        run("numbers", "check", path),
        run("export", "--all", "-o", f"{path}/x"),
        run("export", "--list", NASTY),
        run("export", "--all", "--columns", NASTY),
        run(NASTY),
    ]
    for done in wrong:
        assert done.returncode in (1, 2)
        errors = [line for line in done.stderr.splitlines() if not line.startswith(("Usage:", "Try "))]
        assert [line for line in errors if line] == [errors[-1]]
        assert errors[-1].startswith("Error: ")
        harmless(done.stdout, done.stderr)


def test_rejects_and_exports_are_shown_harmlessly_and_written_as_they_are(book: Path) -> None:
    path = book / "contacts.csv"
    path.write_text(f'phone,City\n{phone(1)},"{TITLE}\u202eKyiv"\n12,"{TITLE}\nRome"\n')
    assert run("import", str(path), "--phone-check", "possible", "--create-fields").returncode == 0
    for command in (("imports", "rejects", "1"), ("export", "--all")):
        assert TITLE in run(*command).stdout
        shown = on_a_terminal(*command)
        assert "\\x1b]0;owned\\x1b~" in shown
        harmless(shown)


def test_a_name_that_is_no_text_is_refused(book: Path) -> None:
    path = os.fsdecode(os.fsencode(book) + b"/\xff.csv")
    Path(path).write_text(f"phone\n{phone(1)}\n")
    told = run("import", path)
    assert told.returncode == 1
    assert told.stderr.startswith(f"Error: The name {book}/\\udcff.csv is not UTF-8 text: rename it")
    assert run("imports", "list", "--json").stdout == "[]\n"
    assert run("numbers", "check", path).returncode == 1


def test_a_line_of_the_log_is_one_harmless_line() -> None:
    record = logging.LogRecord("rollbook", logging.WARNING, "work.py", 1, "import waits: %s", (NASTY,), None)
    line = JsonFormatter().format(record)
    harmless(line)
    assert json.loads(line)["event"] == f"import waits: {NASTY}"


def test_what_is_plain_stays_as_it_is() -> None:
    for text in ("plain", "Ünïcödé 名前 👩\u200d💻 می\u200cخواهم", "a\xa0b"):
        assert visible(text) == text
    assert visible("a\tb\nc\r", lines=True) == "a\tb\nc\\r"
    data = json.dumps({"a": f"{NASTY}\x7f"}, ensure_ascii=False).encode()
    harmless(visible_json(data).decode())
    assert json.loads(visible_json(data)) == json.loads(data)
