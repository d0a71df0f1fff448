"""Jobs of every kind, for the tests of what they look like."""

from typing import Any

from kubernetes.aio.client import V1Container, V1Job, V1PodSpec, V1PodTemplateSpec

from becalm_engine.contract import CommitPlan, PlannedSnapshot
from becalm_operator.api.backup import BackupSpec
from becalm_operator.api.dumps import Dump
from becalm_operator.api.identity import Identity
from becalm_operator.api.repository import BackupRepositorySpec
from becalm_operator.api.restore import RestoreSpec, TargetStatus
from becalm_operator.api.schedule import Retention
from becalm_operator.manifests import dumps, jobs
from becalm_operator.manifests.gate import Gate
from becalm_operator.manifests.jobs import Image
from becalm_operator.manifests.owned import Owner

OWNER = Owner("Backup", "b", "shop", "0b5f1f0e-7c0e-4a53-9d0a-0d5c1f6a7b11")
IMAGE = Image("registry.example/becalm:1", "IfNotPresent")
S3 = {
    "s3": {
        "endpoint": "https://s3.example.org",
        "bucket": "backups",
        "prefix": "/shop/",
        "region": "eu-1",
        "storageClass": "COLD",
        "credentialsSecretRef": {"name": "s3-keys"},
        "caBundleRef": {"name": "ca", "key": "bundle.pem"},
    }
}
CLAIM = {"persistentVolumeClaim": {"claimName": "backups", "path": "shop/main"}}
PLAN = CommitPlan((PlannedSnapshot("t" * 64, "shop", ("/data/x",), "2026-11-27T03:00:00Z", ("weekly",)),))


def a_repository(storage: dict[str, Any] | None = None, **mover: Any) -> BackupRepositorySpec:
    return BackupRepositorySpec.model_validate(
        {
            "storage": storage or S3,
            "passwordSecretRef": {"name": "main-password", "key": "secret-key"},
            "mover": mover,
        }
    )


def a_backup(**spec: Any) -> BackupSpec:
    workloads = [{"kind": "Deployment", "name": "web"}]
    return BackupSpec.model_validate({"repositoryRef": {"name": "main"}, "workloads": workloads, **spec})


def a_restore(**spec: Any) -> RestoreSpec:
    source = {"repositoryRef": {"name": "main"}, "source": {"backupName": "b"}, "targets": [{"claim": "x"}]}
    return RestoreSpec.model_validate({**source, **spec})


def a_dump(**container: Any) -> Dump:
    secret = {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}}
    command = ["pg_dump", "--host=db", "shop"]
    made = {"image": "postgres:17", "command": command, "env": [secret], **container}
    return Dump.model_validate({"name": "shop", "filename": "shop.sql", "container": made})


def a_mover_job(
    owner: Owner = OWNER,
    claim: str = "data",
    *,
    node: str = "node-1",
    identity: Identity | None = None,
    repository: BackupRepositorySpec | None = None,
    gate: Gate | None = None,
    **spec: Any,
) -> V1Job:
    return jobs.mover_job(
        owner,
        repository or a_repository(),
        IMAGE,
        backup=a_backup(**spec),
        claim=claim,
        node=node,
        identity=identity,
        gate=gate,
    )


def a_restore_job(owner: Owner = OWNER, claim: str = "data", to: str = "copy", **spec: Any) -> V1Job:
    target = TargetStatus(claim=claim, to=to, snapshot_id="ab" * 32, node="node-1")
    return jobs.restore_job(owner, a_repository(), IMAGE, restore=a_restore(**spec), target=target)


def all_jobs(owner: Owner = OWNER, repository: BackupRepositorySpec | None = None) -> dict[str, V1Job]:
    """Return a Job of every kind, by its role."""
    spec = repository or a_repository()
    target = TargetStatus(claim="data", to="copy", snapshot_id="ab" * 32, node="node-1")
    return {
        jobs.ACCESS: jobs.access_job(owner, spec, IMAGE),
        jobs.INIT: jobs.init_job(owner, spec, IMAGE),
        jobs.MOVER: a_mover_job(owner, repository=spec),
        dumps.DUMP: dumps.dump_job(owner, spec, IMAGE, dump=a_dump()),
        jobs.COMMIT: jobs.commit_job(owner, spec, IMAGE, plan=PLAN),
        jobs.FORGET: jobs.forget_job(
            owner, spec, IMAGE, schedule="nightly", retention=Retention(keep_last=3)
        ),
        jobs.PREVIEW: jobs.preview_job(owner, spec, IMAGE, restore=a_restore(), target=target),
        jobs.RESTORE: jobs.restore_job(owner, spec, IMAGE, restore=a_restore(), target=target),
    }


def template_of(job: V1Job) -> V1PodTemplateSpec:
    assert job.spec is not None
    return job.spec.template


def pod_of(job: V1Job) -> V1PodSpec:
    found = template_of(job).spec
    assert found is not None
    return found


def container_of(job: V1Job) -> V1Container:
    """Return becalm's own container, which comes first."""
    container = pod_of(job).containers[0]
    assert container.name == "becalm"
    return container


def command_of(job: V1Job) -> list[str]:
    return container_of(job).command or []


def name_of(job: V1Job) -> str:
    assert job.metadata is not None
    return job.metadata.name or ""


def labels_of(job: V1Job) -> dict[str, str]:
    assert job.metadata is not None
    return job.metadata.labels or {}
