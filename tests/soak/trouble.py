"""What goes wrong during a long run: kills, connections that are cut, clients that dawdle."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

KILL_SERVICE_SECONDS = (15.0, 40.0)
KILL_WORKER_SECONDS = (2.0, 8.0)
SLOW_CLIENTS = 24
CUT_EVERY_SECONDS = 0.2


class Trouble:
    """Threads that make trouble until told to stop.

    Args:
        url: of the service.
        key: of an account that has the list `list_id` with more than a hundred members, which no cut request may
            change.
    """

    def __init__(self, url: str, key: str, list_id: int) -> None:
        self.done: Counter[str] = Counter()
        self._address = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        self._key = key
        self._list_id = list_id
        self._random = random.Random(7)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._cut, daemon=True)]
        self._threads += [
            threading.Thread(target=self._dawdle, args=(n,), daemon=True) for n in range(SLOW_CLIENTS)
        ]

    def start(self) -> None:
        """Cut connections and dawdle from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more of it."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _requests(self) -> list[bytes]:
        """Requests that would each change the book of this account if they were taken for whole."""
        rows = b"phone\n" + b"".join(b"+3800012%05d\n" % number for number in range(2_000))
        json = b'{"phones": [' + b", ".join(b"3800012%05d" % n for n in range(500)) + b'], "types": ["sms"]}'
        replace = f"/api/imports?list_id={self._list_id}&mode=replace&confirm=true&phone_check=possible"
        return [
            self._post(replace, rows),
            self._post(replace, rows, chunked=True),
            self._post("/api/imports?stop=sms&phone_check=possible", rows),
            self._post("/api/stoplist/attach", json),
            self._post("/api/stoplist/attach", json, chunked=True),
        ]

    def _post(self, target: str, body: bytes, *, chunked: bool = False) -> bytes:
        kind = b"application/json" if body[:1] == b"{" else b"text/csv"
        head = b"POST %b HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer %b\r\nContent-Type: %b\r\n" % (
            target.encode(),
            self._key.encode(),
            kind,
        )
        if not chunked:
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        pieces = b"".join(
            b"%x\r\n%b\r\n" % (len(body[at : at + 4096]), body[at : at + 4096])
            for at in range(0, len(body), 4096)
        )
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"

    def _cut(self) -> None:
        """Send less than the whole of a request, and close or half-close."""
        whole = self._requests()
        while not self._over.wait(CUT_EVERY_SECONDS):
            request = self._random.choice(whole)
            part = request[: self._random.randrange(1, len(request) - 5)]
            with (
                contextlib.suppress(OSError),
                socket.create_connection(self._address, timeout=20) as connection,
            ):
                connection.sendall(part)
                if self._random.random() < 0.5:
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(4096)
                self.done["cut requests"] += 1

    def _dawdle(self, number: int) -> None:
        """Send a request's head or body byte by byte, or read an export as slowly."""
        export = (
            f"GET /api/contacts/export HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {self._key}\r\n\r\n"
        )
        request = [self._requests()[0], self._requests()[3], export.encode()][number % 3]
        while not self._over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(self._address, timeout=20) as connection,
            ):
                if number % 3 == 2:
                    connection.sendall(request)
                    while connection.recv(64) and not self._over.wait(1):
                        pass
                else:
                    at = request.index(b"\r\n\r\n") + 4 if number % 2 else 1
                    connection.sendall(request[:at])
                    for byte in request[at:]:
                        if self._over.wait(1):
                            return
                        connection.sendall(bytes([byte]))
                self.done["slow clients"] += 1
            self._over.wait(0.5)


def kill_now_and_then(
    pid: Callable[[], int], restart: Callable[[], None], over: threading.Event, done: Counter[str]
) -> None:
    """Kill -9 the service and the workers that it started, at random instants, until it is over.

    Args:
        pid: of the service as it runs now.
        restart: kills the service and starts it again.
    """
    chance = random.Random(11)
    service_at = time.monotonic() + chance.uniform(*KILL_SERVICE_SECONDS)
    while not over.wait(chance.uniform(*KILL_WORKER_SECONDS)):
        if time.monotonic() > service_at:
            restart()
            done["kills of the service"] += 1
            service_at = time.monotonic() + chance.uniform(*KILL_SERVICE_SECONDS)
        for child in children(pid()):
            with contextlib.suppress(OSError):
                if b"rollbook.imports" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    os.kill(child, signal.SIGKILL)
                    done["kills of a worker"] += 1


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def memory_kb(pid: int) -> int:
    """Memory of its own of a process, in KiB: without the pages of the database's file."""
    with contextlib.suppress(OSError, StopIteration, IndexError, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
    return 0
