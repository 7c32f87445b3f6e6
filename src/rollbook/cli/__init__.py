"""The command `rollbook`: one module for each noun, put together here."""

from __future__ import annotations

import click

import rollbook
from rollbook.cli import accounts, export, imports, numbers, serve, verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rollbook.__version__, prog_name="rollbook")
def rollbook_command() -> None:
    """Contact lists and stop lists for messaging, exactly counted."""


for _command in (
    serve.serve,
    verify.migrate,
    verify.verify,
    accounts.account,
    accounts.key,
    imports.import_file,
    imports.imports,
    imports.work,
    numbers.numbers,
    export.export,
    export.audience,
):
    rollbook_command.add_command(_command)


def main() -> None:
    """Run the command."""
    rollbook_command(prog_name="rollbook")
