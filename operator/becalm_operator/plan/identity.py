"""As whom the movers of a run read and write, decided before anything stops."""

from collections.abc import Iterable

from becalm_operator.api.backup import VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.identity import Identity
from becalm_operator.api.repository import BackupRepository, Mover
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.world import World

_ROOT_IS_ALLOWED = "privileged"
_OWN = "set mover.securityContext of the repository"


def identified(world: World, volumes: Iterable[VolumeStatus]) -> tuple[VolumeStatus, ...]:
    """Return volumes with who reads each.

    Raises:
        RefusalError: Nobody knows.
    """
    read_as = ((volume, identity_of(world, [volume.claim])) for volume in volumes)
    return tuple(volume.model_copy(update={"identity": identity}) for volume, identity in read_as)


def identity_of(world: World, claims: Iterable[str]) -> Identity | None:
    """Return as whom a mover uses a volume: as the workload that mounts the first of the claims that any mounts.

    None: as root, or as the repository's `mover.securityContext` says.

    Raises:
        RefusalError: It is to be the workload's user, and nothing says who that is.
    """
    repository = world.repository
    assert repository is not None
    if not _inherits(world, repository.spec.mover):
        return None
    if repository.spec.storage.persistent_volume_claim is not None:
        why = _why(world, repository)
        shared = f"movers may not be root here ({why}), and a repository on a claim belongs to one user"
        raise RefusalError(Failure(Reason.MOVER_USER_UNKNOWN, f"{shared}: {_OWN}"))
    wanted = tuple(claims)
    found = next((known for claim in wanted if (known := _known(world, claim))), [])
    if found and found[0].run_as_user is not None and all(one == found[0] for one in found):
        return _allowed(world, repository, found[0])
    who = "they say no runAsUser, or not the same" if found else "no pod mounts it"
    unknown = f"movers of claim {wanted[0]} are to run as the workload's pods ({_why(world, repository)}), but {who}"
    raise RefusalError(
        Failure(Reason.MOVER_USER_UNKNOWN, f"{unknown}: set runAsUser in the pod template, or {_OWN}")
    )


def _inherits(world: World, mover: Mover) -> bool:
    if mover.security_context is not None or mover.privilege == "Root":
        return False
    return mover.privilege == "Inherit" or world.pod_security != _ROOT_IS_ALLOWED


def _why(world: World, repository: BackupRepository) -> str:
    if repository.spec.mover.privilege == "Inherit":
        return f"mover.privilege of repository {repository.metadata.name} is Inherit"
    return f"the namespace enforces the Pod Security Standard {world.pod_security}"


def _known(world: World, claim: str) -> list[Identity]:
    """Return as whom a claim is used: by pods, in which everything is said; else by the templates of workloads."""
    running = [pod.identities[claim] for pod in world.pods if claim in pod.identities and not pod.ours]
    templates = (one.identities for one in world.workloads.values())
    return running or [known[claim] for known in templates if claim in known]


def _allowed(world: World, repository: BackupRepository, identity: Identity) -> Identity:
    if identity.run_as_user == 0 and repository.spec.mover.privilege == "Auto":
        forbidden = f"the pods are root's, which their namespace forbids ({_why(world, repository)})"
        raise RefusalError(Failure(Reason.MOVER_USER_UNKNOWN, f"{forbidden}: {_OWN}"))
    return identity


def what_to_set(world: World, identity: Identity | None) -> str:
    """Say what may help a mover that could not read everything."""
    mover = world.repository.spec.mover if world.repository is not None else Mover()
    if mover.security_context is not None:
        return "the mover runs as mover.securityContext of the repository says: let that be a user who may read them"
    if identity is not None:
        return f"the mover runs as {identity}, like the workload: mover.privilege Root reads all files"
    return "root may not read them, as on NFS with root_squash: mover.privilege Inherit reads as the workload's user"
