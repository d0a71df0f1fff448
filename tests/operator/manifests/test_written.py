"""What people write of a pod without a schema: numbers for quantities are taken, nonsense is refused in plain words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.hooks import JobHook
from becalm_operator.manifests.dumps import dump_job
from becalm_operator.manifests.hooks import own_job
from becalm_operator.manifests.written import UnfitError, resources, security_context, tolerations, with_texts
from tests.operator.manifests.examples import (
    IMAGE,
    OWNER,
    a_dump,
    a_repository,
    all_jobs,
    container_of,
    pod_of,
)

FIELD, OF = "spec.mover.it", "the BackupRepository"


def test_a_number_is_a_quantity_for_every_job() -> None:
    repository = a_repository(resources={"limits": {"cpu": 2}, "requests": {"cpu": 0.5, "memory": "1Gi"}})

    for job in all_jobs(repository=repository).values():
        found = container_of(job).resources
        assert found is not None
        assert (found.limits, found.requests) == ({"cpu": "2"}, {"cpu": "0.5", "memory": "1Gi"})


def test_a_number_is_a_quantity_for_a_dump() -> None:
    job = dump_job(OWNER, a_repository(), IMAGE, dump=a_dump(resources={"limits": {"cpu": 1}}))

    found = pod_of(job).containers[1].resources
    assert found is not None
    assert found.limits == {"cpu": "1"}


def test_a_number_is_a_quantity_for_the_job_of_a_hook() -> None:
    own = {"name": "own", "image": "own:1", "resources": {"limits": {"cpu": 1}}}
    volumes = [{"name": "tmp", "emptyDir": {"sizeLimit": 1048576}}]
    spec = {"containers": [own], "volumes": volumes, "overhead": {"memory": 64}}

    pod = pod_of(own_job(OWNER, "before.own", JobHook(template={"spec": spec}), 60))

    (container,), (volume,) = pod.containers, pod.volumes or []
    assert container.resources is not None
    assert container.resources.limits == {"cpu": "1"}
    assert volume.empty_dir is not None
    assert volume.empty_dir.size_limit == "1048576"
    assert pod.overhead == {"memory": "64"}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_nothing_else_is_changed(value: Any) -> None:
    document = {"runAsUser": value, "env": [{"name": "A", "value": value}], "limits": {"is": True}}

    assert with_texts(document) == document


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            {"limits": {"cpu": True}},
            "spec.mover.it.limits.cpu of the BackupRepository is not what Kubernetes",
        ),
        ({"limits": "2"}, "spec.mover.it.limits of the BackupRepository"),
        ({"claims": 1}, "spec.mover.it of the BackupRepository"),
        ({"claims": [1]}, "spec.mover.it of the BackupRepository"),
    ],
)
def test_resources_that_make_no_sense_are_refused_with_where_and_what_to_do(
    written: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnfitError) as refused:
        resources(written, FIELD, OF)

    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith(": correct it")


def test_a_users_name_is_no_user() -> None:
    with pytest.raises(
        UnfitError, match=r"spec\.mover\.it\.runAsUser of the BackupRepository is not .*integer"
    ):
        security_context({"runAsUser": "postgres"}, FIELD, OF)


@pytest.mark.parametrize(
    ("written", "place"),
    [({"tolerationSeconds": "30"}, "tolerationSeconds"), ({"key": "a", "value": 1}, "value")],
)
def test_a_toleration_that_makes_no_sense_is_named(written: dict[str, Any], place: str) -> None:
    with pytest.raises(UnfitError, match=rf"^spec\.mover\.it\[1\]\.{place} of the BackupRepository"):
        tolerations([{"operator": "Exists"}, written], FIELD, OF)


def test_a_refusal_repeats_nothing_of_what_was_written() -> None:
    with pytest.raises(UnfitError) as refused:
        security_context({"runAsUser": "s3cr3t"}, FIELD, OF)

    assert "s3cr3t" not in str(refused.value)


def test_what_was_not_written_is_not_there() -> None:
    assert resources(None, FIELD, OF) is None
    assert tolerations([], FIELD, OF) is None
