"""Memory of a service that was started, has logged one caller in, and waits."""

from __future__ import annotations

import subprocess
import time

from benchmarks.engines import Engine, serving
from benchmarks.measure import Figure, Plan

GOAL_MEGABYTES = 120
SETTLING_SECONDS = 0.5


def run(_: Plan, engine: Engine) -> list[Figure]:
    """Resident memory; once, as it does not vary."""
    with engine.database() as prepared, serving(prepared) as server:
        time.sleep(SETTLING_SECONDS)
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(server.process_id)], capture_output=True, text=True, check=True
        )
    return [Figure("idle memory", engine.name, int(told.stdout) * 1024 / 1e6, "MB", GOAL_MEGABYTES)]


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
