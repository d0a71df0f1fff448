"""Whose mover a pod is. Pure.

Labels say it, and anybody can set those. So a pod is a mover only in a Job that an object of ours controls. A mover of
another run may live on when its run has ended, on a node that hangs: what such a one can write, nobody may read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubernetes.aio.client import V1ObjectMeta, V1OwnerReference, V1Pod

from becalm_operator.api import names
from becalm_operator.manifests.hooks import HOOK

_JOB = ("batch/v1", "Job")


def is_labelled(metadata: V1ObjectMeta) -> bool:
    """Say whether a pod says that it is a mover. A hook's is none: what runs in it is somebody's, and may write."""
    labels = metadata.labels or {}
    mine = labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY and names.OWNER_UID_LABEL in labels
    return mine and labels.get(names.ROLE_LABEL) != HOOK


@dataclass(frozen=True, slots=True)
class Movers:
    """The run that looks, by its UID, and by the UIDs of Jobs those of the objects of ours that control them."""

    run: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Empty for a Job that is nothing of ours."""

    def has(self, metadata: V1ObjectMeta) -> bool:
        """Say whether a pod is a mover, of whatever run.

        One whose Job is gone is, if it says so: the garbage collector deletes Jobs before their pods.
        """
        job = _controller(metadata)
        if job is None or (job.api_version, job.kind) != _JOB or not is_labelled(metadata):
            return False
        owner = (metadata.labels or {})[names.OWNER_UID_LABEL]
        return self.owners.get(job.uid, owner) == owner

    def written(self, pod: V1Pod) -> tuple[str, ...]:
        """Return the claims that a mover may write for no run that looks after it here."""
        assert pod.metadata is not None
        job = _controller(pod.metadata)
        if job is not None and self.run and self.owners.get(job.uid) == self.run:
            return ()
        volumes = (pod.spec.volumes if pod.spec else None) or []
        claims = (volume.persistent_volume_claim for volume in volumes)
        return tuple(dict.fromkeys(one.claim_name for one in claims if one and not one.read_only))


def movers(run: str, jobs: Iterable[V1ObjectMeta]) -> Movers:
    """Return whose the Jobs of a namespace are, by their metadata, for the run that looks."""
    return Movers(run, {job.uid: _owner(job) for job in jobs if job.uid})


def _owner(job: V1ObjectMeta) -> str:
    """Return the UID of the object of ours that controls a Job, or nothing."""
    owner = _controller(job)
    ours = owner is not None and owner.api_version.partition("/")[0] == names.GROUP
    return owner.uid if owner is not None and ours else ""


def _controller(metadata: V1ObjectMeta) -> V1OwnerReference | None:
    return next((owner for owner in metadata.owner_references or () if owner.controller), None)
