"""A live line on the terminal for long work; nothing where nobody looks."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from rollbook.imports.jobs import Job


class Progress:
    """Shows how far an import is, on standard error.

    Args:
        quiet: show nothing; nothing is shown either where that is no terminal.
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
            refresh_per_second=5,
        )
        self._task = self._bar.add_task("waiting", total=None, rate="")
        self._state = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, job: Job) -> None:
        """Show an import as it is now."""
        if job.state != self._state:
            self._state = job.state
            self._bar.reset(self._task, description=job.state, total=None, rate="")
        done, total = job.progress
        rate = f"{job.rate:,.0f} rows/s" if job.rate else ""
        self._bar.update(self._task, completed=done, total=total or None, rate=rate)
