"""Jobs in a namespace that enforces the Pod Security Standard `restricted`."""

from collections.abc import Iterator

import pytest
from kubernetes.aio.client import V1Job

from becalm_operator.api.identity import Identity
from becalm_operator.api.restore import TargetStatus
from becalm_operator.manifests import dumps, jobs
from tests.operator.manifests.examples import (
    CLAIM,
    IMAGE,
    OWNER,
    S3,
    a_dump,
    a_mover_job,
    a_repository,
    a_restore,
    all_jobs,
    pod_of,
)

USER = Identity(run_as_user=1000, fs_group=1000)
_VOLUMES = {
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(job: V1Job) -> Iterator[str]:
    """Return what the standard forbids (https://kubernetes.io/docs/concepts/security/pod-security-standards)."""
    pod = pod_of(job).model_dump(mode="json", by_alias=True, exclude_none=True)
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    yield from (kind for volume in pod["volumes"] for kind in volume.keys() - {"name"} - _VOLUMES)
    shared = pod["securityContext"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = {**shared, **container["securityContext"]}
        name = container["name"]
        yield from (f"{name}: {key}" for key in ("privileged", "procMount") if own.get(key))
        if not own.get("runAsNonRoot") or own.get("runAsUser") == 0:
            yield f"{name}: root"
        if own.get("allowPrivilegeEscalation", True):
            yield f"{name}: allowPrivilegeEscalation"
        if own.get("capabilities") not in ({"drop": ["ALL"]}, {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}):
            yield f"{name}: capabilities"
        if own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"


def _as_the_workload() -> dict[str, V1Job]:
    target = TargetStatus(claim="data", to="data", snapshot_id="ab" * 32, identity=USER)
    user = {
        "runAsUser": 999,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    repository = a_repository(S3)
    return {
        **all_jobs(repository=repository),
        jobs.MOVER: a_mover_job(identity=USER),
        jobs.RESTORE: jobs.restore_job(OWNER, repository, IMAGE, restore=a_restore(), target=target),
        dumps.DUMP: dumps.dump_job(OWNER, repository, IMAGE, dump=a_dump(securityContext=user)),
    }


@pytest.mark.parametrize("role", _as_the_workload())
def test_every_job_is_let_in_where_movers_run_as_the_workload(role: str) -> None:
    assert list(violations(_as_the_workload()[role])) == []


@pytest.mark.parametrize("role", [jobs.MOVER, jobs.RESTORE])
def test_root_is_not_let_in(role: str) -> None:
    assert {"becalm: root", "becalm: capabilities"} <= set(violations(all_jobs()[role]))


def test_a_repository_on_a_claim_is_opened_by_root() -> None:
    assert list(violations(all_jobs(repository=a_repository(CLAIM))[jobs.ACCESS])) == ["becalm: root"]
