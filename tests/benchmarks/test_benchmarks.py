"""Each benchmark runs once, tiny: that it works and what it tells, not how fast anything is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import bench_create_list, bench_idle_memory, bench_read_list, load, report, sample
from benchmarks.bench_create_list import BODY, BOUND, CORE, HTTP, PGBENCH, SINGLE
from benchmarks.engines import ENGINES, Engine, Running, opened, serving
from benchmarks.load import traffic
from benchmarks.load_client import LoadFailed, Traffic
from benchmarks.measure import Comparison, IdleMemory, Plan, one_after_the_other, plan_from_environment

CONNECTIONS = 2


TINY = Plan(
    rounds=1,
    seconds=0.2,
    connections=(CONNECTIONS,),
    single_connections=CONNECTIONS,
    generator="client",
)
YARDSTICKS = {
    "sqlite": {BOUND, "bare INSERTs", HTTP, SINGLE, CORE},
    "postgresql": {PGBENCH, HTTP, SINGLE, CORE},
}


@pytest.fixture(scope="module", params=ENGINES)
def bench(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with opened(request.param) as engine:
        yield engine


def test_creating_lists_is_compared_with_every_yardstick(
    bench: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench_create_list.run(TINY, bench)
    assert {each.yardstick for each in found} == YARDSTICKS[bench.name]
    for each in found:
        assert (each.engine, each.connections) == (bench.name, CONNECTIONS)
        assert len(each.ours) == len(each.theirs) == 1
        assert each.ratio > 0
    assert re.search(r"round 1: ours [\d,]+/s, http [\d,]+/s, ", capsys.readouterr().out)


def test_reading_lists_is_compared_with_a_constant(bench: Engine) -> None:
    [found] = bench_read_list.run(TINY, bench)
    assert (found.engine, found.connections) == (bench.name, CONNECTIONS)
    assert found.ratio > 0


def test_a_service_that_waits_takes_some_memory(bench: Engine) -> None:
    [found] = bench_idle_memory.run(TINY, bench)
    assert 1 < found.megabytes < 1000


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """The service with the routes of the yardsticks, on ten lists."""
    with (
        opened("sqlite") as engine,
        engine.database(10) as prepared,
        serving(prepared, module="benchmarks.yardstick_server") as running,
    ):
        yield running


@pytest.fixture
def api(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}) as client:
        yield client


@pytest.fixture(params=sorted({"client", load.installed()}))
def generator(request: pytest.FixtureRequest) -> str:
    """The bundled client, and what the benchmarks use on this machine if that is another one."""
    return str(request.param)


def posts(server: Running, path: str, token: str = "") -> Traffic:
    low, high = sample.NAME_NUMBERS
    return traffic(server.url, token or server.token, "POST", path, BODY, low=low, high=high)


def total(api: httpx.Client) -> int:
    return int(api.get("/api/groups").json()["total"])


def test_each_load_generator_creates_a_list_with_every_request(
    server: Running, api: httpx.Client, generator: str
) -> None:
    before = total(api)
    rate = load.drive(posts(server, "/api/groups"), connections=CONNECTIONS, seconds=1, generator=generator)
    assert total(api) - before >= rate > 0


def test_no_load_generator_takes_a_refusal_for_an_answer(server: Running, generator: str) -> None:
    with pytest.raises(LoadFailed, match=r"not every request was answered with 2xx"):
        load.drive(
            posts(server, "/api/groups", "wrong"), connections=CONNECTIONS, seconds=1, generator=generator
        )


def test_the_route_without_the_write_answers_alike_and_stores_nothing(api: httpx.Client) -> None:
    new = {"name": "Customers", "description": sample.DESCRIPTION, "default": True}
    before = total(api)
    answered = api.post("/bench/groups", json=new)
    assert total(api) == before
    stored = api.post("/api/groups", json=new)
    assert answered.status_code == stored.status_code == 201
    own = {"id", "created_at"}
    assert {k: v for k, v in answered.json()["data"].items() if k not in own} == {
        k: v for k, v in stored.json()["data"].items() if k not in own
    }
    assert set(answered.headers) == set(stored.headers)


@pytest.mark.parametrize("wrong", [{}, {"name": "x"}, {"name": 1}, {"name": "Customers", "default": 7}])
def test_the_route_without_the_write_refuses_alike(api: httpx.Client, wrong: dict[str, object]) -> None:
    answered, refused = api.post("/bench/groups", json=wrong), api.post("/api/groups", json=wrong)
    assert answered.status_code == refused.status_code == 422
    assert answered.json() == refused.json()


def test_the_constant_is_as_large_as_the_list_that_is_read(api: httpx.Client) -> None:
    found, constant = api.get("/api/groups/10"), api.get("/bench/groups/10")
    assert found.status_code == constant.status_code == 200
    digits = len(str(constant.json()["data"]["id"])) - len(str(found.json()["data"]["id"]))
    assert len(constant.content) == len(found.content) + digits
    assert set(constant.headers) == set(found.headers)


FOUND: list[Comparison | IdleMemory] = [
    Comparison("create a list", PGBENCH, "postgresql", 64, [900, 1000, 1100], [1000, 1000, 1000], 0.65),
    Comparison("create a list", HTTP, "postgresql", 64, [900, 1000, 1100], [2000, 2000, 2000]),
    IdleMemory("sqlite", 130.0, 120),
]


def test_a_comparison_is_the_median_of_its_rounds() -> None:
    [beside, told, memory] = FOUND
    assert isinstance(beside, Comparison)
    assert beside.ratios == [0.9, 1.0, 1.1]
    assert (beside.ratio, beside.met, told.met, memory.met) == (1.0, True, None, False)


def test_steps_that_follow_each_other_add_up_their_times() -> None:
    assert one_after_the_other([100, 200], [100, 50]) == [50, 40]


def test_the_table_shows_median_spread_and_whether_the_goal_is_met() -> None:
    head, line, *rows = report.table(FOUND).splitlines()
    assert {len(row) for row in rows} == {len(head)} == {len(line)}
    assert "| 1,000  | pgbench, the bare INSERT | 1,000       | 1.00 (0.90..1.10) | >= 0.65 met" in rows[0]
    assert "| < 120 MB MISSED" in rows[2]


def test_results_are_written_between_the_marks_only(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text(f"# Ours\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nBehind.\n")
    report.update(path, report.section(TINY, ["SQLite 3"], FOUND))
    text = path.read_text()
    assert text.startswith(f"# Ours\n\n{report.BEGIN}\n\nMachine: ")
    assert text.endswith(f"\n\n{report.END}\n\nBehind.\n")
    assert "old" not in text
    assert "- create a list, postgresql, 64, ours / pgbench, the bare INSERT: 0.90 1.00 1.10" in text


def test_results_without_marks_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Ours\n")
    with pytest.raises(ValueError, match="has no"):
        report.update(path, "new")
    assert path.read_text() == "# Ours\n"


def test_results_in_the_repository_have_the_marks() -> None:
    text = report.RESULTS.read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_the_environment_says_what_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENGINE": "sqlite", "ROUNDS": "2", "SECONDS": "0.5"}.items():
        monkeypatch.setenv(name, value)
    plan = plan_from_environment()
    assert (tuple(plan.engines), plan.rounds, plan.seconds) == (("sqlite",), 2, 0.5)


def test_an_engine_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "oracle")
    with pytest.raises(SystemExit, match="sqlite, postgresql or both"):
        plan_from_environment()
