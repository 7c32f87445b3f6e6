"""Metrics of the service for Prometheus, from this worker and the others.

Counting is plain arithmetic, since every request does it. The text for Prometheus is made when it asks.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rollbook.db import Database, Observer
from rollbook.verify import Verified

LATENCY_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)

REASONS = (
    "limit",
    "idle_at_limit",
    "descriptors",
    "malformed",
    "large_head",
    "slow_head",
    "slow_body",
    "slow_reader",
)
"""Why the service ended a connection before its client did."""

METRICS = {
    "rollbook_requests_total": "Requests answered.",
    "rollbook_request_seconds": "From the request's head to its answer.",
    "rollbook_write_batch_size": "Writes that shared one commit.",
    "rollbook_commit_seconds": "How long a commit took; a batch of one statement is its own commit.",
    "rollbook_queue_depth": "Work waiting for the database: queue is write or read.",
    "rollbook_connections": "Connections that are open.",
    "rollbook_connections_ended_total": "Connections that the service ended, and why.",
    "rollbook_accept_failures_total": "Connections that the operating system did not give.",
    "rollbook_database_node_up": "Whether a worker node of Citus answers (1) or is away (0).",
    "rollbook_verified_drift": "Counts that were wrong when `rollbook verify` last looked; must be 0.",
    "rollbook_verified_timestamp_seconds": "When that was, of all accounts the longest ago; 0 for never.",
}
"""Every metric and its description."""


class Histogram(msgspec.Struct):
    """The number of values in each bucket, the last of which is beyond all bounds, and their sum."""

    buckets: list[int]
    total: float = 0.0

    def add(self, value: float, bounds: Sequence[float]) -> None:
        """Count a value."""
        self.buckets[bisect_left(bounds, value)] += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.total += other.total


class WorkerMetrics(msgspec.Struct):
    """All counts of one worker. Keys are labels, joined by a space."""

    requests: dict[str, int]
    latency: dict[str, Histogram]
    batch: Histogram
    commit: Histogram
    queues: dict[str, int]
    connections: int
    ended: dict[str, int]
    accept_failures: int

    def merge(self, other: WorkerMetrics, *, alive: bool) -> None:
        """Add another worker's totals, without its queues if it has ended."""
        for labels, count in other.requests.items():
            self.requests[labels] = self.requests.get(labels, 0) + count
        for labels, counts in other.latency.items():
            self.latency.setdefault(labels, _empty(LATENCY_SECONDS)).merge(counts)
        self.batch.merge(other.batch)
        self.commit.merge(other.commit)
        for reason, count in other.ended.items():
            self.ended[reason] = self.ended.get(reason, 0) + count
        self.accept_failures += other.accept_failures
        if alive:
            self.connections += other.connections
            for queue, depth in other.queues.items():
                self.queues[queue] = self.queues.get(queue, 0) + depth


class Metrics(Observer, Collector):
    """Counts the work of this process, and shows it together with the totals that other workers wrote to
    `folder`.

    Args:
        folder: the folder that the workers of a service share; `None` when there is only one worker.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._folder = folder
        self._database: Database | None = None
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], tuple[list[int], Histogram]] = {}
        self._batch = _empty(BATCH_SIZES)
        self._commit = _empty(COMMIT_SECONDS)
        self._verified = Verified(0, None)
        self._ended: dict[str, int] = {}
        self._accept_failures = 0
        self.nodes: Mapping[str, bool] = {}
        """The nodes of a distributed database, as host:port, and whether each answered the last query."""
        self.connections = 0
        """The number of connections that are open now."""

    def verified(self, found: Verified) -> None:
        """Report the result of the last recounts."""
        self._verified = found

    def watch(self, database: Database) -> None:
        """Report the depth of the database's queues."""
        self._database = database

    def committed(self, jobs: int, seconds: float) -> None:
        with self._lock:
            self._batch.add(jobs, BATCH_SIZES)
            self._commit.add(seconds, COMMIT_SECONDS)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. Called in the event loop only."""
        found = self._requests.get((method, route, status))
        if found is None:
            found = self._requests[method, route, status] = ([0], _empty(LATENCY_SECONDS))
        count, latency = found
        count[0] += 1
        latency.add(seconds, LATENCY_SECONDS)

    def ended(self, reason: str) -> None:
        """Count a connection that the service ended. Called in the event loop only."""
        self._ended[reason] = self._ended.get(reason, 0) + 1

    def accept_failed(self) -> None:
        """Count a connection that could not be accepted. Called in the event loop only."""
        self._accept_failures += 1

    def share(self) -> None:
        """Write this worker's totals to the shared folder for the other workers."""
        if self._folder is not None:
            file = self._folder / f"{os.getpid()}.json"
            draft = file.with_suffix(".new")
            draft.write_bytes(msgspec.json.encode(self._totals()))
            draft.replace(file)

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        for file in self._folder.glob("*.json") if self._folder else ():
            if file.stem != str(os.getpid()):
                other = msgspec.json.decode(file.read_bytes(), type=WorkerMetrics)
                totals.merge(other, alive=_is_alive(int(file.stem)))
        yield from _families(totals)
        name = "rollbook_database_node_up"
        nodes = GaugeMetricFamily(name, METRICS[name], labels=["node"])
        for node, answers in self.nodes.items():
            nodes.add_metric([node], answers)
        yield nodes
        at = self._verified.verified_at
        for name, value in (
            ("rollbook_verified_drift", self._verified.drift),
            ("rollbook_verified_timestamp_seconds", at.timestamp() if at else 0),
        ):
            yield GaugeMetricFamily(name, METRICS[name], value=value)

    def _totals(self) -> WorkerMetrics:
        requests = {
            f"{m} {route} {status}": found[0][0] for (m, route, status), found in self._requests.items()
        }
        latency: dict[str, Histogram] = {}
        for (method, route, _), (_, counts) in self._requests.items():
            latency.setdefault(f"{method} {route}", _empty(LATENCY_SECONDS)).merge(counts)
        queues = {"write": 0, "read": 0}
        if self._database is not None:
            queues = {"write": self._database.writes_waiting, "read": self._database.reads_waiting}
        with self._lock:
            batch, commit = _copy(self._batch), _copy(self._commit)
        return WorkerMetrics(
            requests,
            latency,
            batch,
            commit,
            queues,
            self.connections,
            dict(self._ended),
            self._accept_failures,
        )


def _families(totals: WorkerMetrics) -> Iterator[Metric]:
    name = "rollbook_requests_total"
    requests = CounterMetricFamily(name, METRICS[name], labels=["method", "route", "status"])
    for labels, count in totals.requests.items():
        requests.add_metric(labels.split(" "), count)
    yield requests
    name = "rollbook_request_seconds"
    latency = HistogramMetricFamily(name, METRICS[name], labels=["method", "route"])
    for labels, counts in totals.latency.items():
        latency.add_metric(labels.split(" "), _cumulative(counts, LATENCY_SECONDS), counts.total)
    yield latency
    for name, counts, bounds in (
        ("rollbook_write_batch_size", totals.batch, BATCH_SIZES),
        ("rollbook_commit_seconds", totals.commit, COMMIT_SECONDS),
    ):
        yield HistogramMetricFamily(
            name, METRICS[name], buckets=_cumulative(counts, bounds), sum_value=counts.total
        )
    name = "rollbook_queue_depth"
    queues = GaugeMetricFamily(name, METRICS[name], labels=["queue"])
    for queue, depth in totals.queues.items():
        queues.add_metric([queue], depth)
    yield queues
    name = "rollbook_connections_ended_total"
    ended = CounterMetricFamily(name, METRICS[name], labels=["reason"])
    for reason in sorted({*REASONS, *totals.ended}):
        ended.add_metric([reason], totals.ended.get(reason, 0))
    yield ended
    name = "rollbook_accept_failures_total"
    yield CounterMetricFamily(name, METRICS[name], value=totals.accept_failures)
    name = "rollbook_connections"
    yield GaugeMetricFamily(name, METRICS[name], value=totals.connections)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _cumulative(counts: Histogram, bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Cumulative counts as in Prometheus: for each bound the number of values up to it."""
    below = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip([*map(float, bounds), "+Inf"], counts.buckets, strict=True):
        below += count
        found.append((str(bound), below))
    return found


def _empty(bounds: Sequence[float]) -> Histogram:
    return Histogram([0] * (len(bounds) + 1))


def _copy(counts: Histogram) -> Histogram:
    return Histogram(list(counts.buckets), counts.total)
