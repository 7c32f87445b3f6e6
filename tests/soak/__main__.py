"""`make soak`: some minutes of mixed load and trouble on each engine, then everything acknowledged is looked for.

Two thirds of the time: clerks, kills, cut connections, slow clients. The last third: nothing is killed, and a quiet
account is measured alone, while somebody floods another service on this machine, and beside an account that floods its
own. What the flood costs by keeping the machine busy is the difference of the first two; what rollbook is answerable
for is the ratio of the last two. The memory of the service is watched meanwhile. Exit status 1 when anything was lost,
doubled or counted wrong.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import httpx

from rollbook import accounts
from tests.calls import PHONE
from tests.conftest import opened
from tests.servers import Postgres, Service, free_port, run
from tests.soak import quiet
from tests.soak.clerk import Clerk
from tests.soak.trouble import Trouble, kill_now_and_then, memory_kb

ENGINES = ("sqlite", "postgresql")
CLERKS = 4
MEMBERS = 200
"""Of the list that cut requests would replace."""

TURNS = 4
ALONE, ELSEWHERE, BESIDE = "alone", "while another service is flooded", "beside a flood"
"""How the quiet account is measured, in each turn one after another."""


class Soak:
    """A service that is killed and comes back at the same address, and its accounts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._flags = (
            *("--duplicate-window-seconds", "0"),
            *("--exports-max", "16"),
            *("--spool-dir", str(folder / "spool")),
            *("--log-level", "warning"),
        )
        self._port = free_port()
        self.service = Service(url, *self._flags, port=self._port)
        self.base_url = self.service.url

    def restart(self) -> None:
        """Kill -9, and start again."""
        self.service.kill()
        self.service = Service(self.url, *self._flags, port=self._port)

    def client(self, key: str) -> httpx.Client:
        """An HTTP client with that key; the address stays the same."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60, verify=False)

    def key(self, name: str) -> str:
        """The key of a new account."""
        with opened(self.url) as database:
            database.write(accounts.create, name=name)
            return database.write(accounts.create_key, account=name).key


def soak(engine: str, minutes: float, folder: Path, url: str) -> bool:
    """Run it, print what was seen, and say whether all was well."""
    it = Soak(url, folder)
    done: Counter[str] = Counter()
    over, steady = threading.Event(), threading.Event()
    victim = it.key("victim")
    with it.service.client(victim) as api:
        made = api.post("/api/groups", json={"name": "Not to be touched"}).json()["data"]["id"]
        phones = [PHONE + number for number in range(MEMBERS)]
        assert api.post(f"/api/groups/{made}/contacts", json={"phones": phones}).status_code == 200
    keys = [it.key(f"clerk {number}") for number in range(CLERKS)]
    clerks = [
        Clerk(f"clerk {number}", partial(it.client, key), 10_000 * (number + 1), over)
        for number, key in enumerate(keys)
    ]
    trouble = Trouble(it.base_url, victim, made)
    killer = threading.Thread(
        target=kill_now_and_then, args=(lambda: it.service.process.pid, it.restart, steady, done), daemon=True
    )
    started = time.monotonic()
    for thread in (*clerks, killer):
        thread.start()
    trouble.start()
    steady.wait(minutes * 60 * 2 / 3)
    steady.set()
    killer.join()
    waits, memory = _measured(engine, it, minutes * 60 / 3)
    over.set()
    trouble.stop()
    for clerk in clerks:
        clerk.join(300)
    it.restart()
    faults = [fault for clerk in clerks for fault in clerk.faults]
    for clerk in clerks:
        clerk.compare()
        faults += [fault for fault in clerk.faults if fault not in faults]
        done.update(clerk.acts)
    with it.service.client(victim) as api:
        row = api.get(f"/api/groups/{made}").json()["data"]
        if (row["items"], row["stop_list_count"]) != (MEMBERS, 0):
            faults.append(f"a cut request changed the list: {row}")
    status = it.service.stop()
    verified = run("verify", "--database-url", url)
    if status or verified.returncode:
        faults.append(f"exit status {status}; verify: {verified.stdout}{verified.stderr}")
    print(f"\n{engine}: {(time.monotonic() - started) / 60:.1f} minutes")
    for name, count in sorted((done + trouble.done).items()):
        print(f"  {count:7} {name}")
    for name, found in waits.items():
        p50, p99 = (quiet.percentile(found, part) * 1000 for part in (0.5, 0.99))
        print(f"  quiet account {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(found)} requests")
    elsewhere, beside = (quiet.percentile(waits[name], 0.99) for name in (ELSEWHERE, BESIDE))
    print(f"  p99 beside the flood of its service / of another service: {beside / max(elsewhere, 1e-6):.2f}")
    print(
        f"  longest reading of a book by two exports: {max(clerk.slowest_export for clerk in clerks):.1f} s"
    )
    first, last = (statistics.median(part) / 1024 for part in _ends(memory))
    print(
        f"  memory of the service: {first:.0f} MiB in the first quarter of the quiet third, {last:.0f} MiB in the last"
    )
    print(f"  verify: {verified.stdout.strip()}")
    print(f"  {len(faults)} lost, doubled or wrong" + "".join(f"\n    {fault}" for fault in faults[:40]))
    return not faults


def _measured(engine: str, it: Soak, seconds: float) -> tuple[dict[str, list[float]], list[int]]:
    """Waits of a quiet account, by turns alone and with a flood; memory of the service meanwhile, in KiB."""
    calm, flood = it.key("quiet"), it.key("flood")
    waits: dict[str, list[float]] = {ALONE: [], ELSEWHERE: [], BESIDE: []}
    memory: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            memory.append(memory_kb(it.service.process.pid))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    turn = max(2.0, seconds / (TURNS * len(waits)))
    with tempfile.TemporaryDirectory(prefix="rollbook-soak-") as name, _database(engine, Path(name)) as url:
        other = Soak(url, Path(name))
        floods: dict[str, Callable[[], AbstractContextManager[None]]] = {
            ALONE: nullcontext,
            ELSEWHERE: partial(quiet.flooding, other.base_url, other.key("flood")),
            BESIDE: partial(quiet.flooding, it.base_url, flood),
        }
        for _ in range(TURNS):
            for which, begin in floods.items():
                with begin():
                    waits[which] += quiet.waits(it.base_url, calm, turn)
        other.service.stop()
    over.set()
    looking.join()
    return waits, memory


def _ends(memory: list[int]) -> tuple[list[int], list[int]]:
    quarter = max(1, len(memory) // 4)
    return memory[:quarter] or [0], memory[-quarter:] or [0]


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder}/rollbook.db"
        return
    server = Postgres()
    try:
        url = server.create_database("soak")
        run("migrate", "--database-url", url)
        yield url
    finally:
        server.remove()


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="for each engine")
    options.add_argument("--engine", choices=ENGINES, action="append", help="both without it")
    chosen = options.parse_args()
    well = True
    for engine in chosen.engine or ENGINES:
        with (
            tempfile.TemporaryDirectory(prefix="rollbook-soak-") as name,
            _database(engine, Path(name)) as url,
        ):
            well &= soak(engine, chosen.minutes, Path(name), url)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
