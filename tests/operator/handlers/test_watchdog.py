from datetime import timedelta

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.api.names import RELEASED_ANNOTATION
from becalm_operator.cluster.port import Key
from becalm_operator.errors import ConflictError, RefusedError, UnavailableError
from becalm_operator.handlers.watchdog import watch_once
from tests.operator.handlers.examples import DB, WEB, backup, held, restore
from tests.operator.handlers.recording import NOW, RecordingCluster
from tests.operator.handlers.virtual_time import virtually

NIGHTLY = Key("Backup", "shop", "nightly")


def watched(cluster: RecordingCluster, *, at_minute: float) -> bool:
    return virtually(watch_once(cluster, lambda: NOW + timedelta(minutes=at_minute)))


def abandoned() -> RecordingCluster:
    """Return a cluster in which a Backup and a Restore hold a workload each, and no operator is at work."""
    cluster = RecordingCluster()
    cluster.put(backup(Phase.CAPTURING))
    cluster.put(restore(Phase.RESTORING))
    cluster.workloads[str(WEB)] = held(WEB)
    cluster.workloads[str(DB)] = held(DB, by="monday", kind="Restore", minutes=240)
    return cluster


def test_before_the_deadline_nothing_is_touched() -> None:
    cluster = abandoned()

    assert watched(cluster, at_minute=29.99)

    assert cluster.written == []


def test_beyond_the_deadline_a_workload_is_started_and_its_run_marked() -> None:
    cluster = abandoned()

    assert watched(cluster, at_minute=30)

    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 0]
    assert cluster.get(NIGHTLY).metadata.annotations == {RELEASED_ANNOTATION: "2025-06-01T03:30:00Z"}
    assert [event.reason for event in cluster.told] == ["Released", "ReleasedByWatchdog"]
    assert "beyond its deadline" in cluster.told[1].message
    assert cluster.get(Key("Restore", "shop", "monday")).metadata.annotations == {}


def test_the_mark_of_a_restore_is_a_restores() -> None:
    cluster = abandoned()

    assert watched(cluster, at_minute=240)

    assert RELEASED_ANNOTATION in cluster.get(Key("Restore", "shop", "monday")).metadata.annotations


def test_a_run_that_is_gone_or_another_is_not_marked() -> None:
    cluster = abandoned()
    cluster.put(backup(Phase.CAPTURING, uid="uid-another"))

    assert watched(cluster, at_minute=1)

    assert cluster.workloads[str(WEB)].replicas == 3
    assert cluster.get(NIGHTLY).metadata.annotations == {}


def test_a_mark_that_fails_keeps_no_workload_down(caplog: pytest.LogCaptureFixture) -> None:
    cluster = abandoned()
    cluster.failures[f"annotation {RELEASED_ANNOTATION}"] = [RefusedError("forbidden")]

    assert watched(cluster, at_minute=30)

    assert cluster.workloads[str(WEB)].replicas == 3
    assert "was not marked: forbidden" in caplog.text


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("no answer")])
def test_what_could_not_be_started_is_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    cluster = abandoned()
    cluster.failures[f"release {WEB}"] = [error] * 2

    assert watched(cluster, at_minute=30)

    assert cluster.workloads[str(WEB)].replicas == 3


def test_what_cannot_be_started_makes_it_fail_so_that_somebody_sees_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = abandoned()
    cluster.failures[f"release {WEB}"] = [RefusedError("a webhook says no")] * 5

    assert not watched(cluster, at_minute=300)

    assert cluster.workloads[str(DB)].replicas == 3
    assert "a webhook says no" in caplog.text


def test_an_api_server_that_does_not_answer_makes_it_fail(caplog: pytest.LogCaptureFixture) -> None:
    cluster = abandoned()
    cluster.failures["observe_held"] = [UnavailableError("no answer")] * 5

    assert not watched(cluster, at_minute=300)

    assert "no answer" in caplog.text


def test_a_kind_that_must_not_be_listed_makes_it_fail_after_it_has_started_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = abandoned()
    cluster.unseen = (RefusedError("listing cronjobs.batch: forbidden"),)

    assert not watched(cluster, at_minute=300)

    assert [workload.replicas for workload in cluster.workloads.values()] == [3, 3]
    assert "forbidden" in caplog.text
