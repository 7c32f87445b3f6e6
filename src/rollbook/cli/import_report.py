"""An import as commands show it: its state, its report, and why it waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from rollbook.cli.common import print_json, print_table, say
from rollbook.imports import Import, Report
from rollbook.options import as_flags


def waits_for(import_: Import) -> str:
    """Why an import waits for a confirmation."""
    report = import_.report
    return (
        f"Import {import_.id} would take {report.leaving:,} of {report.members:,} members out of the list "
        "that it replaces."
    )


def shown(import_: Import) -> dict[str, Any]:
    """An import as commands show it in JSON: with its outcome, and with flags in its error and warnings."""
    warnings = [as_flags(warning) for warning in import_.report.warnings]
    spelled = msgspec.structs.replace(
        import_,
        error=as_flags(import_.error) if import_.error is not None else None,
        report=msgspec.structs.replace(import_.report, warnings=warnings),
    )
    values: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(spelled).items():
        values[name] = value
        if name == "state":
            values["outcome"] = import_.outcome
    return values


def print_import(import_: Import, *, as_json: bool, rejects_path: str | None = None) -> None:
    """Print an import and its report.

    Args:
        rejects_path: the file with the rejected rows; without one, the command that prints them is named.
    """
    if as_json:
        print_json(shown(import_))
        return
    report = import_.report
    if import_.error:
        say(f"Error: {as_flags(import_.error)}", err=True)
    if import_.state == "confirm":
        say(
            f"{waits_for(import_)} Nothing was changed yet: `rollbook imports confirm {import_.id}` goes "
            f"on, `rollbook imports cancel {import_.id}` ends it; --yes does not ask.",
            err=True,
        )
    would = (
        "Dry run: nothing was changed. It would be:"
        if import_.spec.dry_run and import_.state == "done"
        else ""
    )
    say(would or f"Import {import_.id} of {import_.source}: {import_.state}.")
    if report.columns:
        used = [
            f"{column} -> {meaning}" if column != meaning else column
            for column, meaning in report.columns.items()
            if meaning
        ]
        left = [column for column, meaning in report.columns.items() if not meaning]
        say(f"Columns: {', '.join(used)}" + (f"; left out: {', '.join(left)}" if left else "") + ".")
    if report.other_phone_columns:
        others = ", ".join(report.other_phone_columns)
        say(f"Other columns of phones, not used: {others} (--map COLUMN=phone for each, or --all-phones).")
    if report.file:
        say(f"Read as {', '.join(_ways(report))}.")
    if report.hidden_rows:
        say(f"hidden rows: {report.hidden_rows:,} ({'left out' if import_.spec.skip_hidden else 'imported'})")
    for warning in report.warnings:
        say(f"Warning: {as_flags(warning)}", err=True)
    rows = [[label, f"{number:,}"] for label, number in _numbers(import_) if number or label == "read"]
    if rows:
        width = max(len(number) for _, number in rows)
        print_table(["ROWS", ""], [[label, number.rjust(width)] for label, number in rows])
    if report.rejected and rejects_path is None and import_.state == "done":
        say(f"Rejected rows with their lines: rollbook imports rejects {import_.id}")


def _ways(report: Report) -> Iterator[str]:
    """How a file was read, in words: `csv`, `encoding utf-8`, `header: line 3`."""
    file = report.file
    yield file.get("format", "?")
    for name in ("compression", "encoding", "delimiter", "sheet"):
        if name in file:
            yield f"{name} {file[name] if name != 'delimiter' else repr(file[name])}"
    if report.header:
        yield f"header: {report.header}"


def _numbers(import_: Import) -> Sequence[tuple[str, int]]:
    report = import_.report
    return [
        ("read", import_.rows_read),
        ("further phones in these", report.further_phones),
        *(
            (f"rejected: {reason.replace('_', ' ')}", number)
            for reason, number in sorted(report.rejected.items())
        ),
        ("blank, passed over", report.blank),
        *((f"numbers for {kind}, left out", number) for kind, number in report.left_out.items()),
        ("duplicate in the file (the last one counts)", report.duplicates),
        ("new contacts", report.created),
        ("updated contacts", report.updated),
        ("unchanged contacts", report.unchanged),
        ("not in the book, left out", report.not_in_book),
        ("only for the stop list", report.only_stopped),
        ("joined the list", report.joined),
        ("removed from the list", report.removed),
        ("would leave the list", report.leaving if import_.state == "confirm" else 0),
        ("stopped before, and still", report.stopped),
        *((f"  of these on {channel}", number) for channel, number in report.stopped_on.items()),
        ("stopped by the file itself", report.stops_in_file),
        ("newly stopped", report.stops_added),
        *((f"undo: {what.replace('_', ' ')}", number) for what, number in report.undone.items()),
    ]
