"""Creating a contact: POST /api/contacts with a phone of its own each time and nothing else.

Yardstick, in the same rounds: the same service creating a contact list, see `bench_create_list`.
"""

from __future__ import annotations

from benchmarks import load, sample
from benchmarks.bench_create_list import BODY as LIST
from benchmarks.engines import Engine, serving
from benchmarks.load import NUMBER, traffic
from benchmarks.measure import Comparison, Plan, in_rounds

WHAT = "create a contact"
YARDSTICK = "create a list"
BODY = f'{{"phone":{NUMBER}}}'
PHONES = (491_000_000_000_000, 499_999_999_999_999)
"""German numbers of 15 digits, which the numbering plan has: at random, no two of them are alike."""

GOALS = {64: 0.6}


def run(plan: Plan, engine: Engine) -> list[Comparison]:
    """Measure as planned, and tell how the service compares."""
    return [_side_by_side(plan, engine, connections) for connections in plan.connections]


def _side_by_side(plan: Plan, engine: Engine, connections: int) -> Comparison:
    def posts(path: str, body: str, numbers: tuple[int, int]) -> float:
        with engine.database() as prepared, serving(prepared, *engine.flags) as server:
            low, high = numbers
            requests = traffic(server.url, server.token, "POST", path, body, low=low, high=high)
            return load.drive(
                requests, connections=connections, seconds=plan.seconds, generator=plan.generator
            )

    rates = in_rounds(
        f"{WHAT}, {engine.name}, {connections} connections",
        plan,
        {
            "ours": lambda: posts("/api/contacts", BODY, PHONES),
            "lists": lambda: posts("/api/groups", LIST, sample.NAME_NUMBERS),
        },
    )
    goal = GOALS.get(connections)
    return Comparison(WHAT, YARDSTICK, engine.name, connections, rates["ours"], rates["lists"], goal)


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
