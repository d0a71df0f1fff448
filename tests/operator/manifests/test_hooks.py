"""The Jobs of hooks: what is secret stays a reference, what is one's own stays as it was written."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import V1Container, V1Job, V1PodSpec

from becalm_operator.api.hooks import HttpHook, JobHook
from becalm_operator.manifests.hooks import http_job, own_job
from becalm_operator.manifests.jobs import Image
from becalm_operator.manifests.owned import Owner

_OWNER = Owner("Backup", "nightly", "shop", "uid-1")
_IMAGE = Image("becalm:test", "IfNotPresent")


def pod_of(job: V1Job) -> V1PodSpec:
    assert job.spec is not None
    assert job.spec.template.spec is not None
    return job.spec.template.spec


def request(**fields: Any) -> V1Container:
    http = HttpHook.model_validate({"url": "https://bell/", **fields})
    (container,) = pod_of(http_job(_OWNER, "after.tell", http, 60, _IMAGE)).containers
    return container


def own(spec: dict[str, Any] | None = None, **template: Any) -> V1Job:
    pod = {"containers": [{"name": "own", "image": "own:1"}], **(spec or {})}
    return own_job(_OWNER, "before.own", JobHook(template={"spec": pod, **template}), 60)


def test_a_request_names_the_keys_of_its_secrets_and_holds_none() -> None:
    source = {"secretKeyRef": {"name": "bell", "key": "token"}}
    header = {"name": "Authorization", "valueFrom": source}
    container = request(url=None, urlFrom=source, headers=[{"name": "X", "value": "x"}, header])

    referred = {one.name: one.value_from.secret_key_ref for one in container.env or () if one.value_from}
    assert {name: (ref.name, ref.key) for name, ref in referred.items() if ref} == {
        "BECALM_URL": ("bell", "token"),
        "BECALM_HEADER_1": ("bell", "token"),
    }


@given(st.text("ab$(){}NAME_", max_size=20))
def test_what_is_written_in_a_request_is_not_taken_for_a_variable(body: str) -> None:
    (order,) = [one.value for one in request(body=body).env or () if one.name == "BECALM_REQUEST"]

    assert order is not None
    assert "$" not in order.replace("$$", "")
    assert json.loads(order.replace("$$", "$")).get("body", "") == body


def test_a_request_runs_restricted_and_without_a_token() -> None:
    pod = pod_of(http_job(_OWNER, "after.tell", HttpHook(url="http://x/"), 60, _IMAGE))
    (container,) = pod.containers

    assert pod.automount_service_account_token is False
    assert pod.security_context is not None
    assert pod.security_context.seccomp_profile is not None
    assert container.security_context is not None
    assert container.security_context.run_as_non_root
    assert container.security_context.run_as_user == 65532
    assert container.security_context.read_only_root_filesystem
    assert container.security_context.allow_privilege_escalation is False
    assert container.command == ["becalm-operator", "request"]


def test_a_hooks_job_runs_once_and_goes_with_its_backup() -> None:
    job = own()

    assert job.metadata is not None
    assert job.spec is not None
    assert (job.spec.backoff_limit, job.spec.active_deadline_seconds) == (0, 120)
    assert pod_of(job).restart_policy == "Never"
    owners = [(owner.kind, owner.uid) for owner in job.metadata.owner_references or ()]
    assert owners == [("Backup", "uid-1")]


def test_nobody_can_take_off_or_change_the_labels_by_which_it_is_found() -> None:
    labels = {"becalm.dev/owner-uid": "another", "becalm.dev/role": "mover", "team": "shop"}

    template = own(metadata={"labels": labels}).spec.template  # type: ignore[union-attr]

    assert template.metadata is not None
    assert template.metadata.labels == {
        "app.kubernetes.io/managed-by": "becalm",
        "becalm.dev/owner-kind": "Backup",
        "becalm.dev/owner-uid": "uid-1",
        "becalm.dev/role": "hook",
        "team": "shop",
    }


@pytest.mark.parametrize(
    ("spec", "mounted"),
    [
        ({}, False),
        ({"serviceAccountName": "cleaner"}, True),
        ({"serviceAccountName": "cleaner", "automountServiceAccountToken": False}, False),
        ({"automountServiceAccountToken": True}, True),
    ],
)
def test_a_token_is_mounted_only_if_it_is_asked_for(spec: dict[str, Any], mounted: bool) -> None:
    assert pod_of(own(spec)).automount_service_account_token is mounted


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ({}, "spec.containers is missing"),
        ({"spec": {}}, "containers"),
        ({"spec": 3}, "no template of pods"),
        ({"spec": {"containers": [{"nme": "x"}]}}, "no template of pods"),
        ({"spec": {"containers": [{"name": "x", "imagee": "y"}]}}, "spec.containers[0].imagee is no field"),
        ({"metadata": {"label": {}}, "spec": {"containers": [{"name": "x"}]}}, "metadata.label is no field"),
        ({"spec": {"containers": [{"name": "x"}], "restartPolicy": "OnFailure"}}, "has to be Never"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(template: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("[", r"\[").replace("]", r"\]")):
        own_job(_OWNER, "before.own", JobHook(template=template), 60)


def test_a_refusal_does_not_repeat_what_was_written() -> None:
    secret = {"spec": {"containers": {"env": [{"name": "PASSWORD", "value": "hunter2"}]}}}

    with pytest.raises(ValueError, match="no template") as refused:
        own_job(_OWNER, "before.own", JobHook(template=secret), 60)

    assert "hunter2" not in str(refused.value)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["spec", "metadata", "containers", "name", "labels", "env", "volumes"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "x"]), _ANYTHING, max_size=3))
def test_whatever_is_written_gives_a_job_or_a_reason(template: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        job = own_job(_OWNER, "before.own", JobHook(template=template), 60)
        assert pod_of(job).containers
