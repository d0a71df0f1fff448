import json
from typing import Any

import pytest

from becalm_operator.api.names import RECORD_ANNOTATION
from becalm_operator.cluster.port import Key
from becalm_operator.handlers.watches import Interests, Watched
from tests.operator.handlers.examples import record

ONE, TWO = Key("Backup", "shop", "one"), Key("Restore", "shop", "two")


def event(kind: str, name: str, *, type_: str | None = "MODIFIED", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", **more.pop("metadata", {})}
    return {"type": type_, "object": {"kind": kind, "metadata": metadata, **more}}


def deployment(*, by: str = "", type_: str = "MODIFIED", ready: int = 0, text: str = "") -> dict[str, Any]:
    value = text or (record(by).to_annotation() if by else "")
    annotations = {RECORD_ANNOTATION: value} if value else {}
    return event(
        "Deployment",
        "web",
        type_=type_,
        metadata={"annotations": annotations, "generation": 2},
        spec={"replicas": 3},
        status={"observedGeneration": 2, "readyReplicas": ready},
    )


@pytest.mark.parametrize("kind", ["Backup", "Restore", "BackupRepository", "BackupSchedule"])
@pytest.mark.parametrize("type_", [None, "ADDED", "MODIFIED", "DELETED"])
def test_an_object_of_ours_is_looked_at_whatever_happened(kind: str, type_: str | None) -> None:
    assert Interests().concerned(event(kind, "x", type_=type_)) == {Key(kind, "shop", "x")}


def test_a_backup_concerns_its_schedule() -> None:
    made = event("Backup", "one", metadata={"labels": {"becalm.dev/schedule": "nightly"}})
    assert Interests().concerned(made) == {ONE, Key("BackupSchedule", "shop", "nightly")}


def test_a_backup_concerns_its_schedule_in_each_phase_once_and_always_when_it_has_ended() -> None:
    interests = Interests(lambda *_: False)
    concerned = []
    for version, phase in enumerate(["Capturing", "Capturing", "Finishing", "Succeeded", "Succeeded"]):
        metadata = {"labels": {"becalm.dev/schedule": "nightly"}, "resourceVersion": str(version)}
        concerned.append(
            interests.concerned(event("Backup", "one", metadata=metadata, status={"phase": phase}))
        )
    nightly = Key("BackupSchedule", "shop", "nightly")
    assert concerned == [{nightly}, set(), {nightly}, {nightly}, {nightly}]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_run_that_ends_concerns_the_others_of_its_namespace_once(phase: str) -> None:
    interests = Interests()
    for kind, name in (("Backup", "one"), ("Restore", "two")):
        interests.concerned(event(kind, name, type_=None, status={"phase": "Pending"}))
    ended = event("Backup", "one", status={"phase": phase})
    assert interests.concerned(ended) == {ONE, TWO}
    assert interests.concerned(ended) == {ONE}


def test_a_run_that_is_deleted_concerns_the_others_of_its_namespace() -> None:
    interests = Interests()
    interests.concerned(event("Backup", "one"))
    interests.concerned(event("Restore", "two"))
    assert interests.concerned(event("Backup", "one", type_="DELETED")) == {ONE, TWO}


def test_a_run_that_goes_on_concerns_no_other() -> None:
    interests = Interests()
    interests.concerned(event("Restore", "two"))
    assert interests.concerned(event("Backup", "one", status={"phase": "Draining"})) == {ONE}


def test_a_repository_concerns_the_runs_that_may_wait_for_it() -> None:
    interests = Interests()
    interests.concerned(event("Backup", "one"))
    assert interests.concerned(event("BackupRepository", "main")) == {
        ONE,
        Key("BackupRepository", "shop", "main"),
    }


@pytest.mark.parametrize(
    ("change", "concerns"),
    [
        ({"lastProbeTime": "2026-11-29T12:00:00Z", "probe": 7, "failures": 1}, False),
        ({"probing": True}, True),
        ({"handledRequest": "2026-11-29T12:00:00Z"}, True),
        ({"repositoryID": "0123"}, True),
        ({"conditions": [{"type": "Ready", "status": "True", "reason": "Opened"}]}, True),
    ],
)
def test_a_repository_concerns_runs_if_they_decide_by_what_is_new(
    change: dict[str, Any], concerns: bool
) -> None:
    interests = Interests(lambda *_: False)
    interests.concerned(event("Backup", "one"))
    interests.concerned(event("BackupRepository", "main", status={}))
    assert interests.concerned(event("BackupRepository", "main", status=change)) == (
        {ONE} if concerns else set()
    )


def test_a_repository_that_was_away_while_no_run_was_there_is_news_when_it_is_back() -> None:
    interests = Interests(lambda *_: False)
    ready, away = (
        event("BackupRepository", "main", status={"conditions": [{"type": "Ready", "status": status}]})
        for status in ("True", "False")
    )
    interests.concerned(event("Backup", "one"))
    assert interests.concerned(ready) == {ONE}
    interests.concerned(event("Backup", "one", type_="DELETED"))
    assert interests.concerned(away) == set()
    interests.concerned(event("Restore", "two"))
    assert interests.concerned(ready) == {TWO}


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_a_job_and_its_pod_concern_the_run_that_they_work_for(kind: str) -> None:
    labels = {"becalm.dev/owner-kind": "Backup"}
    annotations = {"becalm.dev/owner-name": "one"}
    made = event(kind, "mover", metadata={"labels": labels, "annotations": annotations}, spec={})
    interests = Interests()
    assert interests.concerned(made) == {ONE}
    assert interests.concerned(made) == set()  # nothing that anybody decides by has changed


@pytest.mark.parametrize("metadata", [{}, {"labels": {"becalm.dev/owner-kind": "Node"}}])
def test_pods_of_others_concern_nobody(metadata: dict[str, Any]) -> None:
    assert Interests().concerned(event("Pod", "theirs", metadata=metadata, spec={})) == set()


def test_a_workload_that_nobody_holds_concerns_nobody() -> None:
    assert Interests().concerned(deployment()) == set()


def test_a_held_workload_concerns_its_holder() -> None:
    assert Interests().concerned(deployment(by="one")) == {ONE}


def test_a_workload_that_was_released_concerns_its_former_holder_until_it_is_ready() -> None:
    interests = Interests()
    interests.concerned(deployment(by="one"))
    assert interests.concerned(deployment()) == {ONE}
    assert interests.concerned(deployment(ready=3)) == {ONE}
    assert interests.concerned(deployment(ready=3)) == set()


def test_how_many_pods_of_a_workload_are_ready_concerns_nobody_before_all_are() -> None:
    interests = Interests()
    interests.concerned(deployment(by="one"))
    interests.concerned(deployment())
    assert interests.concerned(deployment(ready=1)) == interests.concerned(deployment(ready=2)) == set()
    assert interests.concerned(deployment(ready=3)) == {ONE}


def test_a_workload_that_somebody_changes_concerns_its_holder() -> None:
    interests = Interests()
    interests.concerned(deployment(by="one"))
    changed = deployment(by="one")
    changed["object"]["metadata"]["generation"] = 3
    assert interests.concerned(changed) == {ONE}
    assert interests.concerned(changed) == set()


def test_a_workload_that_is_deleted_concerns_its_holder_and_is_forgotten() -> None:
    interests = Interests()
    interests.concerned(deployment(by="one"))
    assert interests.concerned(deployment(by="one", type_="DELETED")) == {ONE}
    assert interests.concerned(deployment()) == set()


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", "{}", json.dumps({"by": {"kind": "Node", "name": "x", "uid": "y"}})],
)
def test_a_record_that_makes_no_sense_concerns_nobody(text: str) -> None:
    assert Interests().concerned(deployment(text=text)) == set()


def test_what_was_never_asked_for_concerns_nobody() -> None:
    assert Interests().concerned(event("Secret", "x")) == set()


def test_nothing_is_kept_of_runs_that_have_ended() -> None:
    interests = Interests()
    for number in range(100):
        interests.concerned(event("Backup", str(number), status={"phase": "Pending"}))
        interests.concerned(event("Backup", str(number), status={"phase": "Succeeded"}))
        interests.concerned(event("Backup", str(number), type_="DELETED"))
    assert interests._unfinished == {}


def test_paths_are_those_of_the_api_server() -> None:
    assert Watched("", "v1", "pods").path() == "/api/v1/pods"
    assert Watched("apps", "v1", "deployments").path("shop") == "/apis/apps/v1/namespaces/shop/deployments"


def test_a_run_as_it_was_seen_already_concerns_its_schedule_and_not_itself() -> None:
    seen = event("Backup", "one", metadata={"labels": {"becalm.dev/schedule": "nightly"}})
    assert Interests(lambda *_: False).concerned(seen) == {Key("BackupSchedule", "shop", "nightly")}
