"""A slip on the command line ends with 2, says what there is, and makes nothing. The cases follow from the
commands, so that new ones are tried as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rollbook import config
from rollbook.cli import rollbook_command
from rollbook.cli.common import Command
from tests.api.test_slips import misspelt

VALUES = {
    "--stop": "sms",
    "--reachable": "sms",
    "--stopped": "sms",
    "--channels": "sms",
    "--region": "UA",
    "--map": "a=b",
    "--encoding": "utf-8",
    "--delimiter": ";",
}
"""Of flags whose value is no mere text."""


def commands(
    group: click.Group = rollbook_command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def arguments(command: click.Command) -> list[str]:
    """Values for what a command needs."""
    needed = [param for param in command.params if param.required]
    flags = [param for param in needed if isinstance(param, click.Option)]
    given = [word for param in flags for word in (param.opts[0], value_of(param))]
    return ["1" for param in needed if isinstance(param, click.Argument)] + given


def value_of(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    return VALUES.get(option.opts[0], "20")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    """Runs commands in an empty folder, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield CliRunner()
    assert list(tmp_path.iterdir()) == []


def test_every_command_refuses_slips() -> None:
    assert [path for path, command in COMMANDS.items() if not isinstance(command, Command)] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_unknown_a_repeated_and_an_empty_flag_end_with_2(told: CliRunner, path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    known = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
    given = [*path, *arguments(command)]
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        [flag] = [flag for flag in option.opts if flag.startswith("--")]
        value = [] if option.is_flag else [value_of(option)]
        for wrong in misspelt(flag.removeprefix("--")):
            if f"--{wrong}" not in known:
                done = told.invoke(rollbook_command, [*given, f"--{wrong}", *value])
                assert (done.exit_code, "No such option" in done.output) == (2, True), (wrong, done.output)
        if option.is_flag:
            continue
        if not option.multiple:
            done = told.invoke(rollbook_command, [*given, flag, *value, flag, *value])
            assert (done.exit_code, "may be given once" in done.output) == (2, True), (flag, done.output)
        if option.default != "":
            done = told.invoke(rollbook_command, [*given, flag, ""])
            assert done.exit_code == 2, (flag, done.output)
            assert flag in done.output


@pytest.mark.parametrize("slip", [["--header", "--no-header"], ["--no-header", "--header"]])
def test_a_flag_and_its_opposite_do_not_go_together(told: CliRunner, slip: list[str]) -> None:
    done = told.invoke(rollbook_command, ["import", "x.csv", *slip])
    assert (done.exit_code, "may be given once" in done.output) == (2, True)


@pytest.mark.parametrize("value", [",", " ", "smss", "sms,smss"])
def test_channels_that_there_are_not_end_with_2(told: CliRunner, value: str) -> None:
    for given in (["audience", "--reachable"], ["export", "--all", "--stopped"], ["import", "x", "--stop"]):
        done = told.invoke(rollbook_command, [*given, value])
        assert done.exit_code == 2, done.output
        assert "sms, viber, rcs, whatsapp" in done.output


def test_closed_choices_show_in_the_help(told: CliRunner) -> None:
    for path, command in COMMANDS.items():
        shown = told.invoke(rollbook_command, [*path, "--help"]).output
        for param in command.params:
            words = [*config.CHOICES.get(param.name or "", ())]
            if isinstance(param.type, click.Choice):
                words = [*map(str, param.type.choices)]
            assert not words or f"[{'|'.join(words)}]" in "".join(shown.split()), (path, param.name)
    for path in (("export",), ("audience",)):
        assert "sms, viber, rcs, whatsapp" in " ".join(
            told.invoke(rollbook_command, [*path, "--help"]).output.split()
        )


WITH_ID = [path for path, command in COMMANDS.items() if any(p.name == "import_id" for p in command.params)]


@pytest.mark.parametrize("path", WITH_ID, ids=" ".join)
def test_an_id_that_no_database_can_hold_is_the_id_of_nothing(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", f"sqlite:///{tmp_path / 'rollbook.db'}")
    assert CliRunner().invoke(rollbook_command, ["account", "create", "one"]).exit_code == 0
    for number in (10**15, 2**63, 10**30):
        answer = CliRunner().invoke(rollbook_command, [*path, str(number), "--account", "one"])
        assert answer.exit_code == 1, answer.output
        assert f"There is no import {number}." in answer.stderr


def test_a_link_to_the_database_leads_to_the_same_spool(tmp_path: Path) -> None:
    """Or a command would look in vain for the files of the service's imports, and fail them."""
    (tmp_path / "rollbook.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "rollbook.db")
    spools = {
        config.spool_of(config.Settings(database_url=f"sqlite:///{tmp_path / name}"))
        for name in ("rollbook.db", "link.db")
    }
    assert spools == {tmp_path / "rollbook.db.spool"}


def test_the_help_of_revoking_states_the_delay(told: CliRunner) -> None:
    shown = told.invoke(rollbook_command, ["key", "revoke", "--help"]).output
    seconds = config.Settings().auth_cache_seconds
    assert f"auth_cache_seconds, {seconds:g} seconds by default" in " ".join(shown.split())
