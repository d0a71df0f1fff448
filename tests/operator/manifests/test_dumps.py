"""The pod of a dump: what its two containers share, and what the user's does not get."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import V1Container, V1Job

from becalm_operator.manifests.dumps import DUMP, dump_job
from tests.operator.manifests.examples import (
    CLAIM,
    IMAGE,
    OWNER,
    S3,
    a_dump,
    a_repository,
    all_jobs,
    container_of,
    pod_of,
)


def a_job(**container: Any) -> V1Job:
    return dump_job(OWNER, a_repository(), IMAGE, dump=a_dump(**container))


def dumper_of(job: V1Job) -> V1Container:
    _, dumper = pod_of(job).containers
    assert dumper.name == "dump"
    return dumper


def test_the_users_container_gets_the_pipe_and_nothing_of_the_repositorys() -> None:
    for storage in (S3, CLAIM):
        dumper = dumper_of(all_jobs(repository=a_repository(storage))[DUMP])

        assert [mount.name for mount in dumper.volume_mounts or []] == ["pipe"]
        assert [variable.name for variable in dumper.env or []] == ["PGPASSWORD"]


def test_the_pipe_is_there_before_both() -> None:
    job = a_job()

    (maker,) = pod_of(job).init_containers or []
    (mount,) = maker.volume_mounts or []
    (volume,) = [volume for volume in pod_of(job).volumes or [] if volume.name == "pipe"]
    assert volume.empty_dir is not None
    assert maker.command == ["mkfifo", "--mode=0666", f"{mount.mount_path}/pipe"]
    assert (maker.image, maker.security_context) == (IMAGE.name, container_of(job).security_context)
    for container in pod_of(job).containers:
        assert mount in (container.volume_mounts or [])


@pytest.mark.parametrize(("script", "status"), [("echo out; echo err >&2", 0), ("echo out; exit 3", 3)])
def test_what_the_command_prints_goes_into_the_pipe_and_its_exit_status_is_the_containers(
    tmp_path: Path, script: str, status: int
) -> None:
    dumper = dumper_of(a_job(command=["sh", "-c"], args=[f'{script} "$@"', "0", "a  b"]))
    (tmp_path / "pipe").touch()
    (mount,) = dumper.volume_mounts or []
    command = [
        word.replace(mount.mount_path, str(tmp_path)) for word in (dumper.command or []) + (dumper.args or [])
    ]

    done = subprocess.run(command, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (status, b"")
    assert (tmp_path / "pipe").read_text().startswith("out")


def test_a_password_comes_by_reference() -> None:
    (variable,) = dumper_of(a_job()).env or []

    assert variable.value is None
    assert variable.value_from is not None
    assert variable.value_from.secret_key_ref is not None
    assert (variable.value_from.secret_key_ref.name, variable.value_from.secret_key_ref.key) == (
        "shop-db",
        "password",
    )


def test_the_container_is_as_the_user_says() -> None:
    own: dict[str, Any] = {
        "image": "mysql:9",
        "imagePullPolicy": "Always",
        "env": [
            {"name": "A", "value": "x"},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
        "resources": {"limits": {"memory": "1Gi"}},
        "securityContext": {"runAsUser": 999, "runAsNonRoot": True},
    }

    made = dumper_of(a_job(**own)).model_dump(mode="json", by_alias=True, exclude_none=True)

    assert {key: made[key] for key in own} == own


def test_unless_said_the_container_may_as_little_as_it_can() -> None:
    context = dumper_of(a_job()).security_context

    assert context is not None
    assert context.allow_privilege_escalation is False
    assert context.capabilities is not None
    assert (context.capabilities.drop, context.capabilities.add) == (["ALL"], None)


def test_a_dump_that_hangs_is_ended() -> None:
    dump = a_dump().model_copy(update={"timeout": "1h30m"})

    job = dump_job(OWNER, a_repository(), IMAGE, dump=dump)

    assert job.spec is not None
    assert job.spec.active_deadline_seconds == 5400
