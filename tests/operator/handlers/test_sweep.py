import asyncio
from datetime import timedelta

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.errors import ClusterError, ConflictError, RefusedError, UnavailableError
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.plan.steps import ScaleUp
from becalm_operator.plan.world import Workload
from tests.operator.handlers.examples import DB, WEB, backup, held
from tests.operator.handlers.recording import NOW, RecordingCluster
from tests.operator.handlers.virtual_time import now, virtually


def sweeping(cluster: RecordingCluster, *, at_minute: int = 0) -> Sweep:
    return Sweep(cluster, lambda: NOW + timedelta(minutes=at_minute))


def orphaned() -> RecordingCluster:
    """Return a cluster in which two workloads are held down by a run that is gone."""
    cluster = RecordingCluster()
    for reference in (WEB, DB):
        cluster.workloads[str(reference)] = held(reference, by="gone")
    return cluster


async def test_a_workload_whose_run_is_gone_is_started_and_told_of() -> None:
    cluster = orphaned()
    assert await sweeping(cluster).once()
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]
    assert all("is gone" in event.message for event in cluster.told)


async def test_a_workload_whose_run_looks_after_it_is_left_alone() -> None:
    cluster = RecordingCluster()
    cluster.put(backup(Phase.CAPTURING))
    cluster.workloads[str(WEB)] = held()
    assert await sweeping(cluster).once()
    assert cluster.written == []


async def test_a_workload_is_started_at_its_deadline_whatever_its_run_says() -> None:
    cluster = RecordingCluster()
    cluster.put(backup(Phase.CAPTURING))
    cluster.workloads[str(WEB)] = held(minutes=30)
    assert await sweeping(cluster, at_minute=30).once()
    assert cluster.workloads[str(WEB)].replicas == 3


@pytest.mark.parametrize(
    "error", [RefusedError("a webhook says no"), ConflictError("changed"), KeyError("bug")]
)
async def test_a_workload_that_cannot_be_started_keeps_no_other_down(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = orphaned()
    cluster.failures[f"release {WEB}"] = [error]
    sweep = sweeping(cluster)
    assert not await sweep.once()
    assert cluster.workloads[str(DB)].replicas == 3
    assert await sweep.once()
    assert cluster.workloads[str(WEB)].replicas == 3


async def test_an_event_that_fails_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    cluster = orphaned()
    cluster.failures[f"event about {WEB}"] = [UnavailableError("no answer")]
    assert await sweeping(cluster).once()


async def test_a_kind_that_cannot_be_looked_at_keeps_no_other_down(caplog: pytest.LogCaptureFixture) -> None:
    cluster = orphaned()
    cluster.unseen = (RefusedError("listing widgets.example.org of all namespaces: forbidden"),)
    assert not await sweeping(cluster).once()
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]
    assert "forbidden" in caplog.text


class HangingCluster(RecordingCluster):
    async def release(self, namespace: str, action: ScaleUp) -> None:
        if action.workload == WEB:
            await asyncio.Event().wait()
        await super().release(namespace, action)


def test_a_workload_that_hangs_keeps_no_other_down(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        cluster = HangingCluster()
        cluster.workloads = orphaned().workloads
        assert not await sweeping(cluster).once()
        assert cluster.workloads[str(DB)].replicas == 3

    virtually(scenario())


@pytest.mark.parametrize("error", [UnavailableError("no answer"), KeyError("bug")])
def test_the_sweep_goes_on_every_minute_and_sooner_after_a_failure(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[float]:
        cluster, beats = orphaned(), []
        cluster.failures["observe_held"] = [error, error]
        sweep = Sweep(cluster, lambda: NOW, lambda: beats.append(now()))
        task = asyncio.create_task(sweep.run())
        await asyncio.sleep(140)
        task.cancel()
        return beats

    assert virtually(scenario()) == [0, 5, 10, 70, 130]


@pytest.mark.parametrize(
    ("problem", "beats"), [(RefusedError("forbidden"), [0, 60]), (UnavailableError("no answer"), [0, 5])]
)
def test_what_could_not_be_looked_at_is_looked_at_sooner_only_if_that_may_help(
    problem: ClusterError, beats: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[float]:
        cluster, seen = orphaned(), []
        cluster.unseen = (problem,)
        task = asyncio.create_task(Sweep(cluster, lambda: NOW, lambda: seen.append(now())).run())
        await asyncio.sleep(61)
        task.cancel()
        return seen[:2]

    assert virtually(scenario()) == beats


def test_a_record_that_cannot_be_read_is_told_of_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> int:
        cluster = RecordingCluster()
        cluster.workloads[str(WEB)] = Workload(WEB, "uid", "1", replicas=0, unreadable_record=True)
        task = asyncio.create_task(sweeping(cluster).run())
        await asyncio.sleep(2.5 * 3600)
        task.cancel()
        assert cluster.workloads[str(WEB)].replicas == 0
        return len(cluster.told)

    assert virtually(scenario()) == 3
