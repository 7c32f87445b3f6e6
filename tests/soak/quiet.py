"""How long a quiet account waits for an answer, alone and beside one that floods; each in a process of its own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import httpx

CONNECTIONS = 32
"""Of the account that floods."""

FLOODED = 380_500_000_000
"""The first of the generated phones that it stops: of a range in use, as real ones are, which is read quickly."""

PAUSE_SECONDS = 0.02
"""Between two requests of the quiet account."""

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def flooding(url: str, key: str) -> Iterator[None]:
    """An account that stops phones on many connections as fast as it can."""
    process = _spawn.Process(target=_flood, args=(url, key), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def waits(url: str, key: str, seconds: float) -> list[float]:
    """Seconds that each request of a quiet account took: it makes lists, one after another."""
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=_ask, args=(url, key, seconds, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        found: list[float] = ours.recv()
        return found
    finally:
        process.join()


def percentile(found: list[float], part: float) -> float:
    """The value that this part of them is not above."""
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def _flood(url: str, key: str) -> None:
    def run(number: int) -> None:
        with _client(url, key) as api:
            at = 0
            while True:
                at = (at + 1) % 1_000
                phones = [FLOODED + number * 100_000 + at * 100 + each for each in range(100)]
                answer = api.post("/api/stoplist/attach", json={"phones": phones, "types": ["sms"]})
                if answer.status_code != 200:
                    time.sleep(0.05)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()


def _ask(url: str, key: str, seconds: float, found: Connection) -> None:
    took = []
    end = time.monotonic() + seconds
    with _client(url, key) as api:
        number = 0
        while time.monotonic() < end:
            number += 1
            started = time.perf_counter()
            answer = api.post("/api/groups", json={"name": f"quiet {time.time_ns()} {number}"})
            took.append(time.perf_counter() - started)
            if answer.status_code != 201:
                raise RuntimeError(answer.text)
            time.sleep(PAUSE_SECONDS)
    found.send(took)


def _client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, verify=False)
