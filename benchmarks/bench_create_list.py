"""Creating a contact list: POST /api/groups with a name of its own each time, everything switched on.

Yardsticks, in the same rounds:

- the same server answering the same body without the write, and on SQLite a bare loop of the INSERT
  with as many rows a commit as there are connections: nothing that does both in one thread after the
  other exceeds 1 / (1/http + 1/rows);
- on PostgreSQL, `pgbench` with as many clients and the INSERT alone;
- the same service with `--write-batch-max 1`: one commit per request;
- the core alone with 64 writes waiting, in batches and one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import load, sample
from benchmarks.engines import Engine, Postgresql, serving
from benchmarks.load import NUMBER, in_own_process, traffic
from benchmarks.measure import Comparison, Plan, in_rounds, one_after_the_other
from benchmarks.yardsticks import core_writes_per_second, pgbench_rows_per_second, rows_per_second

WHAT = "create a list"
BODY = f'{{"name":"{sample.NAME.format(number=NUMBER)}","description":"{sample.DESCRIPTION}"}}'

BOUND = "1 / (1/HTTP without the write + 1/bare INSERTs)"
PGBENCH = "pgbench, the bare INSERT"
SINGLE = "one commit per request"
CORE = "core alone, one commit per write"
HTTP = "HTTP without the write"

GOALS_OF_BOUND = {8: 0.45, 64: 0.65, 256: 0.65}
GOALS_OF_PGBENCH = {64: 0.65, 256: 1.2}
GOAL_OF_SINGLE = 5.0
BATCH_MAX = 256
"""The service's default."""


def run(plan: Plan, engine: Engine) -> list[Comparison]:
    """Measure as planned, and tell how the service compares."""
    found: list[Comparison] = []
    for connections in plan.connections:
        found += _side_by_side(plan, engine, connections)
    return [*found, _core(plan, engine)]


def _side_by_side(plan: Plan, engine: Engine, connections: int) -> Iterator[Comparison]:
    def posts(path: str, *flags: str, module: str = "rollbook") -> float:
        with engine.database() as prepared, serving(prepared, *engine.flags, *flags, module=module) as server:
            low, high = sample.NAME_NUMBERS
            requests = traffic(server.url, server.token, "POST", path, BODY, low=low, high=high)
            return load.drive(
                requests, connections=connections, seconds=plan.seconds, generator=plan.generator
            )

    def rows() -> float:
        with engine.database() as prepared:
            return in_own_process(rows_per_second, prepared, batch=connections, seconds=plan.seconds)

    def pgbench() -> float:
        assert isinstance(engine, Postgresql)
        with engine.database() as prepared:
            return pgbench_rows_per_second(engine.server, prepared, clients=connections, seconds=plan.seconds)

    measurements = {
        "ours": lambda: posts("/api/groups"),
        "http": lambda: posts("/bench/groups", module="benchmarks.yardstick_server"),
    }
    if isinstance(engine, Postgresql):
        measurements["pgbench"] = pgbench
    else:
        measurements["rows"] = rows
    if connections == plan.single_connections:
        measurements["single"] = lambda: posts("/api/groups", "--write-batch-max", "1")
    rates = in_rounds(f"{WHAT}, {engine.name}, {connections} connections", plan, measurements)

    def beside(yardstick: str, theirs: list[float], goal: float | None = None) -> Comparison:
        return Comparison(WHAT, yardstick, engine.name, connections, rates["ours"], theirs, goal)

    if "rows" in rates:
        bound = one_after_the_other(rates["http"], rates["rows"])
        yield beside(BOUND, bound, GOALS_OF_BOUND.get(connections))
        yield beside("bare INSERTs", rates["rows"])
    else:
        yield beside(PGBENCH, rates["pgbench"], GOALS_OF_PGBENCH.get(connections))
    yield beside(HTTP, rates["http"])
    if "single" in rates:
        yield beside(SINGLE, rates["single"], GOAL_OF_SINGLE if engine.name == "sqlite" else None)


def _core(plan: Plan, engine: Engine) -> Comparison:
    def writes(batch_max: int) -> float:
        with engine.database() as prepared:
            return in_own_process(
                core_writes_per_second,
                prepared,
                outstanding=plan.single_connections,
                batch_max=batch_max,
                seconds=plan.seconds,
            )

    rates = in_rounds(
        f"{WHAT} in the core, {engine.name}, {plan.single_connections} writes waiting",
        plan,
        {"ours": lambda: writes(BATCH_MAX), "single": lambda: writes(1)},
    )
    return Comparison(
        f"{WHAT}, without HTTP", CORE, engine.name, plan.single_connections, rates["ours"], rates["single"]
    )


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
