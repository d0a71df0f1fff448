"""Whose mover a pod is: by its Job, and not by what its labels say alone."""

from typing import Any

import pytest
from kubernetes.aio.client import V1ObjectMeta, V1Pod

from becalm_operator.api import names
from becalm_operator.cluster import views
from becalm_operator.cluster.movers import Movers, movers
from becalm_operator.plan.world import Pod

MINE, OTHER = "uid-mine", "uid-other"


def a_reference(kind: str, uid: str, version: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": "x", "uid": uid, "controller": True}


def a_job(uid: str, owner: dict[str, Any] | None) -> V1ObjectMeta:
    owners = [owner] if owner else []
    made = V1ObjectMeta.from_dict({"name": "j", "uid": uid, "ownerReferences": owners})
    assert made is not None
    return made


def a_volume(claim: str, *, read_only: bool) -> dict[str, Any]:
    source = {"claimName": claim, "readOnly": True} if read_only else {"claimName": claim}
    return {"name": claim, "persistentVolumeClaim": source}


def a_pod(owner: str, job: dict[str, Any] | None, *volumes: dict[str, Any], role: str = "mover") -> V1Pod:
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.OWNER_UID_LABEL: owner,
        names.ROLE_LABEL: role,
    }
    made = V1Pod.from_dict(
        {
            "metadata": {"name": "p", "labels": labels, "ownerReferences": [job] if job else []},
            "spec": {"containers": [{"name": "becalm"}], "volumes": list(volumes)},
            "status": {"phase": "Running"},
        }
    )
    assert made is not None
    return made


def in_job(uid: str) -> dict[str, Any]:
    return a_reference("Job", uid, "batch/v1")


JOBS = movers(
    MINE,
    [
        a_job("job-mine", a_reference("Restore", MINE, names.API_VERSION)),
        a_job("job-other", a_reference("Backup", OTHER, names.API_VERSION)),
        a_job("job-cron", a_reference("CronJob", OTHER, "batch/v1")),
        a_job("job-lone", None),
    ],
)
DATA = a_volume("data", read_only=False)


def seen(pod: V1Pod, jobs: Movers = JOBS) -> Pod:
    return views.pod_view(pod, {}, jobs)


def test_the_mover_of_the_run_that_looks_is_in_nobodys_way() -> None:
    found = seen(a_pod(MINE, in_job("job-mine"), DATA))

    assert (found.ours, found.claims, found.written) == (True, ("data",), ())


def test_what_the_mover_of_another_run_may_write_is_known() -> None:
    found = seen(a_pod(OTHER, in_job("job-other"), DATA, a_volume("read", read_only=True), role="restore"))

    assert (found.ours, found.claims, found.written) == (True, ("data", "read"), ("data",))


def test_a_mover_of_another_run_that_only_reads_writes_nothing() -> None:
    found = seen(a_pod(OTHER, in_job("job-other"), a_volume("data", read_only=True)))

    assert (found.ours, found.written) == (True, ())


@pytest.mark.parametrize(
    "job",
    [
        None,
        in_job("job-cron"),
        in_job("job-lone"),
        in_job("job-mine"),  # labelled for another run than the one its Job belongs to
        a_reference("ReplicaSet", "job-other", "apps/v1"),
        a_reference("Job", "job-other", "batch.example.org/v1"),
    ],
)
def test_labels_alone_make_no_mover(job: dict[str, Any] | None) -> None:
    found = seen(a_pod(OTHER, job, a_volume("data", read_only=True)))

    assert not found.ours
    assert found.claims == ("data",)


@pytest.mark.parametrize("run", [MINE, OTHER])
def test_a_mover_whose_job_is_gone_is_one_and_nobody_looks_after_what_it_writes(run: str) -> None:
    reader, writer = (
        seen(a_pod(run, in_job("job-gone"), a_volume("data", read_only=read_only)))
        for read_only in (True, False)
    )

    assert (reader.ours, reader.written) == (True, ())
    assert (writer.ours, writer.written) == (True, ("data",))


def test_the_pod_of_a_hook_is_no_mover() -> None:
    assert not seen(a_pod(MINE, in_job("job-mine"), role="hook")).ours


def test_where_nobody_looks_no_mover_is_looked_after() -> None:
    jobs = movers("", [a_job("job-other", a_reference("Restore", "", names.API_VERSION))])

    assert seen(a_pod("", in_job("job-other"), DATA), jobs).written == ("data",)
