"""Reading a contact list: GET /api/groups/{id}, ids at random, everything switched on.

Yardstick, in the same rounds: the same server answering a constant of the same size through the same
authentication and a path of the same form.
"""

from __future__ import annotations

from benchmarks import load, sample
from benchmarks.engines import Engine, serving
from benchmarks.load import NUMBER, traffic
from benchmarks.measure import Comparison, Plan, in_rounds

WHAT = "read a list"
CONSTANT = "a constant of the same size"
GOALS = {64: 0.7}


def run(plan: Plan, engine: Engine) -> list[Comparison]:
    """Measure as planned, and tell how the service compares."""
    return [_side_by_side(plan, engine, connections) for connections in plan.connections]


def _side_by_side(plan: Plan, engine: Engine, connections: int) -> Comparison:
    def gets(path: str, module: str = "rollbook") -> float:
        with (
            engine.database(sample.LISTS) as prepared,
            serving(prepared, *engine.flags, module=module) as server,
        ):
            low, high = prepared.list_ids[0], prepared.list_ids[-1]
            requests = traffic(server.url, server.token, "GET", f"{path}/{NUMBER}", low=low, high=high)
            return load.drive(
                requests, connections=connections, seconds=plan.seconds, generator=plan.generator
            )

    rates = in_rounds(
        f"{WHAT}, {engine.name}, {connections} connections",
        plan,
        {
            "ours": lambda: gets("/api/groups"),
            "constant": lambda: gets("/bench/groups", "benchmarks.yardstick_server"),
        },
    )
    return Comparison(
        WHAT, CONSTANT, engine.name, connections, rates["ours"], rates["constant"], GOALS.get(connections)
    )


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
