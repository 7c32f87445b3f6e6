"""The sessions that pages show: their `console` blocks, run line by line in a shell, and compared with what it prints.

A page is one session: aliases, variables and files of one block are there in the next. A command that shows what it
prints must print that; one that does not must succeed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.docs.generate import ROOT
from tests.servers import Postgres, Service, begun

KEY = "live_0123456789abcdefghij"
"""The key in all pages; a session gets a real one in its place."""

SECONDS_MAX = 200

VARYING: Mapping[str, str] = {
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?": "(a moment)",
    r"\b(live|test)_(\w{20}|\w{4}\.\.\.|\w{4}(?=\"))": r"\1_(hidden)",
    r"\beyJ[\w.-]+": "(a token)",
    r"\b[\d.,]+ (rows|contacts)/s": r"(a rate) \1/s",
}
"""What differs from run to run, and what is compared in its place."""

SUBSTITUTED: Mapping[str, str] = {
    # Programs of this environment, and what needs root or a person.
    r"(?:\S*/)?\.venv/bin/rollbook\b": "rollbook",
    r"sudo -u \w+ ": "",
    r" --pwprompt\b": "",
    # What sets up a clone is not done within a session: make says what it would do.
    r"\bmake (?=\w)": f"make --dry-run --directory {shlex.quote(str(ROOT))} ",
    # A program that runs for ever ends as soon as it has nothing to do.
    r"\brollbook work\b": "rollbook work --until-idle",
}
"""What a session runs in place of what a page says."""


class Command(NamedTuple):
    """A command of a page, and what the page says that it prints; `line` is where it stands."""

    line: int
    text: str
    printed: list[str]


class Outcome(NamedTuple):
    """What a command did: its exit status, and what it printed on either stream."""

    status: int
    printed: list[str]


def commands(text: str) -> list[Command]:
    """The commands in the `console` blocks of a page."""
    found: list[Command] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Command(number, line[2:], []))
        elif inside and found and not found[-1].printed and _goes_on(found[-1].text):
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line}")
        elif inside:
            assert found, f"line {number}: a console block begins with a command"
            found[-1].printed.append(line)
    return [command._replace(printed=_trimmed(command.printed)) for command in found]


class Session:
    """A shell in a folder of its own, beside a service on a database there."""

    def __init__(self, folder: Path, service: Service, postgres: Postgres | None = None) -> None:
        self.folder = folder
        self.service = service
        self.postgres = postgres
        self._programs = folder.with_name(f"{folder.name}-bin")
        self._programs.mkdir()
        python = shlex.quote(sys.executable)
        self._program("rollbook", f'exec {python} -m rollbook "$@"')
        self._program("python3", f'exec {python} "$@"')
        if shutil.which("sqlite3") is None:
            self._program("sqlite3", f'exec {python} -m apsw "$@"')  # the same shell, by its own name

    def run(self, shown: Sequence[Command]) -> list[Outcome]:
        """Run commands one after another in one shell.

        Raises:
            AssertionError: the shell did not reach the end of a command.
        """
        return in_one_shell(
            [self._substituted(command.text) for command in shown],
            self._programs,
            folder=self.folder,
            env=self._environment(),
            unset=self._cleared(),
        )

    def _substituted(self, text: str) -> str:
        for pattern, by in SUBSTITUTED.items():
            text = re.sub(pattern, by.replace("\\", r"\\"), text)
        text = text.replace(KEY, self.service.key).replace("http://127.0.0.1:8080", self.service.url)
        text = text.replace("/var/lib/rollbook", str(self.folder))
        if self.postgres is not None:
            text = re.sub(
                r"postgresql://(\w+)(?::\w+)?@[\w.]+/(\w+)(?:\?sslmode=[\w-]+)?",
                rf"postgresql://\1@/\2?host={self.postgres.folder}",
                text,
            )
        return text

    def _environment(self) -> dict[str, str]:
        path = [str(self._programs), os.environ["PATH"]]
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # tables that take seconds
        own = {"HOME": str(self.folder), "XDG_CACHE_HOME": cache, "LC_ALL": "C.UTF-8", "ROLLBOOK_PORT": "0"}
        if self.postgres is not None:
            path.insert(1, str(self.postgres.bin))
            own |= {"PGHOST": str(self.postgres.folder), "PGUSER": "postgres"}
        return {**own, "PATH": os.pathsep.join(path)}

    def _cleared(self) -> list[str]:
        """Variables that a session does not get: it has no setting of the developer's."""
        own = self._environment()
        return [name for name in os.environ if name.startswith(("ROLLBOOK_", "PG")) and name not in own]

    def _program(self, name: str, text: str) -> None:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)


def in_one_shell(
    texts: Sequence[str], scratch: Path, *, folder: Path, env: Mapping[str, str], unset: Sequence[str] = ()
) -> list[Outcome]:
    """Run commands one after another in one shell.

    Args:
        scratch: an existing folder for the script and what it prints.
        folder: where the shell begins.
        env: variables beside those of this process.
        unset: variables of this process that the shell does not get.

    Raises:
        AssertionError: the shell did not reach the end of a command.
    """
    lines = ["shopt -s expand_aliases"]
    for text in texts:
        lines += [text, r"printf '\n\036%d\n' $?"]
    script, output = scratch / "session.sh", scratch / "output"
    script.write_text("\n".join(lines) + "\n", "utf-8")
    with (
        output.open("wb") as stdout,
        begun(
            ["env", *(f"--unset={name}" for name in unset), "bash", str(script)],
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(SECONDS_MAX)
        except BaseException:
            print(output.read_text("utf-8", "replace"))
            os.killpg(shell.pid, signal.SIGKILL)  # what it started, too
            raise
    printed = output.read_text("utf-8", "replace")
    parts = re.split(r"\n\x1e(\d+)\n", printed)
    outcomes = [
        Outcome(int(status), _trimmed(part.splitlines()))
        for part, status in zip(parts[::2], parts[1::2], strict=False)
    ]
    assert len(outcomes) == len(texts), f"{script.read_text()}\n{printed}"
    return outcomes


def lies(shown: Sequence[Command], outcomes: Sequence[Outcome]) -> list[str]:
    """A sentence for each command that failed, or did not print what its page says."""
    return [
        f"line {command.line}: {command.text}\n{problem}"
        for command, outcome in zip(shown, outcomes, strict=True)
        if (problem := _problem(command, outcome))
    ]


def _problem(command: Command, outcome: Outcome) -> str:
    printed = "\n".join(outcome.printed)
    if command.printed:
        expected, found = _masked(command.printed), _masked(outcome.printed)
        if not matches(expected, found):
            return "shows:\n{}\nprints:\n{}".format("\n".join(expected), "\n".join(found))
        if outcome.status == 0 or any(line.startswith("Error:") for line in command.printed):
            return ""
    status = re.search(r"^HTTP (\d+)$", printed, re.MULTILINE)
    if outcome.status or (status and not status[1].startswith("2")):
        return f"exit status {outcome.status}:\n{printed}"
    return ""


def matches(expected: Sequence[str], found: Sequence[str]) -> bool:
    """Whether lines are those that a page shows, in which `...` stands for any lines left out."""
    pattern = "".join("(?:.*\n)*" if line.strip() == "..." else f"{re.escape(line)}\n" for line in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None


def _goes_on(text: str) -> bool:
    """Whether the next line belongs to a command: after a backslash, and up to the end of a here-document."""
    here = re.search(r"<<'(\w+)'", text)
    return text.endswith("\\") or (here is not None and text.splitlines()[-1] != here[1])


def _masked(lines: Iterable[str]) -> list[str]:
    text = "\n".join(line.rstrip() for line in lines)
    for pattern, by in VARYING.items():
        text = re.sub(pattern, by, text)
    return [re.sub(r"(\(a moment\)|\(hidden\)) +", r"\1 ", line) for line in text.split("\n")]


def _trimmed(lines: Sequence[str]) -> list[str]:
    return "\n".join(lines).strip("\n").split("\n") if any(line.strip() for line in lines) else []
