"""The unit file for systemd, checked by systemd itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rollbook import config
from rollbook.cli import systemd
from rollbook.config import Settings
from rollbook.imports import minder
from tests.servers import run

UNIT = "rollbook.service"


def verified(unit: Path) -> str:
    """What `systemd-analyze verify` says of a unit file: nothing, when all is well. What it says of other units
    of this machine is left out."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    about_it = "".join(line for line in done.stdout.splitlines(keepends=True) if unit.name in line)
    assert done.returncode == 0 or about_it, done.stdout
    return about_it


def printed(folder: Path) -> Path:
    """The unit as the command prints it, in a file."""
    done = run("systemd-unit")
    assert done.returncode == 0, done.stderr
    (folder / UNIT).write_text(done.stdout)
    return folder / UNIT


def values(text: str) -> dict[str, str]:
    """The lines of a unit; of what stands there more than once the last one."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    assert verified(printed(tmp_path)) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("KillMode=mixed", "KillMod=mixed", "'KillMod'"),
        ("UMask=0077", "UMask=none", "none"),
        ("ExecStart=", "ExecStart=/nowhere", "/nowhere"),
    ],
)
def test_systemd_would_say_what_is_wrong_with_it(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    unit = printed(tmp_path)
    text = unit.read_text()
    assert text.count(f"\n{right}") == 1
    unit.write_text(text.replace(f"\n{right}", f"\n{wrong}"))
    assert said in verified(unit)


def test_the_printed_unit_starts_this_installation(tmp_path: Path) -> None:
    command = values(printed(tmp_path).read_text())["ExecStart"].split()
    assert command[-1] == "serve"
    done = subprocess.run([*command[:-1], "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rollbook, version ")
    assert Path(command[0]).parent == Path(sys.executable).parent


def test_a_path_with_spaces_and_specifiers_is_one_word_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "100% of $HOME" / "rollbook"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT
    unit.write_text(systemd.unit((program,)))
    assert verified(unit) == ""
    os.remove(program)
    assert "is not executable" in verified(unit)


def test_it_has_time_to_end_in_order() -> None:
    unit = values(systemd.UNIT.read_text("utf-8"))
    assert int(unit["TimeoutStopSec"]) >= Settings().shutdown_seconds + minder.END_SECONDS + 10
    assert unit["KillMode"] == "mixed"


def test_its_database_and_its_variables_are_settings() -> None:
    text = systemd.UNIT.read_text("utf-8")
    unit = values(text)
    name, _, url = unit["Environment"].partition("=")
    settings = config.load({}, {name: url})
    folder = f"/var/lib/{unit['StateDirectory']}"
    assert settings.database_url == f"sqlite:///{folder}/rollbook.db"
    assert unit["WorkingDirectory"] == folder
    variables = {config.variable(setting) for setting, _ in config.all_settings()}
    assert set(re.findall(r"ROLLBOOK_\w+", text)) <= variables
