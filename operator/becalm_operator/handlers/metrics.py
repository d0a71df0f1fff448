"""Metrics, in the form that Prometheus reads. The only module that knows its library.

Labels are namespaces, and names that people have given to schedules and repositories: none has more values than there
are such objects. No label names a run, a claim or a workload.
"""

import time
from collections import Counter as Count
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Key, Resource
from becalm_operator.handlers.endpoint import answering
from becalm_operator.handlers.ledger import Ledger
from becalm_operator.handlers.queue import Reconcile
from becalm_operator.plan.world import Held

M = TypeVar("M", Counter, Histogram)

_DOWNTIMES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_DURATIONS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)
_REQUESTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_OF_SCHEDULE = ("namespace", "schedule")


@dataclass(frozen=True, slots=True)
class Told:
    """A metric, its type as Prometheus names it, and what it says."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS


_LEASE = "becalm_lease_held"


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Told:
    return Told(name, "gauge", labels, text)


GAUGES = (
    _gauge("becalm_runs", ("kind", "phase"), "Backups and Restores that have not ended."),
    _gauge("becalm_queue_length", ("namespace",), "Runs that wait for nothing but their turn."),
    _gauge(
        "becalm_workloads_down",
        ("namespace",),
        "Workloads that runs hold down, or that are not Ready again yet.",
    ),
    _gauge(
        "becalm_workloads_overdue",
        ("namespace",),
        "Workloads that were held down beyond their deadline when the sweep last looked. It starts them at once.",
    ),
    _gauge("becalm_schedule_created_timestamp_seconds", _OF_SCHEDULE, "When the schedule was made."),
    _gauge(
        "becalm_schedule_last_success_timestamp_seconds", _OF_SCHEDULE, "When a Backup of it last succeeded."
    ),
    _gauge("becalm_schedule_next_run_timestamp_seconds", _OF_SCHEDULE, "When it makes the next Backup."),
    _gauge(
        "becalm_schedule_due_timestamp_seconds",
        _OF_SCHEDULE,
        "When the first Backup since its last success is due, or was.",
    ),
    _gauge("becalm_schedule_suspended", _OF_SCHEDULE, "1 if it makes no Backups for now."),
    _gauge("becalm_schedule_last_run_failed", _OF_SCHEDULE, "1 if its newest Backup that has ended failed."),
    _gauge(
        "becalm_schedule_last_run_suspect",
        _OF_SCHEDULE,
        "1 if its newest Backup that has succeeded is suspect: until one is not, nothing old is forgotten.",
    ),
    _gauge(
        "becalm_schedule_last_retention_failed",
        _OF_SCHEDULE,
        "1 if its retention was not applied after its newest Backup that has succeeded.",
    ),
    _gauge(
        "becalm_schedule_last_downtime_seconds", _OF_SCHEDULE, "Downtime of its newest Backup that has ended."
    ),
    _gauge(
        "becalm_schedule_expected_downtime_seconds",
        _OF_SCHEDULE,
        "What was expected of it, by the Backups before.",
    ),
    _gauge(
        _LEASE,
        (),
        "1 if it holds the Lease and could renew it in time. Otherwise it waits for its turn, or does nothing.",
    ),
    _gauge("becalm_repository_ready", ("namespace", "repository"), "1 if it could be opened."),
)
"""What is as it is at the moment it is asked for."""

_RUNS, _ERRORS = "becalm_runs_ended_total", "becalm_reconcile_errors_total"
_DOWNTIME, _PART = "becalm_downtime_seconds", "becalm_downtime_part_seconds"
_DURATION, _RECONCILE = "becalm_run_duration_seconds", "becalm_reconcile_duration_seconds"
_REQUEST = "becalm_api_request_duration_seconds"
COUNTERS = (
    Told(
        _RUNS,
        "counter",
        ("kind", *_OF_SCHEDULE, "outcome", "reason"),
        "Backups and Restores that have ended. The reason says why one failed.",
    ),
    Told(
        _ERRORS,
        "counter",
        ("kind", "error"),
        "Looks at an object that ended with an error, and are repeated.",
    ),
)
HISTOGRAMS = (
    Told(
        _DOWNTIME,
        "histogram",
        ("kind", *_OF_SCHEDULE),
        "From the first workload's stop to the last one's being Ready again.",
        _DOWNTIMES,
    ),
    Told(
        _PART,
        "histogram",
        ("kind", "part"),
        "What the downtime was spent on: drain, capture (in a Restore, the restoring), start.",
        _DOWNTIMES,
    ),
    Told(_DURATION, "histogram", ("kind",), "From leaving Pending to the end of a run.", _DURATIONS),
    Told(_RECONCILE, "histogram", ("kind",), "How long a look at one object took."),
    Told(
        _REQUEST,
        "histogram",
        ("method", "code"),
        "Requests to the API server, watches left out. The code is 0 where there was no answer.",
        _REQUESTS,
    ),
)
BUILD = Told("becalm_build_info", "gauge", ("version",), "1. The version of the operator.")


class Metrics(Collector):
    """All that is counted and measured."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ledger = Ledger()
        self._overdue: Count[str] = Count()
        self.holds_lease: Callable[[], bool] = lambda: False
        """Asked whenever somebody looks."""
        self._of_schedules: dict[Key, set[tuple[Counter | Histogram, tuple[str, ...]]]] = {}
        Info("becalm_build", BUILD.help, registry=self.registry).info({"version": version("becalm")})
        ProcessCollector(registry=self.registry)
        self._counters = {t.name: Counter(t.name, t.help, t.labels, registry=self.registry) for t in COUNTERS}
        self._histograms = {
            t.name: Histogram(t.name, t.help, t.labels, buckets=t.buckets, registry=self.registry)
            for t in HISTOGRAMS
        }
        self.registry.register(self)

    def saw(self, key: Key, resource: Resource | None) -> None:
        """Note an object of ours as it is now; None if it is gone."""
        if self._ledger.note(key, resource) and isinstance(resource, Backup | Restore):
            self._ended(resource)
        if resource is None:
            for metric, labels in self._of_schedules.pop(key, ()):
                metric.remove(*labels)

    def _of(self, metric: M, schedule: Key, *labels: str) -> M:
        """Return one series of a metric, which goes with its schedule."""
        if schedule.name:
            self._of_schedules.setdefault(schedule, set()).add((metric, labels))
        return metric.labels(*labels)

    def _ended(self, run: Backup | Restore) -> None:
        status, kind = run.status, run.kind
        schedule = Key(BackupSchedule.kind, run.metadata.namespace, self._ledger.schedule_of(run))
        labels = (kind, schedule.namespace, schedule.name)
        outcome = "succeeded" if status.phase is Phase.SUCCEEDED else "failed"
        self._of(self._counters[_RUNS], schedule, *labels, outcome, status.reason).inc()
        if status.start_time and status.completion_time:
            took = (status.completion_time - status.start_time).total_seconds()
            self._histograms[_DURATION].labels(kind).observe(took)
        if status.downtime_seconds is not None:
            self._of(self._histograms[_DOWNTIME], schedule, *labels).observe(status.downtime_seconds)
        if parts := status.downtime_parts:
            for name, seconds in parts.model_dump().items():
                self._histograms[_PART].labels(kind, name.removesuffix("_seconds")).observe(seconds)

    def swept(self, held: Iterable[Held], now: datetime) -> None:
        """Note what is held down, as the sweep saw it."""
        records = ((one.namespace, one.workload.record) for one in held)
        self._overdue = Count(namespace for namespace, record in records if record and record.deadline < now)

    def requested(self, method: str, code: int, seconds: float) -> None:
        """Note a request to the API server."""
        self._histograms[_REQUEST].labels(method, str(code)).observe(seconds)

    def measured(self, reconcile: Reconcile, clock: Callable[[], float] = time.monotonic) -> Reconcile:
        """Return a reconcile function that is measured."""

        async def measuring(key: Key) -> float | None:
            began = clock()
            try:
                return await reconcile(key)
            except Exception as error:
                self._counters[_ERRORS].labels(key.kind, type(error).__name__).inc()
                raise
            finally:
                self._histograms[_RECONCILE].labels(key.kind).observe(clock() - began)

        return measuring

    def collect(self) -> Iterator[Metric]:
        """Return the gauges as they are now."""
        families = {one.name: GaugeMetricFamily(one.name, one.help, labels=one.labels) for one in GAUGES}
        for name, labels, value in self._ledger.samples():
            families[name].add_metric(labels, value)
        for namespace, count in self._overdue.items():
            families["becalm_workloads_overdue"].add_metric((namespace,), count)
        families[_LEASE].add_metric((), float(self.holds_lease()))
        yield from families.values()

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self.registry)


@asynccontextmanager
async def showing(port: int, metrics: Metrics) -> AsyncIterator[None]:
    """Serve /metrics meanwhile, on all addresses; with port 0 nothing is served."""
    if not port:
        yield
        return

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async with answering(port, {"/metrics": answer}):
        yield
