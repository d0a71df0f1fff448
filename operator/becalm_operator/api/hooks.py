"""Hooks: what a Backup does to applications before it stops them, and when they are up again."""

import enum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from becalm_operator.api.base import Duration, Model, Name, Time
from becalm_operator.api.workloads import LabelSelector, WorkloadReference

LONGEST_TIMEOUT = "1h"
MOST_OUTPUT_CHARS = 1024

HookName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
_Argument = Annotated[str, Field(max_length=4096)]

_ONE_ACTION = "[has(self.exec), has(self.http), has(self.job)].exists_one(x, x)"
_ONE_VALUE = "has(self.value) != has(self.valueFrom)"
_ONE_URL = "has(self.url) != has(self.urlFrom)"
_SOME_LABELS = (
    "!has(self.podSelector) || has(self.podSelector.matchLabels) && self.podSelector.matchLabels.size() > 0"
)
_BOUNDED = (
    f"duration(self.timeout) > duration('0s') && duration(self.timeout) <= duration('{LONGEST_TIMEOUT}')"
)


def _named_once(field: str) -> str:
    return f"!has({field}) || {field}.all(h, {field}.exists_one(o, o.name == h.name))"


def _with_target(field: str) -> str:
    aimed = "!has(h.exec) || has(h.exec.workload) || has(h.exec.podSelector)"
    return f"!has({field}) || {field}.all(h, {aimed})"


class ExecHook(Model):
    """Runs a command in one Ready pod: of several that fit, the first by name."""

    rules: ClassVar = {
        "!(has(self.workload) && has(self.podSelector))": "name a workload or a podSelector, not both",
        _SOME_LABELS: "a podSelector needs matchLabels",
    }
    workload: WorkloadReference | None = None
    """The pod is one of this workload; absent in a hook of a workload: of that one."""
    pod_selector: LabelSelector | None = None
    """The pod is one with these labels."""
    container: Annotated[str, Field(max_length=63)] = ""
    """The container; may be left out if the pod has one only."""
    command: Annotated[tuple[_Argument, ...], Field(min_length=1, max_length=64)]
    """The command and its arguments. No shell is around it: write `[sh, -c, ...]` if you want one."""


class SecretKey(Model):
    """Names one key of a Secret of the same namespace."""

    name: Name
    """The Secret's name."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The key in it."""


class HeaderSource(Model):
    """Where the value of a header comes from."""

    secret_key_ref: SecretKey
    """A key of a Secret of the same namespace. The kubelet hands it to the pod; the operator does not see it."""


class Header(Model):
    """A header of a request."""

    rules: ClassVar = {_ONE_VALUE: "give either a value or valueFrom"}
    name: Annotated[str, Field(pattern=r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$", max_length=128)]
    """Its name."""
    value: Annotated[str, Field(pattern=r"^[^\r\n]*$", max_length=2048)] | None = None
    """Its value."""
    value_from: HeaderSource | None = None
    """Where its value comes from."""


class HttpHook(Model):
    """Sends an HTTP request from a pod in the namespace of the Backup. Redirects are not followed."""

    rules: ClassVar = {_ONE_URL: "give either a url or urlFrom"}
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)] | None = None
    """Where to."""
    url_from: HeaderSource | None = None
    """Where the URL comes from, if it is a secret itself."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """The method."""
    headers: Annotated[tuple[Header, ...], Field(max_length=16)] = ()
    """Headers."""
    body: Annotated[str, Field(max_length=8192)] = ""
    """The body."""
    expected_status: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(max_length=16)] = ()
    """The codes that mean success; 200 to 299 if there are none."""
    ca_bundle: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=65536)] | None = None
    """PEM certificates in base64, as in a webhook of Kubernetes: the server's has to be signed by one of them. Absent:
    by one that the image knows."""


class JobHook(Model):
    """Runs a Job of your own in the namespace of the Backup. It runs once: a pod that fails is not tried again."""

    template: dict[str, Any]
    """Its pods, as the `template` of a Job. No token of a ServiceAccount is mounted unless you name the account."""


class Hook(Model):
    """One thing to do: exactly one of exec, http and job."""

    rules: ClassVar = {
        _ONE_ACTION: "a hook is exactly one of exec, http and job",
        _BOUNDED: f"timeout must be more than 0 and at most {LONGEST_TIMEOUT}",
    }
    name: HookName
    """Its name, by which status and events tell of it."""
    exec: ExecHook | None = None
    """A command in a container that runs already."""
    http: HttpHook | None = None
    """An HTTP request."""
    job: JobHook | None = None
    """A Job of your own."""
    timeout: Duration = "1m"
    """How long it may take, at most 1h, the start of its pod included. A before-hook's has to be below maxDowntime."""


class BeforeHook(Hook):
    """One thing to do before workloads are stopped: exactly one of exec, http and job."""

    on_error: Literal["Fail", "Continue"] = "Fail"
    """What to do if it fails, takes too long, or nobody knows how it ended because the operator was restarted: fail the
    run, and stop nothing more; or go on."""


class AfterHook(Hook):
    """One thing to do when workloads are up again: exactly one of exec, http and job.

    What goes wrong with it is told; the backup is good all the same.
    """


_Before = Annotated[tuple[BeforeHook, ...], Field(max_length=8)]
_After = Annotated[tuple[AfterHook, ...], Field(max_length=8)]
_ONCE = {
    _named_once("self.before"): "two before-hooks have the same name",
    _named_once("self.after"): "two after-hooks have the same name",
}
_TARGETED = "exec needs a workload or a podSelector"


class WorkloadHooks(Model):
    """What is done around the stop of one workload."""

    rules: ClassVar = _ONCE
    before: _Before = ()
    """Just before it is stopped, one after the other."""
    after: _After = ()
    """Once it is Ready again, one after the other; also if the run has failed, if it was stopped or one of its
    before-hooks had begun."""


class RunHooks(Model):
    """What is done around a whole run."""

    rules: ClassVar = {
        **_ONCE,
        _with_target("self.before"): _TARGETED,
        _with_target("self.after"): _TARGETED,
    }
    before: _Before = ()
    """Before the first workload is stopped, one after the other."""
    after: _After = ()
    """When all workloads are up again, one after the other; also if the run has failed, if a workload was stopped or
    a before-hook had begun."""


class When(enum.StrEnum):
    """Which of the two lists a hook is in."""

    BEFORE = "Before"
    AFTER = "After"


class Outcome(enum.StrEnum):
    """How a hook has ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    UNKNOWN = "Unknown"


class HookStatus(Model):
    """One hook that was begun. That it was begun is written before it is."""

    name: str
    """Its name."""
    when: When
    """Before or After."""
    workload: str = ""
    """The workload whose hook it is, as kind/name; empty for one of the whole run."""
    started_at: Time
    """When it was begun."""
    started_by: str = ""
    """The process of the operator that has begun it: another one does not know how a command in a pod has ended."""
    pod: str = ""
    """The pod that its command runs in."""
    job: str = ""
    """The Job that does it, once it was seen."""
    finished_at: Time | None = None
    """When its end was known."""
    outcome: Outcome | None = None
    """Succeeded, Failed, TimedOut or Unknown."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """How it ended, in a sentence."""
    output: Annotated[str, Field(max_length=MOST_OUTPUT_CHARS)] = ""
    """The end of what its command wrote, at most 1024 characters."""
