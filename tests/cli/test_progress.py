"""The line that shows how far long work is."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from rich.console import Console

from rollbook.cli.progress import Line
from tests.conftest import with_account
from tests.imports.desk import csv_of
from tests.servers import rollbook, run, shown_on

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal of that width, whose lines are kept."""

    def __init__(self, width: int) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=True, width=width, color_system=None)

    @property
    def lines(self) -> list[str]:
        text = ESCAPES.sub("", self.file.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_it_has_units_and_fits_one_line(width: int) -> None:
    screen = Screen(width)
    with Line(quiet=False, console=screen.console) as line:
        line.show("reading", 123_456_789, 4_567_890_123, "bytes", 1_234_567)
        line._bar.refresh()
        line.show("merging", 9_999_999, 10_000_000, "rows", 1_234_567)
        line._bar.refresh()
        line.end("done", 10_000_000)
    assert all(len(line) <= width for line in screen.lines)
    assert {line.split()[0] for line in screen.lines} == {"waiting", "reading", "merging", "done"}
    shown = {line.split()[0]: line for line in screen.lines}  # the last of each
    reading, merging = shown["reading"], shown["merging"]
    assert "123.5/4567.9 MB" in reading
    assert ("10.0M/10.0M rows" if width < 60 else "9,999,999/10,000,000 rows") in merging
    assert ("1,234,567 rows/s" in merging) == (width >= 90)
    assert screen.lines[-1].startswith("done")
    assert ("10.0M rows" if width < 60 else "10,000,000 rows") in screen.lines[-1]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_did_not_come_to_its_end_does_not_look_as_if_it_had(state: str) -> None:
    screen = Screen(120)
    with Line(quiet=False, console=screen.console) as line:
        line.show("merging", 1, 4, "rows", 0)
        line.end(state, 4)
    last = screen.lines[-1]
    assert last.startswith(state)
    assert last.count("━") == 10  # of 40
    assert "left" not in last


@pytest.mark.parametrize(("error", "word"), [(KeyboardInterrupt(), "stopped"), (OSError(), "failed")])
def test_what_is_interrupted_says_so(error: BaseException, word: str) -> None:
    screen = Screen(80)

    def work() -> None:
        with Line(quiet=False, console=screen.console) as line:
            line.show("exporting", 1, 4, "rows", 0)
            raise error

    with pytest.raises(type(error)):
        work()
    assert screen.lines[-1].startswith(word)


def on_a_terminal(path: Path, *flags: str, width: int = 40, **environment: str) -> tuple[int, str]:
    """The exit code of an import and what it prints to a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "TERM")}
    process = subprocess.Popen(
        rollbook("import", str(path), "--phone-check", "possible", *flags),
        stdout=subprocess.DEVNULL,
        stderr=slave,
        env={**known, "TERM": "xterm-256color", **environment},
    )
    os.close(slave)
    try:
        shown = shown_on(master)
        process.wait(60)
    finally:
        process.kill()
    return process.returncode, shown.decode()


def test_the_end_stays_on_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", with_account(f"sqlite:///{tmp_path}/rollbook.db"))
    path, bad = tmp_path / "contacts.csv", tmp_path / "bad.csv"
    path.write_text(csv_of(range(1, 4)))
    bad.write_text("name\nAnn\n")
    code, shown = on_a_terminal(path)
    assert code == 0
    last = ESCAPES.sub("", shown).split("\n")[-2]
    assert last.strip("\r").split("\r")[-1].split() == ["done", "3", "rows"]
    assert "\x1b[32m" in shown
    _, plain = on_a_terminal(path, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    code, failed = on_a_terminal(bad)
    assert code == 1
    assert "failed" in ESCAPES.sub("", failed)
    for hidden in (on_a_terminal(path, "--quiet"), on_a_terminal(path, TERM="dumb")):
        assert hidden == (0, "")
    assert run("import", str(path), "--phone-check", "possible").stderr == ""
