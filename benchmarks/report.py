"""What the benchmarks tell: tables for a reader, and the machine that they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.engines import Engine, Postgresql, opened
from benchmarks.measure import Comparison, Figure, Plan, plan_from_environment, rounded

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN = "<!-- results: written by `python -m benchmarks --write` -->"
BEGIN_FILES = "<!-- results of files: written by `python -m benchmarks --write` -->"
END = "<!-- end of results -->"

LIBRARIES = (
    "falcon",
    "uvicorn",
    "uvloop",
    "httptools",
    "msgspec",
    "psycopg",
    "pyarrow",
    "numpy",
    "phonenumbers",
)

FSYNC_MICROSECONDS_MIN = 10
"""No disk is faster; what is faster is memory."""

Found = Sequence[Comparison | Figure]
Run = Callable[[Plan, Engine], Found]
"""A benchmark."""

HEAD = (
    "what",
    "engine",
    "connections",
    "ours",
    "yardstick",
    "of the yardstick",
    "ours / yardstick",
    "goal",
)


def main(*runs: Run, write: str | None = None) -> None:
    """Run benchmarks as the environment says, and print what they found.

    Args:
        write: also put it into RESULTS.md, behind this mark.
    """
    plan = plan_from_environment()
    print(f"{machine()}\n{method(plan)}")
    if fsync_microseconds() < FSYNC_MICROSECONDS_MIN:
        print("Nothing here is durable: the temporary folder is in memory. Set TMPDIR to one on a disk.")
    engines: list[str] = []
    found: list[Comparison | Figure] = []
    for name in plan.engines:
        with opened(name) as engine:
            engines.append(engine.version)
            for run in runs:
                found += run(plan, engine)
    found.sort(key=lambda each: each.what)  # stable: engines and connections stay in order
    print(f"\n{rounds(found)}\n\n{table(found)}")
    if write:
        update(RESULTS, section(plan, engines, found), write)
        print(f"\n{RESULTS} is up to date.")


def table(found: Found) -> str:
    """A Markdown table, its columns aligned: medians, and of the ratios the spread over the rounds too."""
    rows = [HEAD, *(_compared(each) if isinstance(each, Comparison) else _figure(each) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def rounds(found: Found) -> str:
    """The ratios of each round."""
    return "\n".join(
        f"- {each.what}, {each.engine}, {each.connections}, ours / {each.yardstick}: "
        + " ".join(f"{ratio:.2f}" for ratio in each.ratios)
        for each in found
        if isinstance(each, Comparison)
    )


def machine() -> str:
    """What it runs on, in one sentence."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB memory, "
        f"{platform.system()} {platform.release()}; writing 4 KiB and fsync takes "
        f"{fsync_microseconds():,.0f} us (median)."
    )


def fsync_microseconds(times: int = 200) -> float:
    """How long it takes to put a page on the disk where the databases are: durability's price here."""
    taken = []
    with tempfile.TemporaryFile(prefix="rollbook-bench-") as file:
        for _ in range(times):
            file.write(b"\0" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def method(plan: Plan) -> str:
    """How it was measured, in a few sentences."""
    generator = "wrk" if plan.generator == "wrk" else "the bundled client (benchmarks/load_client.py)"
    return (
        f"{plan.rounds} rounds of {plan.seconds:g} s for each measurement, driven by {generator} from "
        "another process. Within a round the service and its yardsticks run one after another, each on a "
        "fresh database and a fresh server; each round begins with another one. Every answer was 2xx. "
        "Full durability: SQLite in WAL mode with synchronous=FULL; PostgreSQL with fsync, "
        "synchronous_commit and full_page_writes on. The service has one process on SQLite and on "
        f"PostgreSQL {Postgresql.flags[1]} (`--workers`), and so has the yardstick that answers without the "
        f"database. The address book of {plan.members:,} contacts is loaded once for each engine, and so is "
        "the small one beside it; what is compared in them is measured in turns, over HTTP on one server."
    )


def versions(engines: Sequence[str]) -> str:
    """What was measured with, in one sentence; `engines` are those of the databases."""
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    return ", ".join([f"Python {platform.python_version()}", *engines, *libraries]) + "."


def section(plan: Plan, engines: Sequence[str], found: Found) -> str:
    """The part of RESULTS.md that is generated."""
    return "\n".join(
        [
            f"Machine: {machine()}",
            "",
            f"Versions: {versions(engines)}",
            "",
            f"Method: {method(plan)}",
            "",
            table(found),
            "",
            "Ratios round by round:",
            "",
            rounds(found),
        ]
    )


def update(path: Path, text: str, begin: str = BEGIN) -> None:
    """Replace what is between the mark `begin` and the next `END` in the file at `path`.

    Raises:
        ValueError: it has no such marks.
    """
    before, _, rest = path.read_text().partition(begin)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has no {begin} ... {END}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}")


def _compared(each: Comparison) -> tuple[str, ...]:
    compared = ">=" if each.unit == "/s" else "<="
    return (
        each.what,
        each.engine,
        str(each.connections or ""),
        f"{rounded(statistics.median(each.ours))}{each.unit}",
        each.yardstick,
        f"{rounded(statistics.median(each.theirs))}{each.unit}",
        f"{each.ratio:.2f} ({min(each.ratios):.2f}..{max(each.ratios):.2f})",
        "" if each.goal is None else f"{compared} {each.goal:g} {_verdict(each.met)}",
    )


def _figure(each: Figure) -> tuple[str, ...]:
    goal = "" if each.goal is None else f"<= {each.goal:g} {each.unit} {_verdict(each.met)}"
    return (each.what, each.engine, "", f"{rounded(each.value)} {each.unit}", "", "", "", goal)


def _verdict(met: bool | None) -> str:
    return "met" if met else "MISSED"


def _processor() -> str:
    """The processor's name: Linux keeps it in a file, elsewhere Python may know."""
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
