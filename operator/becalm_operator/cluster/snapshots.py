"""VolumeSnapshots of an API server, and what making them needs."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    CoreV1Api,
    StorageV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    V1VolumeAttachment,
)

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.cluster import snapshot_views
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.errors import ConflictError, NotFoundError, RefusedError
from becalm_operator.manifests.snapshots import GROUP, VERSION
from becalm_operator.plan.snapshot_world import SnapshotClass, Snapshots, StorageKind
from becalm_operator.plan.steps import DeleteSnapshot, MakeSnapshot
from becalm_operator.plan.world import Claim

_SNAPSHOTS = Place(GROUP, VERSION, "volumesnapshots")
_CLASSES = Place(GROUP, VERSION, "volumesnapshotclasses")
_ATTACHMENTS = Place("storage.k8s.io", "v1", "volumeattachments")
_NOT_THERE = (
    "the cluster has no VolumeSnapshots: install the definitions and the snapshot controller of "
    "kubernetes-csi/external-snapshotter"
)
_NOT_ALLOWED = "the operator may not make VolumeSnapshots; set volumeSnapshots.enabled of its chart"

_log = logging.getLogger(__name__)


class VolumeSnapshots:
    """What of an API server has to do with CSI snapshots."""

    def __init__(self, client: ApiClient, documents: Documents) -> None:
        self._documents = documents
        self._core = CoreV1Api(client)
        self._storage = StorageV1Api(client)
        self._authorization = AuthorizationV1Api(client)

    async def look(self, backup: Backup, claims: Mapping[str, Claim]) -> Snapshots:
        """Return what a Backup has to know of snapshots in its present phase."""
        try:
            if backup.status.phase is Phase.PREFLIGHT:
                return await self._means(backup, claims.values())
            taken = await self._taken(backup)
            attached = frozenset[str]()
            if backup.status.phase is Phase.DRAINING:
                attached = await self._attached(claims.values())
        except NotFoundError:
            return Snapshots(problem=_NOT_THERE)
        except RefusedError as error:
            return Snapshots(problem=f"{_NOT_ALLOWED} ({error})")
        views = [snapshot_views.taken_view(document) for document in taken]
        return Snapshots(taken={view.name: view for view in views}, attached=attached)

    async def _taken(self, backup: Backup) -> Sequence[Document]:
        selector = f"{names.OWNER_UID_LABEL}={backup.metadata.uid}"
        return await self._documents.list(_SNAPSHOTS, backup.metadata.namespace, selector)

    # --- Preflight

    async def _means(self, backup: Backup, claims: Iterable[Claim]) -> Snapshots:
        """Return what can be made snapshots of, and by which classes."""
        found = await self._classes()
        if missing := await self._missing(backup.metadata.namespace):
            return Snapshots(problem=f"{_NOT_ALLOWED} (it lacks {', '.join(missing)})")
        chosen = [claim for claim in claims if claim.volume and _concerns(backup, claim)]
        wanted = {backup.spec.clone_storage_class_name or claim.storage_class for claim in chosen}
        drivers, kinds = await asyncio.gather(self._drivers(chosen), self._kinds(wanted - {""}))
        return Snapshots(classes=found, drivers=drivers, kinds=kinds)

    async def _classes(self) -> tuple[SnapshotClass, ...]:
        documents = await self._documents.list(_CLASSES, "")
        return tuple(snapshot_views.class_view(document) for document in documents)

    async def _missing(self, namespace: str) -> list[str]:
        """Return what will be needed while workloads are down, and is not allowed."""
        needed = [(verb, _SNAPSHOTS, namespace) for verb in ("create", "delete", "list")]
        needed.append(("list", _ATTACHMENTS, ""))
        allowed = await asyncio.gather(*(self._may(*one) for one in needed))
        missing = (one for one, may in zip(needed, allowed, strict=True) if not may)
        return [f"{verb} {place.plural}" for verb, place, _ in missing]

    async def _may(self, verb: str, place: Place, namespace: str) -> bool:
        what = V1ResourceAttributes(group=place.group, resource=place.plural, verb=verb, namespace=namespace)
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=what))
        with translated("asking what the operator may do"):
            answer = await self._authorization.create_self_subject_access_review(
                review, _request_timeout=REQUEST_SECONDS
            )
        return bool(answer.status and answer.status.allowed)

    async def _drivers(self, claims: Sequence[Claim]) -> dict[str, str]:
        found = await asyncio.gather(*(self._driver(claim) for claim in claims))
        return {claim.name: driver for claim, driver in zip(claims, found, strict=True) if driver}

    async def _driver(self, claim: Claim) -> str:
        """Return the CSI driver of a claim's volume; nothing if there is none."""
        try:
            with translated(f"reading the volume of claim {claim.name}"):
                volume = await self._core.read_persistent_volume(
                    claim.volume, _request_timeout=REQUEST_SECONDS
                )
        except NotFoundError:
            return ""
        return volume.spec.csi.driver if volume.spec and volume.spec.csi else ""

    async def _kinds(self, wanted: Iterable[str]) -> dict[str, StorageKind]:
        found = await asyncio.gather(*(self._kind(name) for name in wanted))
        return {name: kind for name, kind in zip(wanted, found, strict=True) if kind}

    async def _kind(self, name: str) -> StorageKind | None:
        try:
            with translated(f"reading StorageClass {name}"):
                found = await self._storage.read_storage_class(name, _request_timeout=REQUEST_SECONDS)
        except NotFoundError:
            return None
        return StorageKind(found.provisioner, retains=found.reclaim_policy == "Retain")

    # --- Draining

    async def _attached(self, claims: Iterable[Claim]) -> frozenset[str]:
        """Return the claims whose volumes are attached to a node."""
        with translated("listing VolumeAttachments"):
            found: Sequence[V1VolumeAttachment] = await all_pages(self._storage.list_volume_attachment)
        volumes = {attachment.spec.source.persistent_volume_name for attachment in found}
        return frozenset(claim.name for claim in claims if claim.volume and claim.volume in volumes)

    # --- writing

    async def apply(self, namespace: str, action: MakeSnapshot | DeleteSnapshot) -> None:
        """Make a VolumeSnapshot, unless one of its name exists, or delete one."""
        if isinstance(action, DeleteSnapshot):
            await self._delete(namespace, action.name)
            return
        with suppress(ConflictError):
            await self._documents.make(_SNAPSHOTS, namespace, action.document)

    async def _delete(self, namespace: str, name: str) -> None:
        """Delete a VolumeSnapshot, if it exists. One that may not be deleted is left to the end of its owner."""
        try:
            await self._documents.delete(_SNAPSHOTS, namespace, name)
        except NotFoundError:
            return
        except RefusedError as error:
            _log.warning("VolumeSnapshot %s/%s is left: %s", namespace, name, error)


def _concerns(backup: Backup, claim: Claim) -> bool:
    """Say whether a claim may be among those of a Backup; which ones are is decided elsewhere."""
    wanted = backup.spec.claims
    return claim.name not in wanted.exclude and (not wanted.names or claim.name in wanted.names)
