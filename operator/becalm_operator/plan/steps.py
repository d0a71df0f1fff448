"""What a decision asks for: data that can be printed, tested, and applied twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from kubernetes.aio.client import V1Job

from becalm_operator.api.backup import BackupSpec, WorkloadReference
from becalm_operator.api.base import Model
from becalm_operator.api.record import Record
from becalm_operator.api.switches import REPLICAS, Switch

StatusT = TypeVar("StatusT", bound=Model)


@dataclass(frozen=True, slots=True)
class ApplyJob:
    """Make a Job, unless one of its name exists. A refusal is looked for in the world."""

    job: V1Job


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Job and its pod."""

    name: str


@dataclass(frozen=True, slots=True)
class MakeSnapshot:
    """Make a VolumeSnapshot, unless one of its name exists."""

    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteSnapshot:
    """Delete a VolumeSnapshot. One that cannot be deleted goes with the object that owns it."""

    name: str


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Let a mover read: the volumes stand still. A pod that is gone needs no gate."""

    pod: str
    calls: int = 0
    """How often the node has been told so again."""


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """Bring a workload to a standstill and write the record, in one update that fails if the workload has changed."""

    workload: WorkloadReference
    uid: str
    resource_version: str
    record: Record
    switch: Switch = REPLICAS


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Start a workload again and remove the record, in one update that fails if the workload has changed."""

    workload: WorkloadReference
    uid: str
    resource_version: str
    replicas: int
    switch: Switch = REPLICAS


@dataclass(frozen=True, slots=True)
class MakeBackup:
    """Make a Backup, unless one of its name exists."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: BackupSpec


@dataclass(frozen=True, slots=True)
class DeleteBackup:
    """Delete a finished Backup."""

    name: str


@dataclass(frozen=True, slots=True)
class RequestProbe:
    """Have a repository opened again: a run has just found that it cannot be."""

    repository: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Begin a hook's command in a container, unless this process has begun it. Its end is looked for in the world."""

    part: str
    pod: str
    container: str
    command: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class EndCommand:
    """Wait no longer for a hook's command."""

    part: str


@dataclass(frozen=True, slots=True)
class ApplyHookJob:
    """Make a hook's Job, unless one of its name exists. A refusal is looked for in the world."""

    part: str
    job: V1Job


HookAction = RunCommand | EndCommand | ApplyHookJob
Action = (
    ApplyJob
    | DeleteJob
    | MakeSnapshot
    | DeleteSnapshot
    | OpenGate
    | ScaleDown
    | ScaleUp
    | MakeBackup
    | DeleteBackup
    | RequestProbe
    | HookAction
)


@dataclass(frozen=True, slots=True)
class Event:
    """What people should see in `kubectl describe`. `workload` None: about the object itself only."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    workload: WorkloadReference | None = None


@dataclass(frozen=True, slots=True)
class Plan(Generic[StatusT]):
    """The next step. `finalizer` None leaves it as it is; `again_seconds` None waits for events alone.

    `at_once`: the step does nothing that could be seen, and what follows may be decided by the same look at the world.
    """

    status: StatusT
    actions: Sequence[Action] = ()
    events: Sequence[Event] = ()
    finalizer: bool | None = None
    again_seconds: float | None = None
    at_once: bool = False
