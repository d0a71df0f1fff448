"""What the cluster looks like, as far as decisions need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from becalm_operator.api.backup import Backup, RunStatus, WorkloadReference
from becalm_operator.api.identity import Identity
from becalm_operator.api.record import Record
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.api.switches import REPLICAS, Switch
from becalm_operator.errors import OperatorError
from becalm_operator.manifests.jobs import Image
from becalm_operator.plan.snapshot_world import Snapshots


@dataclass(frozen=True, slots=True)
class Workload:
    """What can be brought to a standstill. `record` is what its annotation says, if becalm stopped it.

    `replicas` is 1 or 0 for what is only on or off: a CronJob, and a ScaledObject of KEDA.
    """

    reference: WorkloadReference
    uid: str
    resource_version: str
    replicas: int
    ready: int = 0
    switch: Switch = REPLICAS
    generation: int = 0
    """0 where its kind does not count changes of the spec alone."""
    settled: bool = True
    """Its controller has seen the newest spec."""
    record: Record | None = None
    unreadable_record: bool = False
    """It carries a record that makes no sense: somebody has changed it by hand."""
    put_back: bool = False
    """Its record is for certain an old one that somebody has put back, and it is not becalm that has stopped it. Known
    to the sweep alone."""
    owner: str = ""
    """The controller that owns it, named as a workload is."""
    deletes_claims: bool = False
    claims: tuple[str, ...] = ()
    identities: Mapping[str, Identity] = field(default_factory=dict)
    """As whom its pods will use each claim, where its kind has a pod template."""
    scales: str = ""
    """The workload whose count it decides on, if it is an autoscaler."""
    unfit: str = ""
    """Why it cannot be brought to a standstill."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that mounts claims. `owner` is its workload, or whatever controls it, or nothing."""

    name: str
    owner: str
    claims: tuple[str, ...]
    node: str = ""
    created: datetime | None = None
    ended: bool = False
    """Its containers are gone: it holds no volume any more."""
    ours: bool = False
    """It is a mover, of whatever run."""
    written: tuple[str, ...] = ()
    """Claims that it may write though it is ours, for another run than the one that looks."""
    ready: bool = False
    """It is Ready, and not going."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    identities: Mapping[str, Identity] = field(default_factory=dict, hash=False)
    """As whom it uses each claim."""
    requests: Mapping[str, Decimal] = field(default_factory=dict, hash=False)
    """What its containers ask a node for, by resource."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    name: str
    bound: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    node_bound: bool = True
    """Only one node can mount it at a time."""
    volume: str = ""
    """Its PersistentVolume."""
    storage_class: str = ""
    access_modes: tuple[str, ...] = ()
    size_bytes: int = 0
    """How large the volume is, or is to be."""
    block: bool = False
    """It is a device, and no file system."""
    one_pod: bool = False
    """Only one pod can mount it at a time."""


@dataclass(frozen=True, slots=True)
class JobState:
    """A Job of ours and its pod. `stuck` says why the pod cannot start, `gate` what its gate's file is to hold."""

    name: str
    created: datetime
    refused: bool = False
    """There is none: the API server does not let it be made. `stuck` says why, `created` since when."""
    active: bool = False
    """A pod of it exists whose containers have not ended."""
    lingers: bool = False
    """Its containers have ended, and its pod does not say so yet: a volume for one pod alone is not free."""
    succeeded: bool = False
    failed: bool = False
    overdue: bool = False
    """It failed because it took longer than it may: Kubernetes has ended it."""
    exit_code: int | None = None
    report: str = ""
    stuck: str = ""
    dump_exit_code: int | None = None
    """Of the user's container, in the Job of a dump."""
    dump_ended_at: datetime | None = None
    dump_reason: str = ""
    """Why that container has ended, where it was not its program that did it: it could not start, or was killed."""
    pod: str = ""
    ready: bool = False
    """The pod says that it has prepared all; one without a gate says so at once."""
    gate: str = ""
    gate_calls: int = 0
    """How often the pod's node has been called to look at the gate once more."""

    @property
    def finished(self) -> bool:
        """Whether the Job has ended, well or not."""
        return self.succeeded or self.failed


@dataclass(frozen=True, slots=True)
class HookState:
    """What this process of the operator knows of a hook that it has begun. `error`: why it could not be done."""

    ended: bool = False
    exit_code: int | None = None
    output: str = ""
    error: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Hooking:
    """What the operator may do about hooks, and has done about those of one run. `process` names this process of it."""

    enabled: bool = False
    refusal: str = ""
    """Why no command may be run in pods."""
    process: str = ""
    known: Mapping[str, HookState] = field(default_factory=dict)
    """By the hook's part."""


@dataclass(frozen=True, slots=True)
class OtherRun:
    """Another Backup or Restore of the namespace that has not ended."""

    name: str
    uid: str
    started: bool
    created: datetime
    claims: frozenset[str]
    workloads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Caps:
    """How many workloads may be down at once; 0 for any number."""

    per_namespace: int = 0
    per_cluster: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What a run takes of what is limited, or waits to take: `queued`, if it waits for nothing else."""

    name: str
    uid: str
    namespace: str
    repository: str
    created: datetime
    urgent: bool = False
    started: bool = False
    queued: bool = False
    movers: int = 0
    workloads: int = 0

    @property
    def rank(self) -> tuple[bool, datetime, str]:
        """Where it stands in a queue: what is urgent first, then what is older."""
        return (not self.urgent, self.created, self.uid)


@dataclass(frozen=True, slots=True)
class World:
    """One namespace, seen at one moment for one run."""

    now: datetime
    image: Image
    pod_security: str = "privileged"
    """The Pod Security Standard that the namespace enforces: privileged, baseline or restricted."""
    repository: BackupRepository | None = None
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By their reference, as kind/name."""
    kinds: frozenset[str] = frozenset()
    """The kinds beside the native ones that the operator was told of, as kind.group."""
    pods: tuple[Pod, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    jobs: Mapping[str, JobState] = field(default_factory=dict)
    snapshots: Snapshots = field(default_factory=Snapshots)
    """For a Backup with `capture: Snapshot`."""
    others: tuple[OtherRun, ...] = ()
    caps: Caps = Caps()
    shares: tuple[Share, ...] = ()
    """What the others take; for a run that waits, also those of other namespaces if there is a limit for all."""
    unseen: tuple[str, ...] = ()
    """The namespaces that are missing there, since their runs must not be listed."""
    former: tuple[Backup, ...] = ()
    """The Backups of the namespace that have ended and still exist."""
    schedule: BackupSchedule | None = None
    source: Backup | None = None
    """For a Restore: the Backup it names."""
    hooks: Hooking = Hooking()
    dumps_enabled: bool = False
    gone: tuple[str, ...] = ()
    """Pods of ours that failed lately and run no more, whatever they have left in a repository."""

    def holds(self, job: JobState, claim: str) -> bool:
        """Say whether a Job keeps others from mounting a claim."""
        found = self.claims.get(claim)
        return job.active or (job.lingers and found is not None and found.one_pod)

    def with_passed(self, passed: Iterable[Pod]) -> "World":
        """Return the world with pods that were seen to come and are not there: they have ended."""
        there = {(pod.name, pod.created) for pod in self.pods}
        gone = tuple(pod for pod in passed if (pod.name, pod.created) not in there)
        return replace(self, pods=(*self.pods, *gone)) if gone else self

    def consumers(self, claims: frozenset[str]) -> list[Pod]:
        """Return the pods of others that hold any of the claims."""
        return [pod for pod in self._mounting(claims) if not pod.ended]

    def visitors(self, claims: frozenset[str], since: datetime | None) -> list[Pod]:
        """Return the pods of others that have come since then, held any of the claims, and ended already."""
        ended = [pod for pod in self._mounting(claims) if pod.ended]
        return [pod for pod in ended if since and pod.created and pod.created >= since]

    def _mounting(self, claims: frozenset[str]) -> list[Pod]:
        return [pod for pod in self.pods if claims.intersection(pod.written if pod.ours else pod.claims)]


@dataclass(frozen=True, slots=True)
class RepositoryWorld:
    """What is known around a repository: the Jobs that open or make it."""

    now: datetime
    image: Image
    jobs: Mapping[str, JobState] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    """Pods of ours that failed lately and run no more, whatever they have left in a repository."""


@dataclass(frozen=True, slots=True)
class ScheduleWorld:
    """The Backups that a schedule has made and that still exist."""

    now: datetime
    backups: tuple[Backup, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A workload that carries a record, and how the run that wrote it stands. `run` None: it is gone."""

    namespace: str
    workload: Workload
    run: RunStatus | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that carries a record, and what has kept anybody from looking everywhere."""

    held: tuple[Held, ...]
    unseen: tuple[OperatorError, ...] = ()
