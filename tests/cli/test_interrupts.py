"""An interrupt while a command waits for a pipe or a person changes nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import with_account
from tests.imports.desk import csv_of
from tests.servers import begun, rollbook, run


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool of a book with an account."""
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    monkeypatch.setenv("ROLLBOOK_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_that_an_interrupt_cuts_is_not_taken_for_the_file(spool: Path, number: int) -> None:
    command = rollbook("import", "-", "--list", "Customers", "--mode", "replace")
    pipe = subprocess.PIPE
    with begun(command, measured=False, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        process.stdin.write(csv_of(range(1, 4)))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(spool.glob("incoming/*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(60) == 130  # the pipe is open still
        assert process.stderr is not None
        assert process.stderr.read() == "Stopped while standard input was read: nothing was imported.\n"
    assert run("imports", "list", "--json").stdout == "[]\n"
    assert list(spool.glob("incoming/*")) == []


def test_standard_input_that_cannot_be_kept(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ROLLBOOK_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    command = rollbook("import", "-")
    done = subprocess.run(command, input="phone\n", capture_output=True, text=True, check=False)
    told = f"Error: Standard input cannot be kept in {tmp_path}/file/spool: not a directory.\n"
    assert (done.returncode, done.stderr) == (1, told)
    assert run("imports", "list", "--json").stdout == "[]\n"


def asked(path: Path, answer: bytes) -> tuple[int, str]:
    """Replace the members of a list by those of a file, on a terminal, and answer the question; the exit code,
    and what the terminal showed."""
    master, slave = pty.openpty()
    flags = ("--list", "Everybody", "--mode", "replace", "--phone-check", "possible", "--quiet")
    command = rollbook("import", str(path), *flags)
    with begun(
        command, measured=False, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(master, 4096)
        os.write(master, answer)
        while not answer and not select.select([master], [], [], 1)[0]:
            process.send_signal(signal.SIGINT)  # again: it may have come before the command waited
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        return process.wait(60), shown.decode()


def test_on_a_terminal_the_command_asks(spool: Path, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(csv_of(range(150)))
    assert run("import", str(path), "--list", "Everybody", "--phone-check", "possible").returncode == 0
    path.write_text(csv_of(range(3)))
    for answer in (b"n\n", b"\n", b"\x04", b""):
        status, shown = asked(path, answer)
        assert (status, "would take 147 of 150 members" in shown) == (1, True)
        [import_, *_] = json.loads(run("imports", "list", "--json").stdout)
        assert import_["state"] == "confirm"
        assert f"rollbook imports cancel {import_['id']}" in shown
        cancelled = run("imports", "cancel", str(import_["id"]))
        assert cancelled.stdout == f"Import {import_['id']} is cancelled.\n"
    assert asked(path, b"y\n")[0] == 0
    [import_, *_] = json.loads(run("imports", "list", "--json").stdout)
    assert (import_["state"], import_["report"]["removed"]) == ("done", 147)
