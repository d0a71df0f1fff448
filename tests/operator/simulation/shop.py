"""A shop in a simulated cluster, and an operator that looks after it until it dies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from becalm_operator.api.backup import (
    Backup,
    BackupQuiesce,
    BackupSpec,
    ClaimSelection,
    WorkloadReference,
)
from becalm_operator.api.base import LocalReference, Metadata, SecretKeyReference
from becalm_operator.api.dumps import Dump, DumpContainer
from becalm_operator.api.hooks import RunHooks
from becalm_operator.api.repository import BackupRepository, BackupRepositorySpec, ClaimStorage, Storage
from becalm_operator.api.restore import Restore, RestoreQuiesce, RestoreSource, RestoreSpec, RestoreTarget
from becalm_operator.api.snapshots import Capture
from becalm_operator.cluster.port import Cluster, Key
from becalm_operator.cluster.unmade import Unmade
from becalm_operator.errors import ClusterError
from becalm_operator.handlers.reconcile import reconcile
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.manifests.gate import CLOSED
from tests.operator.cluster.lab import CSI_DRIVER, CSI_STORAGE
from tests.operator.fake.cluster import FakeCluster
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP, FakeLab
from tests.operator.fake.objects import Script
from tests.operator.fake.state import State

WEB = WorkloadReference(kind="Deployment", name="web")
DB = WorkloadReference(kind="StatefulSet", name="db")
IDLE = WorkloadReference(kind="Deployment", name="idle")
"""It was at zero before, so it stays there."""
WORKLOADS = (WEB, DB, IDLE)
REPORTS = WorkloadReference(kind="CronJob", name="reports")
LONE = WorkloadReference(kind="ReplicaSet", name="lone")
PRESS = WorkloadReference(api_version="example.org/v1", kind="Widget", name="press")
SCALER = WorkloadReference(api_version="keda.sh/v1alpha1", kind="ScaledObject", name="scaler")
OF_ALL_KINDS = (REPORTS, WEB, DB, LONE, PRESS)
DRAIN_SECONDS, DOWNTIME_SECONDS = 20, 60
SWEEP_SECONDS, SWEEP_AGAIN_SECONDS = 60, 5
RUN = Key("Backup", SHOP, "b")
RESTORED = Key("Restore", SHOP, "r")

_QUIESCE = BackupQuiesce(drain_timeout=f"{DRAIN_SECONDS}s", max_downtime=f"{DOWNTIME_SECONDS}s")


@dataclass
class Shop:
    """The cluster as it is for people: with all its workloads up, and a repository that is Ready."""

    state: State
    cluster: FakeCluster
    lab: FakeLab

    @classmethod
    async def open(cls) -> "Shop":
        """Make the shop and wait until it is up."""
        state = State()
        shop = cls(state, FakeCluster(state), FakeLab(state))
        for claim in ("uploads", "archive"):
            await shop.lab.make_claim(claim)
        await shop.lab.make_deployment("web", replicas=3, claims=["uploads"])
        await shop.lab.make_stateful_set("db", replicas=1, template="data")
        await shop.lab.make_deployment("idle", replicas=0, claims=["archive"])
        await shop.lab.make(a_repository())
        operator = Operator(shop.state, shop.cluster)
        for _ in range(30):
            tick(state)
            await operator.work()
        return shop

    async def back_up(
        self,
        name: str = "b",
        workloads: Sequence[WorkloadReference] = WORKLOADS,
        quiesce: BackupQuiesce = _QUIESCE,
        capture: Capture = "Direct",
        dumps: Sequence[str] = (),
        hooks: RunHooks | None = None,
    ) -> Backup:
        """Ask for a Backup, of all workloads unless others are named."""
        spec = BackupSpec(
            repository_ref=LocalReference(name="main"), workloads=tuple(workloads), quiesce=quiesce,
            claims=ClaimSelection(), capture=capture, dumps=tuple(a_dump(dump) for dump in dumps),
            hooks=hooks or RunHooks(),
        )  # fmt: skip
        return await self.lab.make(Backup(metadata=Metadata(name=name, namespace=SHOP), spec=spec))

    async def add_other_kinds(self) -> None:
        """Add one of each kind that is no Deployment or StatefulSet, and an autoscaler of the front end."""
        for claim in ("reports", "lone", "press"):
            await self.lab.make_claim(claim)
        await self.lab.make_cron_job("reports", claims=["reports"])
        await self.lab.make_replica_set("lone", replicas=2, claims=["lone"])
        await self.lab.make_widget("press", 2, claims=["press"])
        await self.lab.make_autoscaler("scaler", WEB)
        for _ in range(5):
            tick(self.state)

    async def snap(self, dumps: Sequence[str] = ()) -> Backup:
        """Ask for a Backup by snapshots, of claims whose driver can make them and attaches volumes to nodes."""
        for claim in self.state.claims.values():
            claim.driver, claim.storage_class, claim.attaches = CSI_DRIVER, CSI_STORAGE, True
        tick(self.state)
        return await self.back_up(capture="Snapshot", dumps=dumps)

    async def restore(self) -> Restore:
        """Ask for a Restore of two claims."""
        spec = RestoreSpec(
            repository_ref=LocalReference(name="main"),
            source=RestoreSource(snapshot_id="ab" * 16),
            targets=(RestoreTarget(claim="uploads"), RestoreTarget(claim="data-db-0")),
            quiesce=RestoreQuiesce(drain_timeout=_QUIESCE.drain_timeout, max_downtime=_QUIESCE.max_downtime),
        )
        return await self.lab.make(Restore(metadata=Metadata(name="r", namespace=SHOP), spec=spec))

    def script(self, role: str, script: Script) -> None:
        """Say how Jobs of a role fare that are made from now on."""
        self.state.scripts[role] = script

    def run(self, key: Key = RUN) -> Backup | Restore | None:
        """Return how a run stands, or None if it is gone."""
        found = self.state.resources.get(key)
        return found if isinstance(found, Backup | Restore) else None

    @property
    def backups(self) -> list[Backup]:
        """All Backups there are."""
        return [one for one in self.state.resources.values() if isinstance(one, Backup)]

    @property
    def is_read(self) -> bool:
        """Whether a mover reads what stands still."""
        movers = (job for job in self.state.jobs.values() if job.role == "mover")
        return any(job.phase == "running" and job.gate != CLOSED for job in movers)

    def is_over(self, key: Key) -> bool:
        """Say whether a run has ended or is gone."""
        run = self.run(key)
        return run is None or (run.status.phase.finished and not run.metadata.finalizers)

    def is_up(self) -> bool:
        """Say whether every workload has what people want, and is Ready."""
        return all(
            workload.replicas == workload.wanted
            and (workload.ready == workload.replicas or not workload.has_pods)
            and not workload.annotations
            for workload in self.state.workloads.values()
        )


def a_dump(name: str) -> Dump:
    return Dump(
        name=name, filename="all.sql", container=DumpContainer(image="postgres", command=("pg_dump",))
    )


def a_repository() -> BackupRepository:
    storage = Storage(persistent_volume_claim=ClaimStorage(claim_name="repository"))
    spec = BackupRepositorySpec(storage=storage, password_secret_ref=SecretKeyReference(name="password"))
    return BackupRepository(metadata=Metadata(name="main", namespace=SHOP), spec=spec)


@dataclass
class Operator:
    """One process of the operator: keys are looked at when their time has come, or when a watch tells of a change.

    It keeps nothing but that; another one made after its death knows as much. `born` is when it began.
    """

    state: State
    cluster: Cluster
    _due: dict[Key, float] = field(default_factory=dict)
    _seen: int = -1
    _sweep_at: float = 0.0

    def __post_init__(self) -> None:
        self.born = self.state.now
        self.state.hooks.restart()
        self.state.unmade = Unmade()
        self._sweep = Sweep(self.cluster, lambda: self.state.now)

    async def work(self) -> None:
        """Do what is due now."""
        now = self.state.now.timestamp()
        if now >= self._sweep_at:
            all_well = await self._sweep.once()
            self._sweep_at = now + (SWEEP_SECONDS if all_well else SWEEP_AGAIN_SECONDS)
        woken, self._seen = self.state.watched != self._seen, self.state.watched
        for key in list(self.state.resources):
            if woken or now >= self._due.get(key, now):
                self._due[key] = now + await self._reconcile(key)

    async def _reconcile(self, key: Key) -> float:
        try:
            again = await reconcile(self.cluster, key)
        except ClusterError:
            return 1.0
        return float("inf") if again is None else again
