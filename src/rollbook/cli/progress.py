"""A progress line on the terminal for long work. Its last state stays; without a terminal there is no
line."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from rollbook.imports import Import

WIDE, NARROW = 90, 60
"""The columns that a terminal needs for the whole line, and for a bar at all."""

_STYLES = {"done": "green", "undone": "green", "failed": "red", "cancelled": "yellow", "stopped": "yellow"}


_NOTHING: dict[str, Any] = {"amount": "", "rate": "", "left": "", "style": "none"}


class Line:
    """Shows progress on standard error.

    Args:
        quiet: show nothing. Nothing is shown either where there is no terminal, or one without cursor
            movement.
        console: the terminal, in tests.
    """

    def __init__(self, *, quiet: bool, console: Console | None = None) -> None:
        shown = console is not None or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
        self._console = console or Console(stderr=True)
        self._wide = self._console.width >= NARROW
        self._bar = RichProgress(
            *_columns(self._console.width),
            console=self._console,
            disable=quiet or not shown,
            refresh_per_second=5,
        )
        self._task = self._bar.add_task("waiting", total=None, **_NOTHING)
        self._state = "waiting"
        self._ended = False
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._ended:
            self.end("failed" if isinstance(error, Exception) else "stopped")
        self._bar.stop()

    def show(self, state: str, done: int, total: int, unit: str, rows_per_second: float) -> None:
        """Show the current state.

        Args:
            done, total: the progress, and the total; 0 where that is not known.
            unit: their unit, `rows` or `bytes`.
            rows_per_second: 0 where it is not known.
        """
        if state != self._state:
            self._state = state
            self._bar.reset(self._task, description=state, total=None, **_NOTHING)
        amount = ""
        if done or total:
            amount = (
                self._megabytes(done, total) if unit == "bytes" else f"{self._numbers(done, total)} {unit}"
            )
        rate = f"{self._number(int(rows_per_second))} rows/s" if rows_per_second else ""
        self._bar.update(self._task, completed=done, total=total or None, amount=amount, rate=rate)
        self._bar.update(self._task, left=_time(self._bar.tasks[0].time_remaining))

    def end(self, state: str, rows: int | None = None) -> None:
        """Show the final state, and leave the line there.

        Args:
            state: the final state; the bar is full only when the work is done.
            rows: the number of rows.
        """
        self._ended = True
        task = self._bar.tasks[0]
        whole = state in ("done", "undone")
        self._bar.update(
            self._task,
            description=state,
            total=max(task.total or 0, 1),
            completed=max(task.total or 0, 1) if whole else task.completed,
            amount=task.fields["amount"] if rows is None else f"{self._number(rows)} row{'s' * (rows != 1)}",
            left="",
            rate=f"in {time.monotonic() - self._began:.1f} s",
            style=_STYLES.get(state, "none"),
        )

    def _numbers(self, done: int, total: int) -> str:
        return f"{self._number(done)}/{self._number(total)}" if total else self._number(done)

    def _number(self, number: int) -> str:
        if self._wide or number < 10_000:
            return f"{number:,}"
        return f"{number / 1_000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"

    def _megabytes(self, done: int, total: int) -> str:
        return f"{done / 1_000_000:.1f}/{total / 1_000_000:.1f} MB"


class Progress(Line):
    """Shows the progress of an import."""

    def tell(self, import_: Import) -> None:
        """Show the current state of an import."""
        if import_.ended:
            self.end(import_.state, import_.rows_read)
            return
        done, total = import_.progress
        unit = "bytes" if import_.state == "reading" else "rows"
        self.show(import_.state, done, total, unit, import_.rate)


def _columns(width: int) -> list[ProgressColumn]:
    state = TextColumn("[{task.fields[style]}]{task.description:<9}")
    amount, rate, left = (TextColumn(f"{{task.fields[{name}]}}") for name in ("amount", "rate", "left"))
    if width >= WIDE:
        return [state, BarColumn(), amount, rate, left]
    if width >= NARROW:
        return [state, BarColumn(bar_width=10), amount, left]
    return [state, amount]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} left"
