"""Measuring side by side: the same rounds for the service and its yardsticks, and ratios round by round."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import load
from benchmarks.engines import ENGINES

Measurement = Callable[[], float]
"""Measures once, on a fresh database, and returns a rate per second."""


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
    """

    engines: Sequence[str] = ENGINES
    rounds: int = 5
    seconds: float = 4
    connections: Sequence[int] = (8, 64, 256)
    single_connections: int = 64
    generator: str = field(default_factory=load.installed)


def plan_from_environment() -> Plan:
    """ENGINE (`sqlite`, `postgresql` or `both`), ROUNDS and SECONDS; WORKERS is read in `engines`."""
    engine = os.environ.get("ENGINE", "both")
    if engine not in (*ENGINES, "both"):
        raise SystemExit(f"ENGINE must be sqlite, postgresql or both, not {engine!r}.")
    return Plan(
        engines=ENGINES if engine == "both" else (engine,),
        rounds=int(os.environ.get("ROUNDS", Plan.rounds)),
        seconds=float(os.environ.get("SECONDS", Plan.seconds)),
    )


@dataclass(frozen=True)
class Comparison:
    """The service beside a yardstick, on one engine with so many connections.

    Args:
        what: is measured, in words.
        yardstick: in words.
        ours, theirs: rates per second, one for each round.
        goal: the least that the median of the ratios should be; `None` where it is only told.
    """

    what: str
    yardstick: str
    engine: str
    connections: int
    ours: Sequence[float]
    theirs: Sequence[float]
    goal: float | None = None

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
        return None if self.goal is None else self.ratio >= self.goal


@dataclass(frozen=True)
class IdleMemory:
    """What a service takes that waits for requests."""

    engine: str
    megabytes: float
    goal: float
    what: str = "idle memory"

    @property
    def met(self) -> bool:
        """Whether it is below the goal."""
        return self.megabytes < self.goal


def in_rounds(title: str, plan: Plan, measurements: Mapping[str, Measurement]) -> dict[str, list[float]]:
    """Measure everything once in each round, one after another; each round begins with another one, so
    that whatever else the machine does hits all alike.

    Returns:
        For each measurement its rates, round by round.
    """
    print(f"\n{title}", flush=True)
    names = list(measurements)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(plan.rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            rates[name].append(measurements[name]())
        told = ", ".join(f"{name} {rates[name][-1]:,.0f}/s" for name in names)
        print(f"  round {number + 1}: {told}", flush=True)
    return rates


def one_after_the_other(*rates: Sequence[float]) -> list[float]:
    """Round by round, the rate of work that needs each of several steps: 1 / (1/a + 1/b + ...)."""
    return [1 / sum(1 / rate for rate in step) for step in zip(*rates, strict=True)]
