"""What the cluster in memory is made of. Mutable: the API server and the controllers change them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from becalm_engine.contract import GATE_OPEN
from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.record import Record
from becalm_operator.api.switches import KEDA_PAUSE, REPLICAS, SUSPENSION, Form, Switch
from becalm_operator.manifests.gate import CLOSED

_SWITCHES = {
    "cronjob": SUSPENSION,
    "scaledobject.keda.sh": KEDA_PAUSE,
    "widget.example.org": Switch(Form.COUNT, ("spec", "size", "members")),
}


@dataclass
class StoredWorkload:
    """What can be scaled, suspended or paused; `replicas` of what is only on or off is 1 or 0.

    `wanted` is what people last asked for: becalm's own scaling leaves it alone.
    """

    namespace: str
    reference: WorkloadReference
    uid: str
    replicas: int
    wanted: int
    mounts: tuple[str, ...] = ()
    template: str = ""
    owner: str = ""
    deletes_claims: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    revisions: list[dict[str, str]] = field(default_factory=lambda: [{}])
    """What the ReplicaSets of a Deployment have of its annotations, the newest last."""
    record_by: str = ""
    count_by: str = ""
    """Who has set these last, as far as the API server knows."""
    resource_version: int = 0
    generation: int = 1
    observed: int = 0
    ready: int = 0
    scales: str = ""
    """The workload that it scales, if it is a ScaledObject."""
    unfit: str = ""

    @property
    def has_pods(self) -> bool:
        """Whether its kind has pods of its own to be waited for."""
        return self.switch.form is Form.COUNT

    @property
    def switch(self) -> Switch:
        """The field that its kind is scaled by."""
        return _SWITCHES.get(self.reference.resource, REPLICAS)

    @property
    def put_back(self) -> bool:
        """Whether its record is an old one, and others have brought it to a standstill."""
        left = self.record.generation if self.record is not None else None
        if left is None or self.generation <= left or not self.record_by:
            return False
        return names.FIELD_MANAGER not in (self.record_by, self.count_by) and self.record_by != self.count_by

    @property
    def record(self) -> Record | None:
        """What the annotation says, if it makes sense."""
        try:
            return Record.model_validate_json(self.annotations[names.RECORD_ANNOTATION])
        except (KeyError, ValidationError):
            return None

    def claims_of(self, ordinal: int) -> tuple[str, ...]:
        """Return what the pod of an ordinal mounts."""
        own = (f"{self.template}-{self.reference.name}-{ordinal}",) if self.template else ()
        return (*self.mounts, *own)


@dataclass
class StoredClaim:
    """A PersistentVolumeClaim."""

    namespace: str
    name: str
    bound: bool = True
    node_bound: bool = True
    one_pod: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    driver: str = ""
    """The CSI driver of its volume."""
    storage_class: str = "standard"
    attaches: bool = False
    """Its driver attaches volumes to nodes before pods use them."""
    detaching: int = 0
    """For how many ticks the volume is still attached."""

    @property
    def attached(self) -> bool:
        """Whether a node has the volume."""
        return self.detaching > 0


@dataclass
class StoredPod:
    """A pod. `ending` is how many ticks it still takes to end, once it was told to."""

    namespace: str
    name: str
    controller: str
    """As kind/name, of the workload itself: nobody here asks for ReplicaSets."""
    claims: tuple[str, ...] = ()
    created: datetime | None = None
    age: int = 0
    ending: int | None = None
    ours: bool = False
    lasts: int | None = None
    """After how many ticks it ends by itself."""


@dataclass(frozen=True)
class Script:
    """How the pod of a Job fares. `report` None: what its role leaves when all is well."""

    ticks: int = 3
    exit_code: int = 0
    report: str | None = None
    hangs: bool = False
    evicted: bool = False
    """It ends without an exit code and a report."""
    stuck: str = ""
    """Why it cannot start."""
    refused: str = ""
    """Why the API server does not let the Job be made."""
    crowded: bool = False
    """It can start, and is not stuck any more, when the workloads are down."""
    memory: int = 2 << 30
    """How many bytes it asks its node for: more than a workload does."""
    dump_exit_code: int = 0
    """Of the user's container, in the Job of a dump."""
    frozen: bool = False
    """Its node is gone: it does not even end when told to."""
    ahead: int = 2
    """How many ticks it takes to its gate, if it has one."""
    falls: int | None = None
    """At which age it is killed at its gate, or ends there with its report."""
    deaf: int = 0
    """How often it has to be called until it sees that its gate is open."""


@dataclass
class StoredSnapshot:
    """A VolumeSnapshot. `script.ticks` is how long it takes, and `script.stuck` its driver's error."""

    namespace: str
    name: str
    owner_uid: str
    claim: str
    refused: bool
    script: Script
    created: datetime
    age: int = 0
    ready: bool = False
    error: str = ""
    torn: bool = False
    """Somebody could write to the claim before it was ready."""


JobPhase = Literal["made", "running", "succeeded", "failed"]


@dataclass
class StoredJob:
    """A Job and its pod in one."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    role: str
    claim: str
    plan: str
    script: Script
    created: datetime
    snapshot: str = ""
    """The VolumeSnapshot that it reads a copy of."""
    waits: bool = False
    """Its pod waits for that copy."""
    phase: JobPhase = "made"
    age: int = 0
    exit_code: int | None = None
    dump_exit_code: int | None = None
    report: str = ""
    ended_at: datetime | None = None
    deleting: int | None = None
    gate: str = ""
    gate_calls: int = 0
    gone_hosts: tuple[str, ...] = ()
    """The pods whose locks count for nothing to it."""
    has_room: bool = False
    """The workloads are down."""
    opened_age: int = 0
    """How old it was when its gate was opened."""

    @property
    def at_gate(self) -> bool:
        """Whether it has nothing to do but to wait for its gate."""
        return self.phase == "running" and self.age >= self.script.ahead

    @property
    def reads(self) -> bool:
        """Whether it has seen that its gate is open, or has none."""
        return self.gate != CLOSED and self.gate_calls >= self.script.deaf

    def open_gate(self, calls: int) -> bool:
        """Open the gate, or call again. Returns whether that changes anything."""
        if (self.gate, self.gate_calls) == (GATE_OPEN, calls):
            return False
        if not self.reads:
            self.opened_age = self.age
        self.gate, self.gate_calls = GATE_OPEN, calls
        return True

    @property
    def has_pod(self) -> bool:
        """Whether a container of it may still run."""
        return self.phase == "running" or (self.phase == "made" and (self.waits or self.is_stuck))

    @property
    def is_stuck(self) -> bool:
        """Whether it cannot start."""
        return bool(self.script.stuck) and not (self.script.crowded and self.has_room)


@dataclass
class StoredCommand:
    """A hook's command in a container, as the process of the operator sees it that has begun it."""

    script: Script
    timeout_seconds: int
    age: int = 0


@dataclass
class StoredHooks:
    """What is known about hooks. `begun` notes each that was begun, as the Backup's UID and the hook's part."""

    enabled: bool = True
    refusal: str = ""
    process: int = 1
    begun: list[tuple[str, str]] = field(default_factory=list)
    commands: dict[tuple[str, str], StoredCommand] = field(default_factory=dict)
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why one could not be begun."""

    def restart(self) -> None:
        """Begin another process of the operator: it knows nothing of what the one before has begun."""
        self.process += 1
        self.commands.clear()
        self.errors.clear()
