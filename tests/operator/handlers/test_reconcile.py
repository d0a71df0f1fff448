import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from becalm_operator.api.backup import Phase, VolumeStatus
from becalm_operator.api.names import FINALIZER
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Key
from becalm_operator.errors import (
    ClusterError,
    ConflictError,
    RefusedError,
    UnavailableError,
    WebhookAwayError,
)
from becalm_operator.handlers.reconcile import Witness, reconcile
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.manifests.names import job_name
from becalm_operator.plan.world import JobState, Pod
from tests.operator.handlers.examples import BOUND, DB, WEB, backup, held, metadata, planned, restore, running
from tests.operator.handlers.recording import NOW, CrashError, RecordingCluster

Situation = Callable[[], tuple[RecordingCluster, Key]]


def stopping() -> tuple[RecordingCluster, Key]:
    """Return a Backup that is about to stop its workload, whose pod does not end, and has lost its finalizer."""
    cluster = RecordingCluster()
    cluster.pods = (Pod("web-1", str(WEB), ("data",)),)
    cluster.workloads[str(WEB)] = running()
    return cluster, cluster.put(backup(Phase.QUIESCING, workloads=[planned()]))


def ending() -> tuple[RecordingCluster, Key]:
    """Return a failed Backup whose last workload is up again."""
    cluster = RecordingCluster()
    cluster.workloads[str(WEB)] = running()
    run = backup(Phase.RESUMING, workloads=[planned(stopped_at=NOW)], **BOUND)
    failed = run.status.model_copy(update={"reason": "Tainted", "message": "somebody"})
    return cluster, cluster.put(run.model_copy(update={"status": failed}))


def read() -> tuple[RecordingCluster, Key]:
    """Return a Backup without volumes whose workload is down: all of it that is to be read has been."""
    cluster = RecordingCluster()
    cluster.repository = a_repository()
    cluster.workloads[str(WEB)] = held()
    return cluster, cluster.put(backup(Phase.DRAINING, workloads=[planned(stopped_at=NOW)], **BOUND))


def a_repository() -> BackupRepository:
    storage = {"persistentVolumeClaim": {"claimName": "store"}}
    spec = {"storage": storage, "passwordSecretRef": {"name": "password"}}
    return BackupRepository.model_validate({"metadata": metadata("main"), "spec": spec})


async def test_an_object_that_is_gone_needs_nothing() -> None:
    cluster = RecordingCluster()
    for kind in ("Backup", "Restore", "BackupRepository", "BackupSchedule"):
        assert await reconcile(cluster, Key(kind, "shop", "gone")) is None
    assert cluster.written == []


async def test_a_kind_that_is_not_ours_is_a_bug() -> None:
    with pytest.raises(ValueError, match="nothing of ours"):
        await reconcile(RecordingCluster(), Key("Pod", "shop", "x"))


async def test_before_the_first_action_comes_the_finalizer_and_after_them_events_and_status() -> None:
    cluster, key = stopping()
    again = await reconcile(cluster, key)
    assert cluster.written == ["finalizer on", "ScaleDown", "event", "status"]
    assert again == 0.2


async def test_steps_that_one_look_is_enough_for_are_taken_by_one() -> None:
    cluster, key = read()

    await reconcile(cluster, key)

    assert cluster.observed == 1
    assert cluster.written == ["status", "status", "ScaleUp", "event", "status"]
    assert cluster.get(key).status.phase is Phase.RESUMING
    assert cluster.workloads[str(WEB)].replicas == 3


@pytest.mark.parametrize(
    ("claim", "seconds", "there", "reason"),
    [
        ("data", 0, False, "Tainted"),
        ("data", -1, False, ""),
        ("cache", 0, False, ""),
        ("data", 0, True, ""),
    ],
)
async def test_a_pod_that_was_only_seen_to_pass_taints_what_was_read_meanwhile(
    claim: str, seconds: int, there: bool, reason: str
) -> None:
    cluster, key = read()
    run = cluster.get(key)
    volume = VolumeStatus(claim="data", tree="ab" * 32)
    status = run.status.model_copy(update={"phase": Phase.CAPTURING, "drained_at": NOW, "volumes": (volume,)})
    cluster.put(run.model_copy(update={"status": status}))
    visitor = Pod("visitor", "", (claim,), created=NOW + timedelta(seconds=seconds), ended=True)
    # what is there is known by its object: this one is a mover
    cluster.pods = (replace(visitor, ours=True),) if there else ()

    await reconcile(
        cluster, key, witness=Witness(passed=lambda namespace: (visitor,) * (namespace == "shop"))
    )

    assert cluster.get(key).status.reason == reason
    assert ("pod visitor" in cluster.get(key).status.message) == bool(reason)


async def test_the_finalizer_is_taken_off_last() -> None:
    cluster, key = ending()
    while await reconcile(cluster, key) is not None:
        pass
    assert cluster.written[-2:] == ["status", "finalizer off"]
    assert cluster.get(key).status.phase is Phase.FAILED
    assert cluster.get(key).metadata.finalizers == ()


async def test_other_finalizers_stay() -> None:
    cluster, key = ending()
    run = cluster.get(key)
    bound = run.metadata.model_copy(update={"finalizers": ("example.org/theirs", FINALIZER)})
    cluster.put(run.model_copy(update={"metadata": bound}))
    while await reconcile(cluster, key) is not None:
        pass
    assert cluster.get(key).metadata.finalizers == ("example.org/theirs",)


async def test_an_object_that_is_being_deleted_gets_no_finalizer_any_more() -> None:
    cluster = RecordingCluster()
    cluster.workloads[str(WEB)] = held()
    deleted: dict[str, Any] = {
        "deletionTimestamp": "2025-06-01T03:00:00Z",
        "finalizers": ["example.org/theirs"],
    }
    key = cluster.put(backup(Phase.DRAINING, workloads=[planned(stopped_at=NOW)], **deleted))
    await reconcile(cluster, key)
    assert "finalizer on" not in cluster.written
    assert cluster.get(key).status.phase is Phase.RESUMING


async def test_a_status_that_is_the_same_is_not_written() -> None:
    cluster, key = stopping()
    cluster.workloads.clear()
    run = backup(Phase.PENDING)
    cluster.put(run)
    await reconcile(cluster, key)
    before = list(cluster.written)
    await reconcile(cluster, key)
    assert cluster.written == before


async def test_an_ended_run_is_not_looked_into() -> None:
    cluster = RecordingCluster()
    for run in (backup(Phase.SUCCEEDED), restore(Phase.FAILED)):
        assert await reconcile(cluster, cluster.put(run)) is None
    assert cluster.observed == 0
    assert cluster.written == []


async def test_an_ended_run_that_still_has_the_finalizer_loses_it() -> None:
    cluster = RecordingCluster()
    key = cluster.put(backup(Phase.SUCCEEDED, **BOUND))
    await reconcile(cluster, key)
    assert FINALIZER not in cluster.get(key).metadata.finalizers


async def test_an_event_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cluster, key = stopping()
    cluster.failures["event"] = [UnavailableError("no answer")]
    await reconcile(cluster, key)
    assert cluster.written == ["finalizer on", "ScaleDown", "status"]
    assert "event Quiesced was not made" in caplog.text


async def test_an_action_that_fails_leaves_the_status_as_it_was() -> None:
    cluster, key = stopping()
    cluster.failures["ScaleDown"] = [UnavailableError("no answer")]
    before = cluster.get(key).status
    with pytest.raises(UnavailableError):
        await reconcile(cluster, key)
    assert cluster.get(key).status == before


@pytest.mark.parametrize("refusal", [RefusedError("a policy says no"), WebhookAwayError("nobody answers")])
async def test_a_stop_that_is_refused_is_told_of_and_nothing_is_said_to_be_stopped(
    refusal: ClusterError,
) -> None:
    cluster, key = stopping()
    cluster.failures["ScaleDown"] = [refusal]
    await reconcile(cluster, key)
    assert [state.error for state in cluster.get(key).status.workloads].count(str(refusal)) == 1
    assert cluster.written == ["finalizer on", "status"]


def starting(since: datetime = NOW) -> tuple[RecordingCluster, Key]:
    """Return a Backup that has failed, with two workloads that are down, and are to be started at once."""
    cluster = RecordingCluster()
    cluster.workloads = {str(one): held(one) for one in (WEB, DB)}
    states = [planned(one, stopped_at=since) for one in (WEB, DB)]
    run = backup(Phase.RESUMING, workloads=states, **BOUND)
    told = {"reason": "Tainted", "message": "somebody", "volumes": (VolumeStatus(claim="data"),)}
    return cluster, cluster.put(run.model_copy(update={"status": run.status.model_copy(update=told)}))


@pytest.mark.parametrize("refusal", [RefusedError("a policy says no"), WebhookAwayError("nobody answers")])
async def test_a_start_that_is_refused_keeps_no_other_one_down_and_is_told(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cluster, key = starting()
    for _ in range(2):  # side by side, and the last one that was stopped first
        cluster.failures["ScaleUp"] = [refusal]
        again = await reconcile(cluster, key)

    assert again == 5.0
    down = [name for name, workload in cluster.workloads.items() if workload.replicas == 0]
    states = {str(state.reference): state for state in cluster.get(key).status.workloads}
    assert down == [str(DB)]
    assert states[str(DB)].error == str(refusal)
    assert states[str(DB)].released_at is None
    assert states[str(WEB)].released_at == NOW
    assert caplog.text.count(f"statefulset/db was not started: {refusal}") == 1


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("no answer"), KeyError("bug")])
async def test_a_start_that_fails_otherwise_keeps_no_other_one_down_and_is_decided_anew(
    error: Exception,
) -> None:
    cluster, key = starting()
    cluster.failures["ScaleUp"] = [error]
    before = cluster.get(key).status

    with pytest.raises(type(error)):
        await reconcile(cluster, key)

    assert [workload.replicas for workload in cluster.workloads.values()].count(0) == 1
    assert cluster.get(key).status == before


async def test_what_else_fails_keeps_nothing_down() -> None:
    cluster, key = starting(since=NOW - timedelta(hours=1))
    mover = job_name("nightly", "uid-nightly", MOVER, "data")
    cluster.jobs = {mover: JobState(mover, NOW, active=True)}
    cluster.failures["DeleteJob"] = [UnavailableError("no answer")]

    with pytest.raises(UnavailableError):
        await reconcile(cluster, key)

    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]


async def test_a_conflict_is_passed_on_and_the_next_reconcile_goes_on() -> None:
    cluster, key = stopping()
    cluster.failures["status"] = [ConflictError("changed")]
    with pytest.raises(ConflictError):
        await reconcile(cluster, key)
    await reconcile(cluster, key)
    assert cluster.written.count("ScaleDown") == 1
    assert cluster.get(key).status.workloads[0].stopped_at == NOW


@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize("situation", [stopping, ending])
async def test_a_crash_at_any_step_changes_nothing_in_the_end(situation: Situation, moment: int) -> None:
    undisturbed, key = situation()
    await _settled(undisturbed, key)
    cluster, key = situation()
    cluster.die_at = moment
    try:
        await _settled(cluster, key)
    except CrashError:
        assert _recoverable(cluster)
        cluster.die_at = None
        await _settled(cluster, key)
    assert cluster.get(key).status == undisturbed.get(key).status
    assert cluster.get(key).metadata.finalizers == undisturbed.get(key).metadata.finalizers
    assert cluster.workloads == undisturbed.workloads
    assert cluster.written.count("ScaleDown") <= 1


async def _settled(cluster: RecordingCluster, key: Key) -> None:
    """Reconcile until nothing more is written: this world does not change by itself."""
    for _ in range(10):
        before = len(cluster.written)
        await reconcile(cluster, key)
        if len(cluster.written) == before:
            return
    raise AssertionError("it goes on for ever")


def _recoverable(cluster: RecordingCluster) -> bool:
    """Say whether each stopped workload says how to start it, and its run cannot vanish."""
    down = [workload for workload in cluster.workloads.values() if workload.replicas == 0]
    bound = all(FINALIZER in run.metadata.finalizers for run in cluster.objects.values())
    return not down or (bound and all(workload.record is not None for workload in down))


async def test_repositories_and_schedules_are_reconciled_too(caplog: pytest.LogCaptureFixture) -> None:
    cluster = RecordingCluster()
    repository = cluster.put(a_repository())
    template = {"spec": backup(Phase.PENDING).spec}
    schedule = cluster.put(
        BackupSchedule.model_validate(
            {"metadata": metadata("nightly"), "spec": {"schedule": "@daily", "template": template}}
        )
    )
    with caplog.at_level(logging.WARNING):
        assert await reconcile(cluster, repository) is not None
        assert await reconcile(cluster, schedule) is not None
    assert cluster.get(repository).status.probing
    assert cluster.get(schedule).status.next_schedule_time is not None


@pytest.mark.parametrize(("phase", "asked"), [(Phase.PENDING, True), (Phase.PREFLIGHT, False)])
async def test_only_runs_that_have_not_begun_wait_for_their_turn(phase: Phase, asked: bool) -> None:
    for run in (backup(phase), restore(phase)):
        cluster = RecordingCluster()
        key = cluster.put(run)
        comers: list[Key] = []

        def has_come(comer: Key, comers: list[Key] = comers) -> bool:
            comers.append(comer)
            return False

        again = await reconcile(cluster, key, has_come)

        assert again is None
        assert comers == ([key] if asked else [])
        assert cluster.observed == (0 if asked else 1)
