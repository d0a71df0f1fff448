"""Actions that the API server refuses: what a run can do without keeps no status from being written."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from becalm_operator.api.backup import Phase, VolumeStatus
from becalm_operator.cluster.port import Key
from becalm_operator.errors import RefusedError, WebhookAwayError
from becalm_operator.handlers.complaints import Complaints
from becalm_operator.handlers.reconcile import reconcile
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.manifests.names import job_name
from becalm_operator.plan import backup as decisions
from becalm_operator.plan.steps import (
    Action,
    DeleteBackup,
    DeleteJob,
    DeleteSnapshot,
    MakeSnapshot,
    OpenGate,
    Plan,
    RequestProbe,
)
from becalm_operator.plan.world import JobState
from tests.operator.handlers.examples import BOUND, DB, WEB, backup, held, planned
from tests.operator.handlers.recording import NOW, RecordingCluster

MOVING = job_name("nightly", "uid-nightly", MOVER, "data")
DENIED = "a policy says no"


def failing(since: timedelta) -> tuple[RecordingCluster, Key]:
    """Return a failed Backup whose mover is still there, and two workloads that are down since then."""
    cluster = RecordingCluster()
    cluster.workloads = {str(one): held(one) for one in (WEB, DB)}
    cluster.jobs = {MOVING: JobState(MOVING, NOW, active=True)}
    run = backup(
        Phase.RESUMING, workloads=[planned(one, stopped_at=NOW - since) for one in (WEB, DB)], **BOUND
    )
    told = {"reason": "Tainted", "message": "somebody", "volumes": (VolumeStatus(claim="data"),)}
    return cluster, cluster.put(run.model_copy(update={"status": run.status.model_copy(update=told)}))


@pytest.mark.parametrize("refusal", [RefusedError(DENIED), WebhookAwayError("nobody answers")])
async def test_a_job_that_must_not_be_deleted_keeps_no_status_from_being_written(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cluster, key = failing(since=timedelta(hours=1))
    cluster.failures["DeleteJob"] = [refusal]

    await reconcile(cluster, key)

    states = cluster.get(key).status.workloads
    assert [state.released_at for state in states] == [NOW, NOW]
    assert f"Backup shop/nightly: {refusal}" in caplog.text


ACTIONS: dict[str, Action] = {
    "RequestProbe": RequestProbe("main"),
    "DeleteJob": DeleteJob("x"),
    "DeleteSnapshot": DeleteSnapshot("x"),
    "DeleteBackup": DeleteBackup("x"),
    "OpenGate": OpenGate("pod"),
    "MakeSnapshot": MakeSnapshot({"metadata": {"name": "x"}}),
}


@pytest.mark.parametrize("name", ACTIONS)
async def test_what_a_run_can_do_without_is_left_out_and_the_rest_is_done(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = RecordingCluster()
    key = cluster.put(backup(Phase.CAPTURING, **BOUND))
    after = DeleteJob("after")
    cluster.failures[name] = [RefusedError(DENIED)]

    def decide(run: Any, world: Any) -> Plan[Any]:
        failed = run.status.model_copy(update={"phase": Phase.FAILED, "reason": "Tainted"})
        return Plan(failed, (ACTIONS[name], after), finalizer=False)

    monkeypatch.setattr(decisions, "decide", decide)
    await reconcile(cluster, key)

    assert cluster.written == ["DeleteJob", "status", "finalizer off"]
    assert cluster.get(key).status.phase is Phase.FAILED


async def test_what_is_kept_of_a_refusal_is_no_novel(caplog: pytest.LogCaptureFixture) -> None:
    cluster, key = failing(since=timedelta(hours=1))
    cluster.failures["ScaleUp"] = [RefusedError("rule failed; " * 400)]

    await reconcile(cluster, key)

    (error,) = [state.error for state in cluster.get(key).status.workloads if state.error]
    assert len(error) == 1024
    assert error.endswith("…")


def test_a_complaint_is_said_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    complaints, key = Complaints(), Key("Backup", "shop", "b")

    for refused in (["a"], ["a"], ["a", "b"], [], ["a"]):
        complaints.say(key, refused)

    assert [record.message.rpartition(" ")[2] for record in caplog.records] == ["a", "b", "a"]


def test_complaints_about_objects_that_are_gone_do_not_pile_up() -> None:
    complaints = Complaints()

    for number in range(3000):
        complaints.say(Key("Backup", "shop", str(number)), ["no"])

    assert len(complaints._said) <= 1024
