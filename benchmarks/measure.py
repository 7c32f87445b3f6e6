"""Measuring side by side: the same rounds for the service and its yardsticks, and ratios round by round."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks import load
from benchmarks.engines import ENGINES

Measurement = Callable[[], float]
"""Measures once and returns a rate per second, or milliseconds."""

MEMBERS_MIN = 1000


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long.

    Args:
        engines: "sqlite", "postgresql" or both.
        rounds: how often everything is measured.
        seconds: one measurement; whole ones for `wrk` and `pgbench`.
        connections: how many clients at a time, each a measurement.
        single_connections: with how many of them one commit per request is measured.
        generator: "wrk" or "client", see `load.drive`.
        members: contacts of the big address book, see `book`.
    """

    engines: Sequence[str] = ENGINES
    rounds: int = 5
    seconds: float = 4
    connections: Sequence[int] = (8, 64, 256)
    single_connections: int = 64
    generator: str = field(default_factory=load.installed)
    members: int = 10_000_000


def plan_from_environment() -> Plan:
    """ENGINE (`sqlite`, `postgresql` or `both`), ROUNDS, SECONDS, MEMBERS; WORKERS is read in `engines`."""
    engine = os.environ.get("ENGINE", "both")
    if engine not in (*ENGINES, "both"):
        raise SystemExit(f"ENGINE must be sqlite, postgresql or both, not {engine!r}.")
    members = int(os.environ.get("MEMBERS", Plan.members))
    if members < MEMBERS_MIN:
        raise SystemExit(f"MEMBERS must be at least {MEMBERS_MIN}, not {members}.")
    return Plan(
        engines=ENGINES if engine == "both" else (engine,),
        rounds=int(os.environ.get("ROUNDS", Plan.rounds)),
        seconds=float(os.environ.get("SECONDS", Plan.seconds)),
        members=members,
    )


@dataclass(frozen=True)
class Comparison:
    """The service beside a yardstick, on one engine with so many connections.

    Args:
        what: is measured, in words.
        yardstick: in words.
        connections: 0 where it is done without HTTP, one call after another.
        ours, theirs: rates per second, one for each round; or milliseconds.
        goal: the least that the median of the ratios should be, of milliseconds the most; `None` where it
            is only told.
        unit: "/s" or " ms".
    """

    what: str
    yardstick: str
    engine: str
    connections: int
    ours: Sequence[float]
    theirs: Sequence[float]
    goal: float | None = None
    unit: Literal["/s", " ms"] = "/s"

    @property
    def ratios(self) -> list[float]:
        """Ours / yardstick, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; `None` when there is none."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.unit == "/s" else self.ratio <= self.goal


@dataclass(frozen=True)
class Figure:
    """A number by itself.

    Args:
        goal: the most that it should be; `None` where it is only told.
    """

    what: str
    engine: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; `None` when there is none."""
        return None if self.goal is None else self.value <= self.goal


def peak_megabytes(process_id: int) -> float:
    """The most memory that a process had so far. Not what `wait4` says: that begins with what we have."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def in_rounds(
    title: str,
    plan: Plan,
    measurements: Mapping[str, Measurement],
    unit: Literal["/s", " ms"] = "/s",
) -> dict[str, list[float]]:
    """Measure everything once in each round, one after another; each round begins with another one, so
    that whatever else the machine does hits all alike.

    Returns:
        For each measurement what it returned, round by round.
    """
    print(f"\n{title}", flush=True)
    names = list(measurements)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(plan.rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            rates[name].append(measurements[name]())
        told = ", ".join(f"{name} {rounded(rates[name][-1])}{unit}" for name in names)
        print(f"  round {number + 1}: {told}", flush=True)
    return rates


def one_after_the_other(*rates: Sequence[float]) -> list[float]:
    """Round by round, the rate of work that needs each of several steps: 1 / (1/a + 1/b + ...)."""
    return [1 / sum(1 / rate for rate in step) for step in zip(*rates, strict=True)]


def rounded(value: float) -> str:
    """Three digits at least; more only of what is above a thousand."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
