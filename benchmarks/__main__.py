"""Run every benchmark: `python -m benchmarks [--write]`.

The environment may say ENGINE (`sqlite`, `postgresql` or `both`), ROUNDS and SECONDS.
"""

from __future__ import annotations

import argparse

from benchmarks import bench_create_list, bench_idle_memory, bench_read_list, report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure side by side.")
    parser.add_argument("--write", action="store_true", help="put the results into benchmarks/RESULTS.md")
    given = parser.parse_args()
    report.main(bench_create_list.run, bench_read_list.run, bench_idle_memory.run, write=given.write)


if __name__ == "__main__":
    main()
