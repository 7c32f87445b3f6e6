"""The end of commands that import: the exit code, and the message about rejected rows."""

from __future__ import annotations

import sys

import click

from rollbook.imports import Import
from rollbook.texts import counted, visible

REJECTED = 3
"""Exit code of an import that is done but left out rows: all rows, some where phones are to be stopped, or
any with --strict."""

strict_flag = click.option("--strict", is_flag=True, help=f"Exit with {REJECTED} when a row was rejected.")

allow_rejects_flag = click.option(
    "--allow-rejects",
    is_flag=True,
    help=f"Exit with 0, not {REJECTED}, when some rows of an import that stops phones were rejected.",
)


def end(import_: Import, *, strict: bool = False, allow_rejects: bool = False) -> None:
    """End the command with the result of its import: exit code 1 when it is not done, `REJECTED` when it left
    out rows that it should not have; that is printed in a line that is red on a terminal.

    Raises:
        SystemExit: with these codes.
    """
    if import_.outcome in ("some_rejected", "all_rejected"):
        serious = import_.outcome == "all_rejected" or import_.stops_phones
        if serious:
            click.secho(visible(_sentence(import_)), fg="red", bold=True, err=True)
        if strict or import_.outcome == "all_rejected" or (serious and not allow_rejects):
            sys.exit(REJECTED)
    if import_.state not in ("done", "undone"):
        sys.exit(1)


def _sentence(import_: Import) -> str:
    rejected, read = import_.report.rows_rejected, import_.rows_read
    if import_.outcome == "all_rejected":
        which = "Every row was rejected" if read != 1 else "The only row was rejected"
        return f"{which}: {'nobody was stopped' if import_.stops_phones else 'nothing was imported'}."
    rows = f"{rejected:,} of {counted(read, 'row')} {'was' if rejected == 1 else 'were'} rejected"
    return f"{rows}: nobody was stopped by {'it' if rejected == 1 else 'them'}."
