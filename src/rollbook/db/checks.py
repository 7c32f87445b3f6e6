"""What an engine finds when it is asked whether all is as it must be, for `rollbook doctor`."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "warning", "fault"]


class Check(NamedTuple):
    """One thing that was looked at.

    Args:
        name: of the thing.
        state: `fault` for what loses or refuses data, or will; `warning` for what may.
        found: what it is.
        advice: what it should be, or what to do; "" where all is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def size(size_bytes: int) -> str:
    """A size in the largest unit of which it has at least one, such as `1.5 GiB`."""
    value = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
