"""The command `rollbook`: one module for each noun, put together here."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import rollbook
from rollbook.cli import accounts, doctor, export, imports, numbers, serve, stops, systemd, verify
from rollbook.cli.common import CommandGroup
from rollbook.texts import visible


class _Commands(CommandGroup):
    """Commands whose errors, including click's own, are one line that cannot control the terminal."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _visible_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _visible_errors():
            return super().invoke(ctx)


@contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        own_lines = isinstance(error, click.MissingParameter)
        message = visible(error.format_message(), lines=own_lines)
        raise click.UsageError(message, error.ctx) from error
    except click.ClickException as error:
        raise click.ClickException(visible(error.format_message())) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rollbook.__version__, prog_name="rollbook")
def rollbook_command() -> None:
    """Contact lists and stop lists for messaging, exactly counted."""


for _command in (
    serve.serve,
    verify.migrate,
    verify.verify,
    doctor.doctor,
    accounts.account,
    accounts.key,
    imports.import_file,
    imports.imports_group,
    imports.work,
    numbers.numbers,
    stops.stops,
    export.export,
    export.audience,
    systemd.systemd_unit,
):
    rollbook_command.add_command(_command)


def main() -> None:
    """Run the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may not be valid text
    rollbook_command(prog_name="rollbook")
