"""`rollbook systemd-unit`: prints a unit file for systemd."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import click

from rollbook.cli.common import Command, say

UNIT = resources.files("rollbook.cli") / "rollbook.service"
"""The unit file, which is valid without changes."""

UNIT_PROGRAM = "/opt/rollbook/bin/rollbook"
"""The program that the unit file starts, where docs/how-to/install.md puts it."""

HIDDEN_FOLDERS = (Path("/home"), Path("/root"), Path("/run/user"))
"""The folders that the unit's `ProtectHome=` hides from the service (systemd.exec(5))."""


@click.command("systemd-unit", cls=Command)
def systemd_unit() -> None:
    """Print a unit file for systemd that starts this installation.

    Write it to /etc/systemd/system/rollbook.service. It runs the service as the user rollbook, with its data
    in /var/lib/rollbook and its settings in /etc/rollbook/rollbook.env.
    """
    program = _program()
    click.echo(unit(program), nl=False)
    if any(program[0].is_relative_to(folder) for folder in HIDDEN_FOLDERS):
        say(
            f"Warning: the service cannot start {program[0]}, since the unit hides home folders from it. "
            "Install rollbook elsewhere, for example into /opt/rollbook.",
            err=True,
        )


def unit(program: tuple[Path | str, ...]) -> str:
    """The unit file that starts `program`, a path and its arguments."""
    command = " ".join(_word(str(part)) for part in program)
    return UNIT.read_text("utf-8").replace(f"ExecStart={UNIT_PROGRAM} ", f"ExecStart={command} ")


def _program() -> tuple[Path, *tuple[str, ...]]:
    """The command `rollbook` of this environment, or the module where the environment has no such command."""
    interpreter = Path(sys.executable)
    script = interpreter.with_name("rollbook")
    return (script,) if script.exists() else (interpreter, "-m", "rollbook")


def _word(text: str) -> str:
    """A word of a command line in a unit file, in which `%` has no special meaning and spaces do not split it
    (systemd.service(5), "Command lines")."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if " " in text else text
