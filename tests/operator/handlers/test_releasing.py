from typing import Any

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.api.names import FINALIZER
from becalm_operator.cluster.lease import Lease
from becalm_operator.errors import ClusterError, ConflictError, OwnPodError, RefusedError, UnavailableError
from becalm_operator.handlers.releasing import NOTICE_SECONDS, release_everything, stop_the_operator
from becalm_operator.plan.steps import Action
from becalm_operator.plan.world import JobState, Workload
from tests.operator.cluster.test_lease import FakeLeases
from tests.operator.handlers.examples import BOUND, DB, WEB, backup, held, restore
from tests.operator.handlers.recording import NOW, RecordingCluster
from tests.operator.handlers.virtual_time import now, virtually


def released(cluster: RecordingCluster) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return virtually(release_everything(cluster, lines.append)), lines


def busy() -> RecordingCluster:
    """Return a cluster in which a Backup and a Restore hold a workload each."""
    cluster = RecordingCluster()
    cluster.put(backup(Phase.CAPTURING, **BOUND))
    cluster.put(restore(Phase.RESTORING, **BOUND))
    cluster.workloads[str(WEB)] = held(WEB)
    cluster.workloads[str(DB)] = held(DB, by="monday", kind="Restore")
    return cluster


def test_every_workload_is_started_and_every_run_is_freed() -> None:
    cluster = busy()
    done, lines = released(cluster)
    assert done
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]
    assert all(FINALIZER not in run.metadata.finalizers for run in cluster.objects.values())
    assert lines == [
        "shop deployment/web: scaled deployment/web back to 3 on request",
        "shop statefulset/db: scaled statefulset/db back to 3 on request",
        "Backup shop/nightly: finalizer taken off",
        "Restore shop/monday: finalizer taken off",
    ]


def test_where_nothing_is_held_nothing_is_said() -> None:
    assert released(RecordingCluster()) == (True, [])


def test_a_workload_that_cannot_be_started_is_told_and_stops_nothing_else() -> None:
    cluster = busy()
    cluster.failures[f"release {WEB}"] = [RefusedError("a webhook says no")]
    done, lines = released(cluster)
    assert not done
    assert lines[0] == "shop deployment/web: NOT started: a webhook says no"
    assert cluster.workloads[str(DB)].replicas == 3


def test_what_changed_meanwhile_is_looked_at_again() -> None:
    cluster = busy()
    cluster.failures[f"release {WEB}"] = [ConflictError("changed")] * 2
    done, _ = released(cluster)
    assert done
    assert cluster.workloads[str(WEB)].replicas == 3


def test_what_changes_all_the_time_is_told() -> None:
    cluster = busy()
    cluster.failures[f"release {WEB}"] = [ConflictError("changed")] * 5
    done, lines = released(cluster)
    assert not done
    assert "shop deployment/web: NOT started: changed" in lines


def test_a_record_that_cannot_be_read_is_told() -> None:
    cluster = RecordingCluster()
    cluster.workloads[str(WEB)] = Workload(WEB, "uid", "1", replicas=0, unreadable_record=True)
    done, lines = released(cluster)
    assert not done
    assert "scale it by hand" in lines[0]


def test_what_cannot_be_looked_at_is_told_after_some_tries() -> None:
    cluster = busy()
    cluster.unseen = (RefusedError("listing widgets.example.org: forbidden"),)
    done, lines = released(cluster)
    assert not done
    assert lines.count("NOT looked at: listing widgets.example.org: forbidden") == 1
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]


@pytest.mark.parametrize("problem", [RefusedError("forbidden"), UnavailableError("no answer")])
def test_runs_that_cannot_be_listed_keep_no_workload_down(problem: ClusterError) -> None:
    cluster = busy()
    cluster.unlisted = (problem,)
    done, lines = released(cluster)
    assert not done
    assert lines[0] == f"NOT looked at: {problem}"
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]
    assert all(FINALIZER not in run.metadata.finalizers for run in cluster.objects.values())


def test_workloads_that_cannot_be_looked_at_are_looked_at_again() -> None:
    cluster = busy()
    cluster.failures["observe_held"] = [UnavailableError("no answer")] * 4
    assert released(cluster)[0]
    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]


def test_workloads_that_can_never_be_looked_at_are_told_and_runs_are_freed() -> None:
    cluster = busy()
    cluster.failures["observe_held"] = [UnavailableError("no answer")] * 5
    done, lines = released(cluster)
    assert not done
    assert lines[0] == "NOT looked at: no answer"
    assert all(FINALIZER not in run.metadata.finalizers for run in cluster.objects.values())


@pytest.mark.parametrize(
    ("errors", "done"),
    [
        ([ConflictError("changed")] * 4, True),
        ([ConflictError("changed")] * 5, False),
        ([RefusedError("no")], False),
    ],
)
def test_finalizers_are_insisted_on(errors: list[Exception], done: bool) -> None:
    cluster = busy()
    cluster.failures["finalizer off"] = list(errors)
    assert released(cluster)[0] is done


def test_workloads_are_started_also_where_the_custom_resources_are_gone() -> None:
    cluster = RecordingCluster()
    cluster.no_kinds = True
    cluster.workloads[str(WEB)] = held(WEB)
    assert released(cluster)[0]
    assert cluster.workloads[str(WEB)].replicas == 3


def test_an_event_that_fails_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    cluster = busy()
    cluster.failures[f"event about {WEB}"] = [UnavailableError("no answer")]
    assert released(cluster)[0]


def test_movers_are_ended_before_workloads_are_started() -> None:
    cluster = busy()
    cluster.jobs["mover"] = JobState("mover", NOW, active=True)
    assert released(cluster)[0]
    assert cluster.written[0] == "DeleteJob"
    assert cluster.jobs == {}


class StubbornCluster(RecordingCluster):
    async def apply(self, owner: Any, action: Action) -> None:
        self._write("DeleteJob")


def test_a_mover_that_does_not_end_holds_nothing_up() -> None:
    cluster = StubbornCluster()
    cluster.put(backup(Phase.CAPTURING, **BOUND))
    cluster.workloads[str(WEB)] = held(WEB)
    cluster.jobs["mover"] = JobState("mover", NOW, active=True)
    assert released(cluster)[0]
    assert cluster.workloads[str(WEB)].replicas == 3


def test_uninstalling_waits_until_an_operator_has_noticed_and_not_without_one() -> None:
    async def scenario(holder: str) -> tuple[float, list[str]]:
        leases = FakeLeases()
        lines: list[str] = []
        if holder:
            await Lease(leases, holder).acquire()
        await stop_the_operator(Lease(leases, "hook"), lines.append)
        assert leases.holder == "hook"
        return now(), lines

    assert virtually(scenario("")) == (0, [])
    assert virtually(scenario("pod")) == (NOTICE_SECONDS, ["waiting 12 s for pod to stop"])


def test_the_operator_of_the_same_pod_is_not_stopped_since_the_command_would_end_with_it() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "pod").acquire()
        with pytest.raises(OwnPodError, match="pod is the operator's own pod"):
            await stop_the_operator(Lease(leases, "pod-release"), lambda _: None, "pod")
        assert leases.holder == "pod"
        await stop_the_operator(Lease(leases, "other-release"), lambda _: None, "other")
        assert leases.holder == "other-release"

    virtually(scenario())
