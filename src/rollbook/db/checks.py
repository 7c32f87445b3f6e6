"""Checks of an engine, whose results `rollbook doctor` shows."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "warning", "fault"]


class Check(NamedTuple):
    """The result of one check.

    Args:
        name: the name of the check.
        state: `fault` if data is or will be lost or refused; `warning` if that may happen.
        found: the value that was found.
        advice: the value that it should have, or what to do; "" if all is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def size(size_bytes: int) -> str:
    """A size in the largest unit that is not larger than the size itself, such as `1.5 GiB`."""
    value = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
