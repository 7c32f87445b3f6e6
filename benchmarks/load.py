"""Load generators: what drives a server from another process, each request different.

`wrk` where it is installed, else a client of our own on uvloop.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from benchmarks.load_client import LoadFailed, Traffic, run

P = ParamSpec("P")
T = TypeVar("T")

NUMBER = "{number}"
"""In a path or a body: a whole number, drawn anew for each request."""

ANSWER_SECONDS_MAX = 30
"""A request that waits longer has failed."""


def traffic(url: str, token: str, method: str, path: str, body: str = "", *, low: int, high: int) -> Traffic:
    """Make requests whose path or body has `NUMBER` in it, once.

    Args:
        url: of the server, `http://host:port`.
        low, high: the number's range; in a body both must have the same number of digits.
    """
    server = urlsplit(url)
    assert server.hostname is not None
    assert server.port is not None
    head = f"{method} {path} HTTP/1.1\r\nHost: {server.netloc}\r\nAuthorization: Bearer {token}\r\n"
    if body:
        assert len(str(low)) == len(str(high)), "the Content-Length is the same for all"
        length = len(body.replace(NUMBER, str(low)))
        head += f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
    before, after = f"{head}\r\n{body}".encode().split(NUMBER.encode())
    return Traffic(server.hostname, server.port, before, after, low, high)


def installed() -> str:
    """The load generator that is used when none is named: "wrk" or "client"."""
    return "wrk" if shutil.which("wrk") else "client"


def drive(requests: Traffic, *, connections: int, seconds: float, generator: str) -> float:
    """Keep a server busy and return its answers a second.

    Args:
        connections: open all the time, each with one request under way.
        seconds: how long; `wrk` takes whole seconds, at least one.
        generator: "wrk" or "client".

    Raises:
        LoadFailed: an answer that is not 2xx, or none at all.
    """
    if generator == "wrk":
        return _drive_by_wrk(requests, connections, max(1, round(seconds)))
    return in_own_process(run, requests, connections, seconds)


def in_own_process(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `fn` in a fresh process and return what it returns."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(fn, *args, **kwargs).result()


def _drive_by_wrk(requests: Traffic, connections: int, seconds: int) -> float:
    with tempfile.NamedTemporaryFile("w", prefix="rollbook-wrk-", suffix=".lua") as script:
        script.write(_lua(requests))
        script.flush()
        done = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
                *("--timeout", f"{ANSWER_SECONDS_MAX}s", "--script", script.name),
                f"http://{requests.host}:{requests.port}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise LoadFailed(f"wrk failed: {done.stdout}{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["failed"] or not told["answers"]:
        raise LoadFailed(f"not every request was answered with 2xx: {done.stdout}")
    return float(told["answers"] / (told["microseconds"] / 1e6))


def _lua(requests: Traffic) -> str:
    """The script that has wrk send these requests. wrk itself counts statuses above 399."""
    return f"""
local before = {_lua_text(requests.before)}
local after = {_lua_text(requests.after)}
function init(args)
  math.randomseed({random.getrandbits(31)})
end
function request()
  return before .. string.format("%d", math.random({requests.low}, {requests.high})) .. after
end
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{{"answers": %d, "microseconds": %d, "failed": %d}}\\n',
    summary.requests, summary.duration, failed))
end
"""


def _lua_text(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'
