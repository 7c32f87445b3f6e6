"""Each benchmark runs once, tiny: that it works and what it tells, not how fast anything is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import httpx
import pytest

from benchmarks import (
    __main__,
    bench_address_book,
    bench_create_contact,
    bench_create_list,
    bench_export,
    bench_idle_memory,
    bench_import,
    bench_phones,
    bench_read_list,
    book,
    compare,
    load,
    phone_samples,
    report,
    sample,
)
from benchmarks.bench_create_list import BODY, BOUND, CORE, HTTP, PGBENCH, SINGLE
from benchmarks.engines import ENGINES, Engine, Running, opened, serving
from benchmarks.load import traffic
from benchmarks.load_client import LoadFailed, Traffic
from benchmarks.measure import Comparison, Figure, Plan, one_after_the_other, plan_from_environment
from rollbook import lists, phones, stop_list, verify
from rollbook.db import open_database
from rollbook.leftovers import CHUNK_ROWS
from rollbook.search import Search
from tests.length import also_on_postgresql_when_long

pytestmark = pytest.mark.not_on_citus("measure on servers of their own")

CONNECTIONS = 2


TINY = Plan(
    rounds=1,
    seconds=0.2,
    connections=(CONNECTIONS,),
    single_connections=CONNECTIONS,
    generator="client",
    members=2 * CHUNK_ROWS + 1000,  # so that its list is removed in chunks
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


def test_reading_phones_is_compared_with_phonenumbers_once(
    bench: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_phones, "ROWS", 4000)
    monkeypatch.setattr(bench_phones, "ROWS_OF_YARDSTICK", 100)
    found = bench_phones.run(TINY, bench)
    assert len(found) == (bench.name == TINY.engines[0])
    for each in found:
        assert each.ratio > 1


def test_samples_of_phones_are_mostly_different_and_valid() -> None:
    texts = phone_samples.mixed(5000, "UA", 1)
    assert texts == phone_samples.mixed(5000, "UA", 1)
    assert texts != phone_samples.mixed(5000, "UA", 2)
    assert len(set(texts)) > 0.93 * len(texts)
    found = [bench_phones.by_phonenumbers(text, "UA") for text in texts]
    assert 0.93 < sum(each is not None for each in found) / len(found) < 0.98
    assert len({each[1] for each in found if each}) >= 40
    assert phone_samples.mixed(0, "UA", 1) == []


def test_a_service_that_waits_takes_some_memory(bench: Engine) -> None:
    [found] = bench_idle_memory.run(TINY, bench)
    assert 1 < found.value < 1000


@also_on_postgresql_when_long("bench")
def test_an_import_is_compared_and_others_do_not_wait_long(
    bench: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_import, "CONNECTIONS", CONNECTIONS)
    found = bench_import.run(TINY, bench)
    compared = [each for each in found if isinstance(each, Comparison)]
    assert [each.unit for each in compared] == [" ms", " ms"]
    assert all(each.ratio > 0 for each in compared)
    figures = {each.what: each for each in found if isinstance(each, Figure)}
    assert {"import, memory", "import, reading", "import, merging"} < set(figures)
    assert sum("during an import" in what for what in figures) == 2


def test_an_export_is_compared_with_the_databases_own_shell(bench: Engine) -> None:
    found = bench_export.run(TINY, bench)
    compared = {each.what: each for each in found if isinstance(each, Comparison)}
    figures = {each.what: each for each in found if isinstance(each, Figure)}
    counts = {bench_export.COUNT.format(name) for name in ("reachable of all", "nine lists together")}
    assert {bench_export.BOOK, bench_export.LIST} <= set(compared) | set(figures)
    assert all((each.unit, each.engine) == (" ms", bench.name) for each in compared.values())
    assert counts | {bench_export.MEMORY} < set(figures)
    assert 0 < figures[bench_export.MEMORY].value < bench_export.GOAL_MEGABYTES


def test_creating_contacts_is_compared_with_creating_lists(bench: Engine) -> None:
    [found] = bench_create_contact.run(TINY, bench)
    assert (found.engine, found.connections, found.yardstick) == (bench.name, CONNECTIONS, "create a list")
    assert found.ratio > 0


def test_the_phones_of_new_contacts_are_possible_and_of_one_length() -> None:
    low, high = bench_create_contact.PHONES
    assert [phones.parse(low), phones.parse(high)] == [low, high]
    assert len(str(low)) == len(str(high))


@also_on_postgresql_when_long("bench")
def test_a_big_address_book_is_compared_with_a_small_one(bench: Engine) -> None:
    found = bench_address_book.run(TINY, bench)
    compared = {each.what: each for each in found if isinstance(each, Comparison)}
    figures = {each.what: each for each in found if isinstance(each, Figure)}
    read, stop = bench_address_book.READ, bench_address_book.STOP
    pages = {bench_address_book.PAGE, bench_address_book.PAGE_OF_LIST}
    assert set(compared) == {read, stop, bench_address_book.ATTACH, *pages}
    assert {each.engine for each in found} == {bench.name}
    assert {each.unit for each in compared.values()} == {" ms"}
    assert {what: each.connections for what, each in compared.items()} == {
        bench_address_book.ATTACH: 0,
        stop: 0,
        read: CONNECTIONS,
        **dict.fromkeys(pages, CONNECTIONS),
    }
    assert all(each.ratio > 0 for each in compared.values())
    assert all(each.value > 0 for each in figures.values())
    assert set(figures) == {
        bench_address_book.SIZE,
        bench_address_book.DELETE,
        bench_address_book.WAIT,
        bench_address_book.WAIT_MOST,
        bench_address_book.WAIT_BEFORE,
        bench_address_book.REMOVAL,
    }
    assert figures[bench_address_book.WAIT_MOST].value <= figures[bench_address_book.WAIT].value


@pytest.mark.parametrize("members", [1000, 2345])
def test_a_loaded_address_book_has_true_counts(bench: Engine, members: int) -> None:
    with book.loaded(bench, members) as loaded:
        account_id = loaded.prepared.account_id
        database = open_database(loaded.prepared.url)
        try:
            assert database.read(verify.recount, account_id) == []
            everyone = database.read(lists.stats, account_id, loaded.everyone)
            assert (everyone.items, everyone.sms_stopped) == (members, members // book.STOPPED_EVERY)
            assert database.read(lists.stats, account_id, loaded.few).items == book.FEW
            found = database.read(lists.find, account_id, Search())
            assert sum(each.items for each in found.rows) == loaded.memberships
            chosen = [book.phone(number) for number in loaded.in_many_lists]
            stops = database.write(stop_list.add, account_id, phones=chosen[:7], channels=["viber"])
            assert [stop.mask for stop in stops] == [2] * 7  # not one of them was stopped before
            found = database.read(lists.find, account_id, Search())
            assert sum(each.stop_list_count for each in found.rows) - everyone.sms_stopped == 7 * 10
            assert database.read(verify.recount, account_id) == []
        finally:
            database.close()


def test_loading_keeps_what_the_planner_is_told_of_indexes() -> None:
    def told(database_url: str) -> list[tuple[object, ...]]:
        connection = apsw.Connection(database_url.removeprefix("sqlite:///"))
        rows = connection.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx").fetchall()
        connection.close()
        return rows

    with opened("sqlite") as engine:
        with engine.database() as prepared:
            before = told(prepared.url)
        with book.loaded(engine, 1000) as loaded:
            assert told(loaded.prepared.url) == before


def test_only_some_benchmarks_can_be_chosen() -> None:
    assert __main__.chosen("") == list(__main__.RUNS.values())
    assert __main__.chosen("address_book, read_list") == [bench_address_book.run, bench_read_list.run]
    with pytest.raises(SystemExit, match=r"ONLY must be some of create_list, .*, not 'everything'"):
        __main__.chosen("everything")


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


FOUND: list[Comparison | Figure] = [
    Comparison("create a list", PGBENCH, "postgresql", 64, [900, 1000, 1100], [1000, 1000, 1000], 0.65),
    Comparison("create a list", HTTP, "postgresql", 64, [900, 1000, 1100], [2000, 2000, 2000]),
    Figure("idle memory", "sqlite", 130.0, "MB", 120),
    Comparison("stop phones", "in a small book", "sqlite", 0, [12.34, 13, 14], [10, 10, 10], 3, " ms"),
    Figure("size", "sqlite", 45.678, "MB"),
]


def test_a_comparison_is_the_median_of_its_rounds() -> None:
    [beside, told, memory, _, size] = FOUND
    assert isinstance(beside, Comparison)
    assert beside.ratios == [0.9, 1.0, 1.1]
    assert [each.met for each in FOUND] == [True, None, False, True, None]
    assert (beside.ratio, told.met, memory.met, size.met) == (1.0, None, False, None)


def test_of_milliseconds_fewer_are_better() -> None:
    slow = Comparison("stop", "small", "sqlite", 0, [40, 40, 20], [10, 10, 10], 3, " ms")
    assert (slow.ratio, slow.met) == (4.0, False)


def test_steps_that_follow_each_other_add_up_their_times() -> None:
    assert one_after_the_other([100, 200], [100, 50]) == [50, 40]


def test_the_table_shows_median_spread_and_whether_the_goal_is_met() -> None:
    head, line, *rows = report.table(FOUND).splitlines()
    assert {len(row) for row in rows} == {len(head)} == {len(line)}
    assert _cells(rows[0])[2:] == [
        *("64", "1,000/s", "pgbench, the bare INSERT", "1,000/s", "1.00 (0.90..1.10)", ">= 0.65 met")
    ]
    assert _cells(rows[2])[3:] == ["130 MB", "", "", "", "<= 120 MB MISSED"]
    assert _cells(rows[3])[2:] == ["", "13 ms", "in a small book", "10 ms", "1.30 (1.23..1.40)", "<= 3 met"]
    assert _cells(rows[4])[3:] == ["45.7 MB", "", "", "", ""]


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")[1:-1]]


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
    assert text.count(report.BEGIN) == text.count(report.BEGIN_FILES) == 1
    assert text.count(report.END) == 2


def test_the_environment_says_what_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENGINE": "sqlite", "ROUNDS": "2", "SECONDS": "0.5", "MEMBERS": "5000"}.items():
        monkeypatch.setenv(name, value)
    plan = plan_from_environment()
    assert (tuple(plan.engines), plan.rounds, plan.seconds, plan.members) == (("sqlite",), 2, 0.5, 5000)


def test_a_book_that_is_too_small_to_tell_anything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBERS", "999")
    with pytest.raises(SystemExit, match="MEMBERS must be at least 1000, not 999"):
        plan_from_environment()


def test_an_engine_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "oracle")
    with pytest.raises(SystemExit, match="sqlite, postgresql or both"):
        plan_from_environment()


def test_an_older_commit_that_git_does_not_know_is_refused() -> None:
    with (
        pytest.raises(SystemExit, match="git has no commit 'no-such-commit'"),
        compare.of_commit("no-such-commit"),
    ):
        pass


def test_both_sides_answer_what_is_compared(tmp_path: Path) -> None:
    """This code on both sides: every request is answered with 2xx, and every row is imported."""
    file = tmp_path / "phones.csv"
    file.write_text("phone\n" + "".join(f"{380_500_000_000 + number}\n" for number in range(10)))
    plan = Plan(engines=("sqlite",), rounds=1, seconds=0.1, generator="client", members=1_000)
    bench = compare.Bench(plan, None, file)
    code = compare.Code("this code", compare.ROOT / "src")
    assert all(measure(code) > 0 for measure in compare.measurements(bench).values())
