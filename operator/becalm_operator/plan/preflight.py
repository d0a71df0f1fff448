"""What is looked at before anything stops: which workloads, which claims, and what forbids the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from becalm_operator.api.backup import Backup, ClaimSelection, Quiesce, WorkloadReference, WorkloadStatus
from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.api.names import RECORD_ANNOTATION
from becalm_operator.plan import conditions
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.world import Workload, World

_REPOSITORY_IS_COMING = (
    Reason.PROBING,
    Reason.INITIALISING,
    Reason.STORAGE_UNAVAILABLE,
    Reason.REPOSITORY_LOCKED,
)


MOST_CLAIMS = 64
"""What one commit can publish: its plan and its report have to fit where Kubernetes lets them lie."""


class RefusalError(Exception):
    """The run cannot go on as things are. Before Quiescing, nothing has been stopped."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """Whether a run may use its repository: ready, or still coming, or refused for a reason."""

    ready: bool
    failure: Failure | None = None
    message: str = ""


def repository_state(world: World, name: str) -> RepositoryState:
    """Say whether the repository can be used, will be, or cannot."""
    repository = world.repository
    if repository is None:
        return RepositoryState(
            ready=False,
            failure=Failure(Reason.REPOSITORY_NOT_READY, f"BackupRepository {name} does not exist"),
        )
    ready = conditions.find(repository.status.conditions, "Ready")
    current = ready is not None and ready.observed_generation == repository.metadata.generation
    if ready is None or not current or ready.status == "Unknown" or ready.reason in _REPOSITORY_IS_COMING:
        return RepositoryState(ready=False, message=f"waiting for repository {name}: {_said(ready)}")
    if ready.status == "True":
        return RepositoryState(ready=True)
    failure = Failure(Reason(ready.reason), f"repository {name}: {ready.message}")
    return RepositoryState(ready=False, failure=failure)


def _said(condition: Condition | None) -> str:
    return (condition.message or condition.reason) if condition else "not looked at yet"


def refuse_missing(world: World, references: Iterable[WorkloadReference]) -> None:
    """Refuse if a named workload does not exist.

    Raises:
        RefusalError: With the first of them.
    """
    for reference in references:
        _existing(world, reference)


def _existing(world: World, reference: WorkloadReference) -> Workload:
    workload = world.workloads.get(str(reference))
    if workload is not None:
        return workload
    if not reference.is_native and reference.resource not in world.kinds:
        unknown = (
            f"{reference} is of kind {reference.kind} of {reference.api_version}, of which the operator was not told, "
            "or which has no scale subresource; name its CustomResourceDefinition in extraKinds of the chart"
        )
        raise RefusalError(Failure(Reason.WORKLOAD_NOT_SCALABLE, unknown))
    raise RefusalError(Failure(Reason.WORKLOAD_NOT_FOUND, f"{reference} does not exist"))


def resolve_workloads(world: World, references: Iterable[WorkloadReference]) -> tuple[WorkloadStatus, ...]:
    """Return the workloads of a run with their present counts: the named ones, each after what would scale it back.

    Raises:
        RefusalError: One does not exist or must not be scaled.
    """
    wanted = [
        workload.reference
        for reference in references
        for workload in (*_autoscalers(world, reference), _existing(world, reference))
    ]
    resolved = {str(reference): _resolved(world, reference) for reference in wanted}
    return tuple(resolved.values())


def _autoscalers(world: World, reference: WorkloadReference) -> list[Workload]:
    """Return what has to rest while a workload is down. What rests already is left alone."""
    found = (one for one in world.workloads.values() if one.scales == str(reference))
    return sorted((one for one in found if one.replicas or one.unfit), key=lambda one: str(one.reference))


def _resolved(world: World, reference: WorkloadReference) -> WorkloadStatus:
    workload = _existing(world, reference)
    found = refusal(workload)
    if found is not None:
        raise RefusalError(found)
    return WorkloadStatus(
        api_version=workload.reference.api_version,
        kind=reference.kind,
        name=reference.name,
        uid=workload.uid,
        replicas=workload.replicas,
    )


def refusal(workload: Workload) -> Failure | None:
    """Return why a workload must not be stopped."""
    reference = workload.reference
    if workload.unreadable_record:
        damaged = (
            f"{reference} carries an annotation {RECORD_ANNOTATION} that cannot be read; remove it first"
        )
        return Failure(Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER, damaged)
    if workload.record is not None:
        holder = workload.record.by
        held = f"{reference} is held down by {holder.kind} {holder.name}"
        return Failure(Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER, held)
    if workload.owner:
        owned = f"{reference} is owned by {workload.owner}, which would scale it back; name that instead"
        return Failure(Reason.WORKLOAD_OWNED, owned)
    if workload.deletes_claims:
        deleting = (
            f"{reference} has persistentVolumeClaimRetentionPolicy.whenScaled: Delete; "
            "stopping it would delete its data. Set it to Retain first"
        )
        return Failure(Reason.WORKLOAD_DELETES_CLAIMS, deleting)
    if workload.unfit:
        return Failure(Reason.WORKLOAD_NOT_SCALABLE, f"{reference} {workload.unfit}")
    return None


def resolve_claims(world: World, backup: Backup) -> tuple[str, ...]:
    """Return the claims of a Backup, in order.

    Raises:
        RefusalError: There are none, or one cannot be read.
    """
    chosen = selected_claims(world, backup, backup.spec.workloads)
    if not chosen and not _only_dumps(backup):
        raise RefusalError(
            Failure(Reason.NO_CLAIMS, "the workloads mount no claims, or spec.claims leaves none of them")
        )
    claims = tuple(dict.fromkeys(chosen))
    if len(claims) > MOST_CLAIMS:
        many = f"{len(claims)} claims are too many for one Backup: at most {MOST_CLAIMS}"
        raise RefusalError(Failure(Reason.TOO_MANY_CLAIMS, many))
    return claims


def selected_claims(world: World, backup: Backup, workloads: Iterable[WorkloadReference]) -> list[str]:
    """Return the claims that a Backup takes of what some workloads mount, in order."""
    selection = backup.spec.claims
    mounted = [
        claim
        for reference in workloads
        if (workload := world.workloads.get(str(reference)))
        for claim in workload.claims
    ]
    return [claim for claim in _selected(world, selection, mounted) if claim not in selection.exclude]


def refuse_untold_claims(world: World, backup: Backup) -> None:
    """Refuse if a pod is missing of a kind whose claims only its pods tell: those of that pod would be left out.

    Raises:
        RefusalError: With the first of its workloads.
    """
    if backup.spec.claims.names:
        return
    for reference in backup.spec.workloads:
        workload = _existing(world, reference)
        if reference.is_native or workload.scales:
            continue
        there = sum(pod.owner == str(reference) and not pod.ended for pod in world.pods)
        if there < workload.replicas:
            missing = (
                f"only the pods of {reference} tell its claims, and {there} of {workload.replicas} are there; "
                "try again when all are, or name the claims in spec.claims.names"
            )
            raise RefusalError(Failure(Reason.CLAIMS_UNKNOWN, missing))


def refuse_claim_of_repository(world: World, claims: Iterable[str]) -> None:
    """Refuse the claim in which the run's own repository lies: a Restore would begin by deleting all that it holds.

    Raises:
        RefusalError: It is among the claims.
    """
    storage = world.repository.spec.storage.persistent_volume_claim if world.repository else None
    if storage is not None and storage.claim_name in claims:
        itself = f"claim {storage.claim_name} holds the repository itself; leave it out"
        raise RefusalError(Failure(Reason.CLAIM_IN_USE, itself))


def _only_dumps(backup: Backup) -> bool:
    return bool(backup.spec.dumps) and not backup.spec.workloads and not backup.spec.claims.names


def _selected(world: World, selection: ClaimSelection, mounted: Sequence[str]) -> Sequence[str]:
    if selection.names:
        return selection.names
    if selection.selector is None:
        return mounted
    wanted = selection.selector.match_labels.items()
    known = world.claims
    return [name for name in mounted if name in known and wanted <= known[name].labels.items()]


def refuse_unknown_claims(world: World, claims: Iterable[str]) -> None:
    """Refuse claims that do not exist, or that hold no files.

    Raises:
        RefusalError: With the first of them.
    """
    for name in claims:
        if name not in world.claims:
            raise RefusalError(Failure(Reason.CLAIM_NOT_FOUND, f"claim {name} does not exist"))
        if world.claims[name].block:
            raise RefusalError(Failure(Reason.CLAIM_IS_BLOCK_DEVICE, _block(name)))


def _block(claim: str) -> str:
    return (
        f"claim {claim} has volumeMode: Block, and movers read and write files; "
        "leave it out (spec.claims.exclude of a Backup), and let its application write a dump"
    )


def refuse_bad_claims(world: World, claims: Sequence[str]) -> None:
    """Refuse claims that do not exist, hold no files or have no volume.

    Raises:
        RefusalError: With the first of them.
    """
    refuse_unknown_claims(world, claims)
    for name in claims:
        if not world.claims[name].bound:
            raise RefusalError(Failure(Reason.CLAIM_NOT_BOUND, f"claim {name} has no volume yet"))


def refuse_strangers(world: World, claims: frozenset[str], stopped: Iterable[WorkloadReference]) -> None:
    """Refuse if pods mount the claims that the run will not stop.

    Raises:
        RefusalError: With the first of them.
    """
    known = {str(reference) for reference in stopped}
    for pod in world.consumers(claims):
        if pod.owner not in known:
            who = f"pod {pod.name}" + (f" of {pod.owner}" if pod.owner else "")
            which = ", ".join(sorted(claims.intersection(pod.claims)))
            raise RefusalError(
                Failure(Reason.CLAIM_IN_USE, f"{who} mounts {which} and is not among the workloads to stop")
            )


def refuse_running_jobs(
    world: World, claims: frozenset[str], workloads: Iterable[WorkloadStatus], quiesce: Quiesce
) -> None:
    """Refuse if a Job of a CronJob runs on the claims and is not to be waited for.

    Raises:
        RefusalError: With the first of them.
    """
    if quiesce.running_jobs == "Wait":
        return
    cron_jobs = {str(state.reference) for state in workloads if state.reference.resource == "cronjob"}
    for pod in world.consumers(claims):
        if pod.owner in cron_jobs:
            runs = f"a Job of {pod.owner} runs (pod {pod.name}), and quiesce.runningJobs is Refuse"
            raise RefusalError(Failure(Reason.CLAIM_IN_USE, runs))


def node_of(world: World, claim: str) -> str:
    """Return the node where a claim is mounted now, if only one node can mount it."""
    found = world.claims.get(claim)
    if found is None or not found.node_bound:
        return ""
    return next((pod.node for pod in world.pods if claim in pod.claims and pod.node and not pod.ended), "")


def consumers_of(world: World, claims: frozenset[str]) -> list[Workload]:
    """Return the workloads that mount any of the claims, by name: not what another workload has made, but that one."""
    found = (workload for workload in world.workloads.values() if claims.intersection(workload.claims))
    tops = {str(top.reference): top for top in (_top(world, workload) for workload in found)}
    return [tops[name] for name in sorted(tops)]


def _top(world: World, workload: Workload) -> Workload:
    passed = {str(workload.reference)}
    while workload.owner in world.workloads and workload.owner not in passed:
        passed.add(workload.owner)
        workload = world.workloads[workload.owner]
    return workload
