"""Run every benchmark: `python -m benchmarks [--write]`.

Results of the service and of files stand in two parts of RESULTS.md; `--write` replaces those that were
measured, each as a whole.

The environment may say ENGINE (`sqlite`, `postgresql` or `both`), ROUNDS, SECONDS, MEMBERS (contacts of the
big address book) and ONLY (some of the benchmarks, with commas between them).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from benchmarks import (
    bench_address_book,
    bench_create_contact,
    bench_create_list,
    bench_export,
    bench_idle_memory,
    bench_import,
    bench_phones,
    bench_read_list,
    report,
)

SERVICE: Mapping[str, report.Run] = {
    "create_list": bench_create_list.run,
    "create_contact": bench_create_contact.run,
    "read_list": bench_read_list.run,
    "address_book": bench_address_book.run,
    "idle_memory": bench_idle_memory.run,
}
FILES: Mapping[str, report.Run] = {
    "import": bench_import.run,
    "export": bench_export.run,
    "phones": bench_phones.run,
}
PARTS = ((report.BEGIN, SERVICE), (report.BEGIN_FILES, FILES))
RUNS = {**SERVICE, **FILES}


def chosen(only: str) -> list[report.Run]:
    """The benchmarks that ONLY names; all when it is empty."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(RUNS)
    if unknown := [name for name in names if name not in RUNS]:
        raise SystemExit(f"ONLY must be some of {', '.join(RUNS)}, not {unknown[0]!r}.")
    return [RUNS[name] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure side by side.")
    parser.add_argument("--write", action="store_true", help="put the results into benchmarks/RESULTS.md")
    given = parser.parse_args()
    wanted = chosen(os.environ.get("ONLY", ""))
    for begin, runs in PARTS:
        if measured := [run for run in runs.values() if run in wanted]:
            report.main(*measured, write=begin if given.write else None)


if __name__ == "__main__":
    main()
