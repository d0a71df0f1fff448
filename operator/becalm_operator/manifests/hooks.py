"""The Jobs of hooks: one that sends a request, and those that people bring along."""

from collections.abc import Mapping
from typing import Any

from kubernetes.aio.client import (
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1Job,
    V1PodSpec,
    V1PodTemplateSpec,
    V1ResourceRequirements,
    V1SecretKeySelector,
)
from pydantic import ValidationError

from becalm_operator.api import names
from becalm_operator.api.hooks import HttpHook, JobHook, SecretKey
from becalm_operator.manifests.access import literal
from becalm_operator.manifests.identity import nobody_context, pod_context
from becalm_operator.manifests.jobs import TERMINATION_LOG, Image
from becalm_operator.manifests.owned import Owner, owned_job
from becalm_operator.manifests.trust import trusting
from becalm_operator.manifests.written import place_and_fault, with_texts

HOOK = "hook"

REQUEST_VARIABLE = "BECALM_REQUEST"
URL_VARIABLE = "BECALM_URL"
TIMEOUT_VARIABLE = "BECALM_TIMEOUT"
REPORT_VARIABLE = "BECALM_REPORT"
_SPARE_SECONDS = 60
"""How long a hook's Job lives on if no operator is there to end it at its timeout."""


def header_variable(position: int) -> str:
    """Return the variable that holds the value of a header which comes from a Secret."""
    return f"BECALM_HEADER_{position}"


def http_job(owner: Owner, part: str, http: HttpHook, timeout_seconds: int, image: Image) -> V1Job:
    """Send a request. What is secret in it comes by reference, so that the operator need not read it.

    Raises:
        ValueError: The certificates that it is to trust make no sense.
    """
    if http.ca_bundle is not None:
        trusting(http.ca_bundle)
    container = V1Container(
        name="becalm",
        image=image.name,
        image_pull_policy=image.pull_policy,
        command=["becalm-operator", "request"],
        env=_request(http, timeout_seconds),
        termination_message_path=TERMINATION_LOG,
        resources=V1ResourceRequirements(
            requests={"cpu": "20m", "memory": "96Mi"}, limits={"memory": "256Mi"}
        ),
        security_context=nobody_context(),
    )
    spec = V1PodSpec(
        containers=[container],
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=pod_context(None),
        termination_grace_period_seconds=1,
    )
    return _job(owner, part, V1PodTemplateSpec(spec=spec), timeout_seconds)


def _request(http: HttpHook, timeout_seconds: int) -> list[V1EnvVar]:
    """Return the request as variables; what is secret in it comes by reference."""
    order = http.model_dump_json(by_alias=True, exclude_none=True)
    environment = [
        V1EnvVar(name=REQUEST_VARIABLE, value=literal(order)),
        V1EnvVar(name=TIMEOUT_VARIABLE, value=str(timeout_seconds)),
        V1EnvVar(name=REPORT_VARIABLE, value=TERMINATION_LOG),
    ]
    if http.url_from is not None:
        environment.append(_secret_variable(URL_VARIABLE, http.url_from.secret_key_ref))
    for position, header in enumerate(http.headers):
        if header.value_from is not None:
            name = header_variable(position)
            environment.append(_secret_variable(name, header.value_from.secret_key_ref))
    return environment


def _secret_variable(name: str, reference: SecretKey) -> V1EnvVar:
    selector = V1SecretKeySelector(name=reference.name, key=reference.key)
    return V1EnvVar(name=name, value_from=V1EnvVarSource(secret_key_ref=selector))


def own_job(owner: Owner, part: str, hook: JobHook, timeout_seconds: int) -> V1Job:
    """Run somebody's own pod.

    Raises:
        ValueError: The template makes no sense; the message says where.
    """
    template = _template(hook.template)
    pod = template.spec
    assert pod is not None
    if pod.restart_policy not in (None, "Never"):
        raise ValueError(
            f"spec.restartPolicy is {pod.restart_policy}; a hook runs once, so it has to be Never"
        )
    if pod.automount_service_account_token is None:
        pod.automount_service_account_token = bool(pod.service_account_name)
    for container in pod.containers:
        container.termination_message_policy = container.termination_message_policy or "FallbackToLogsOnError"
    return _job(owner, part, template, timeout_seconds)


def _template(written: dict[str, Any]) -> V1PodTemplateSpec:
    try:
        template = V1PodTemplateSpec.from_dict(with_texts(written))
        understood = template.model_dump(mode="json", by_alias=True) if template is not None else {}
    except ValidationError as error:
        raise ValueError(f"it is no template of pods: {_told(error)}") from None
    except (ValueError, TypeError, AttributeError):
        raise ValueError("it is no template of pods") from None
    if template is None or template.spec is None or not template.spec.containers:
        raise ValueError("spec.containers is missing")
    if unknown := _unknown(written, understood, ""):
        raise ValueError(f"{unknown} is no field of pods that this version of becalm knows")
    return template


def _told(error: ValidationError) -> str:
    """Return what is wrong and where, without what was written: that may hold a secret."""
    place, fault = place_and_fault(error)
    return f"{error.title}.{place}: {fault}"


def _unknown(written: Any, understood: Any, path: str) -> str:
    """Return the path of a field that was lost in reading: a typo, most often."""
    if isinstance(written, Mapping) and isinstance(understood, Mapping):
        for key, value in written.items():
            here = f"{path}.{key}".lstrip(".")
            if key not in understood:
                return here
            if found := _unknown(value, understood[key], here):
                return found
    if isinstance(written, list) and isinstance(understood, list):
        pairs = enumerate(zip(written, understood, strict=False))
        return next(
            (found for at, (one, other) in pairs if (found := _unknown(one, other, f"{path}[{at}]"))), ""
        )
    return ""


def _job(owner: Owner, part: str, template: V1PodTemplateSpec, timeout_seconds: int) -> V1Job:
    assert template.spec is not None
    template.spec.restart_policy = "Never"
    deadline = timeout_seconds + _SPARE_SECONDS
    return owned_job(owner, HOOK, template, part=(names.HOOK_ANNOTATION, part), deadline_seconds=deadline)
