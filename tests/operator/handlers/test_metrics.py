"""What is counted and shown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from becalm_operator.api.backup import Backup, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.downtime import DowntimeParts, Forecast
from becalm_operator.api.names import SCHEDULE_LABEL
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Key
from becalm_operator.errors import UnavailableError
from becalm_operator.handlers import metrics as metrics_module
from becalm_operator.handlers.metrics import BUILD, COUNTERS, GAUGES, HISTOGRAMS, Metrics, showing
from becalm_operator.handlers.reconcile import Witness, reconcile
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.plan.world import Held
from tests.operator.handlers.examples import BOUND, backup, held, planned, restore, running
from tests.operator.handlers.recording import NOW, RecordingCluster
from tests.operator.plan import worlds

RUN = Key("Backup", "shop", "nightly")
SCHEDULE = Key("BackupSchedule", "shop", "nightly")
MAKER = {
    "apiVersion": "becalm.dev/v1alpha1",
    "kind": "BackupSchedule",
    "name": "nightly",
    "uid": "uid-nightly",
    "controller": True,
}
REPOSITORY = Key("BackupRepository", "shop", "main")


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one name, by the values of their labels."""
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.name == name}


def a_run(
    phase: Phase, *, scheduled: bool = True, meta: dict[str, Any] | None = None, **status: Any
) -> Backup:
    labels = {SCHEDULE_LABEL: "nightly"} if scheduled else {}
    made = backup(phase, labels=labels, ownerReferences=[MAKER] if scheduled else [], **(meta or {}))
    return made.model_copy(update={"status": made.status.model_copy(update=status)})


def an_ended_run(phase: Phase = Phase.SUCCEEDED, **status: Any) -> Backup:
    return a_run(
        phase,
        completion_time=NOW + timedelta(seconds=90),
        downtime_seconds=42,
        downtime_parts=DowntimeParts(drain_seconds=3, capture_seconds=30, start_seconds=9),
        **status,
    )


def test_a_run_that_ends_is_counted_once() -> None:
    metrics = Metrics()
    metrics.saw(SCHEDULE, a_schedule())
    metrics.saw(RUN, a_run(Phase.RESUMING))
    metrics.saw(RUN, an_ended_run())
    metrics.saw(RUN, an_ended_run())

    ended = values(metrics, "becalm_runs_ended_total")
    assert ended == {("Backup", "shop", "nightly", "succeeded", ""): 1}
    assert values(metrics, "becalm_downtime_seconds_sum") == {("Backup", "shop", "nightly"): 42}
    parts = {("Backup", "drain"): 3, ("Backup", "capture"): 30, ("Backup", "start"): 9}
    assert values(metrics, "becalm_downtime_part_seconds_sum") == parts
    assert values(metrics, "becalm_run_duration_seconds_sum") == {("Backup",): 90}


def test_a_failed_run_is_counted_with_its_reason_and_one_by_hand_without_a_schedule() -> None:
    metrics = Metrics()
    metrics.saw(RUN, a_run(Phase.CAPTURING, scheduled=False))
    metrics.saw(RUN, a_run(Phase.FAILED, scheduled=False, reason="Tainted"))

    ended = values(metrics, "becalm_runs_ended_total")
    assert ended == {("Backup", "shop", "", "failed", "Tainted"): 1}
    assert values(metrics, "becalm_downtime_seconds_sum") == {}


def test_a_run_that_had_ended_before_the_operator_began_is_not_counted() -> None:
    metrics = Metrics()
    metrics.saw(RUN, an_ended_run())

    assert values(metrics, "becalm_runs_ended_total") == {}


def test_another_run_of_the_same_name_is_another() -> None:
    metrics = Metrics()
    metrics.saw(RUN, a_run(Phase.CAPTURING))
    metrics.saw(RUN, an_ended_run(Phase.FAILED).model_copy(update={"metadata": a_run(
        Phase.FAILED, meta={"uid": "another"}).metadata}))  # fmt: skip

    assert values(metrics, "becalm_runs_ended_total") == {}


def test_what_goes_on_is_shown_until_it_is_over() -> None:
    metrics = Metrics()
    metrics.saw(RUN, a_run(Phase.CAPTURING, workloads=(planned(stopped_at=NOW),)))
    queued = restore(Phase.PENDING)
    waiting = queued.model_copy(update={"status": queued.status.model_copy(update={"queued_since": NOW})})
    metrics.saw(Key("Restore", "shop", "monday"), waiting)

    runs = {("Backup", "Capturing"): 1, ("Restore", "Pending"): 1}
    assert values(metrics, "becalm_runs") == runs
    assert values(metrics, "becalm_workloads_down") == {("shop",): 1}
    assert values(metrics, "becalm_queue_length") == {("shop",): 1}

    metrics.saw(RUN, an_ended_run(workloads=(planned(stopped_at=NOW, started_at=NOW),)))
    metrics.saw(Key("Restore", "shop", "monday"), None)

    assert values(metrics, "becalm_runs") == {}
    assert values(metrics, "becalm_workloads_down") == {("shop",): 0}
    assert values(metrics, "becalm_queue_length") == {("shop",): 0}


def a_schedule(**status: Any) -> BackupSchedule:
    made = worlds.a_schedule()
    return made.model_copy(update={"status": made.status.model_copy(update=status)})


def test_a_schedule_shows_its_times_and_its_last_downtime_beside_the_expected() -> None:
    metrics = Metrics()
    later = NOW + timedelta(hours=1)
    metrics.saw(SCHEDULE, a_schedule(last_successful_time=NOW, next_schedule_time=later))
    expected = Forecast(downtime_seconds=12, shortest_seconds=8, longest_seconds=15, runs=5)
    metrics.saw(RUN, an_ended_run(forecast=expected))
    older = an_ended_run(forecast=expected)
    status = older.status.model_copy(update={"completion_time": NOW, "downtime_seconds": 1})
    metrics.saw(Key("Backup", "shop", "older"), older.model_copy(update={"status": status}))

    labels = ("shop", "nightly")
    shown = {
        "last_success_timestamp_seconds": NOW.timestamp(),
        "next_run_timestamp_seconds": later.timestamp(),
        "due_timestamp_seconds": (NOW + timedelta(days=1)).timestamp(),
        "created_timestamp_seconds": worlds.NOW.timestamp(),
        "last_downtime_seconds": 42,
        "expected_downtime_seconds": 12,
        "suspended": 0,
        "last_run_failed": 0,
    }
    for name, value in shown.items():
        assert values(metrics, f"becalm_schedule_{name}") == {labels: value}, name

    metrics.saw(SCHEDULE, None)
    assert values(metrics, "becalm_schedule_created_timestamp_seconds") == {}
    assert values(metrics, "becalm_schedule_due_timestamp_seconds") == {}


def test_a_schedule_shows_what_is_to_be_looked_at_in_its_newest_good_backup() -> None:
    def shown() -> list[dict[tuple[str, ...], float]]:
        names = ("last_run_suspect", "last_retention_failed")
        return [values(metrics, f"becalm_schedule_{name}") for name in names]

    metrics, yes, no = Metrics(), {("shop", "nightly"): 1.0}, {("shop", "nightly"): 0.0}
    doubted = VolumeStatus(claim="uploads", suspect="it shrank")
    unretained = worlds.a_condition("True", Reason.RETENTION_FAILED).model_copy(
        update={"type": "RetentionFailed"}
    )
    metrics.saw(SCHEDULE, a_schedule())
    assert shown() == [{}, {}]

    metrics.saw(RUN, an_ended_run(volumes=(doubted,), conditions=(unretained,)))
    assert shown() == [yes, yes]

    metrics.saw(Key("Backup", "shop", "older"), ended_later(an_ended_run(), -1))
    metrics.saw(Key("Backup", "shop", "failed"), ended_later(an_ended_run(Phase.FAILED), 1))
    assert shown() == [yes, yes]

    metrics.saw(Key("Backup", "shop", "newer"), ended_later(an_ended_run(), 2))
    assert shown() == [no, no]

    metrics.saw(SCHEDULE, None)
    assert shown() == [{}, {}]


def ended_later(run: Backup, hours: int) -> Backup:
    ended = NOW + timedelta(hours=hours)
    return run.model_copy(update={"status": run.status.model_copy(update={"completion_time": ended})})


@pytest.mark.parametrize(("status", "value"), [("True", 1), ("False", 0), ("Unknown", 0)])
def test_a_repository_shows_whether_it_opens(status: str, value: float) -> None:
    metrics = Metrics()
    condition = worlds.a_condition(status, Reason.READY)
    repository: BackupRepository = worlds.a_repository(condition)

    metrics.saw(REPOSITORY, repository)

    assert values(metrics, "becalm_repository_ready") == {("shop", "main"): value}


async def test_reconciling_tells_of_the_object_as_it_was_and_as_it_is_left() -> None:
    cluster, metrics = RecordingCluster(), Metrics()
    run = backup(Phase.RESUMING, workloads=[planned(stopped_at=NOW)], **BOUND)
    failed = run.status.model_copy(update={"reason": "Tainted", "message": "somebody"})
    cluster.workloads["deployment/web"] = running()
    key = cluster.put(run.model_copy(update={"status": failed}))

    while await reconcile(cluster, key, witness=Witness(metrics.saw)) is not None:
        pass

    assert list(values(metrics, "becalm_runs_ended_total")) == [("Backup", "shop", "", "failed", "Tainted")]


async def test_looks_are_timed_and_their_errors_counted() -> None:
    metrics, moments = Metrics(), iter([1.0, 1.5, 2.0, 4.0])

    async def fails(key: Key) -> float | None:
        raise UnavailableError("no answer")

    async def works(key: Key) -> float | None:
        return 7.0

    with pytest.raises(UnavailableError):
        await metrics.measured(fails, lambda: next(moments))(RUN)
    assert await metrics.measured(works, lambda: next(moments))(RUN) == 7.0

    assert values(metrics, "becalm_reconcile_errors_total") == {("Backup", "UnavailableError"): 1}
    assert values(metrics, "becalm_reconcile_duration_seconds_sum") == {("Backup",): 2.5}


async def test_the_sweep_shows_what_is_held_beyond_its_deadline() -> None:
    cluster, metrics = RecordingCluster(), Metrics()
    cluster.workloads["deployment/web"] = held(minutes=-1)

    await Sweep(cluster, lambda: NOW, seen=metrics.swept).once()
    assert values(metrics, "becalm_workloads_overdue") == {("shop",): 1}

    metrics.swept([Held("shop", held(minutes=30))], NOW)
    assert values(metrics, "becalm_workloads_overdue") == {}


async def test_they_are_served_where_prometheus_looks(unused_tcp_port: int) -> None:
    metrics = Metrics()
    metrics.requested("GET", 200, 0.01)
    url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    async with showing(unused_tcp_port, metrics), aiohttp.ClientSession() as session:
        answer = await session.get(url)
        text = await answer.text()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'becalm_api_request_duration_seconds_count{code="200",method="GET"} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_without_a_port_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []

    @asynccontextmanager
    async def answering(port: int, _: object) -> AsyncIterator[None]:
        served.append(port)
        yield

    monkeypatch.setattr(metrics_module, "answering", answering)
    async with showing(8080, Metrics()):
        assert served == [8080]
    async with showing(0, Metrics()):
        assert served == [8080]


def test_the_catalogue_is_what_is_shown_under_names_as_prometheus_wants_them() -> None:
    families = {family.name: family for family in Metrics().registry.collect()}
    catalogue = (*GAUGES, *COUNTERS, *HISTOGRAMS)

    assert {told.name.removesuffix("_total") for told in catalogue} | {"becalm_build"} == {
        name for name in families if name.startswith("becalm_")
    }
    assert BUILD.name == "becalm_build_info"
    for told in catalogue:
        assert told.help.endswith(".")
        assert told.name.endswith("_total") == (told.type == "counter")
        assert told.name.endswith("_seconds") or told.type != "histogram"
        assert set(told.labels) <= {
            "kind", "phase", "namespace", "schedule", "repository", "outcome",
            "reason", "part", "error", "method", "code",
        }  # fmt: skip
