"""What the API server in memory holds, and how objects of ours are made, changed and deleted there."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from becalm_operator.api.backup import Backup, WorkloadReference
from becalm_operator.api.base import Model, told
from becalm_operator.cluster.port import Key, R, Resource
from becalm_operator.cluster.unmade import Unmade
from becalm_operator.errors import ConflictError, NotFoundError, RefusedError
from becalm_operator.plan.steps import Event
from tests.operator.fake.movers import WELL, Store
from tests.operator.fake.objects import (
    Script,
    StoredClaim,
    StoredHooks,
    StoredJob,
    StoredPod,
    StoredSnapshot,
    StoredWorkload,
)

BEGIN = datetime(2026, 11, 27, 3, tzinfo=UTC)
Place = tuple[str, str]
"""A namespace and a name; for workloads, the name is kind/name."""

_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


class State:
    """All objects of the cluster. Time is a value of it: only `tick` moves it."""

    def __init__(self, now: datetime = BEGIN) -> None:
        self.now = now
        self.resources: dict[Key, Resource] = {}
        self.workloads: dict[Place, StoredWorkload] = {}
        self.claims: dict[Place, StoredClaim] = {}
        self.pods: dict[Place, StoredPod] = {}
        self.jobs: dict[Place, StoredJob] = {}
        self.snapshots: dict[Place, StoredSnapshot] = {}
        self.no_snapshots = ""
        """Why there are no VolumeSnapshots in this cluster."""
        self.no_attachments = ""
        """Why nobody may see which volumes nodes have."""
        self.events: list[tuple[str, Event]] = []
        self.unmade = Unmade()
        """What this process of the operator knows of Jobs that were refused."""
        self.store = Store()
        self.scripts: dict[str, Script] = {}
        """By role, by role/claim, or by a Job's name."""
        self.held_pods: set[str] = set()
        """Workloads, as kind/name, whose pods do not end."""
        self.pod_security: dict[str, str] = {}
        """The Pod Security Standard that a namespace enforces."""
        self.terminating: set[str] = set()
        """Namespaces that are being deleted: nothing new is made there."""
        self.hooks = StoredHooks()
        self.rivals: list[Callable[[State], None]] = []
        """Other controllers, which do as they like once a tick."""
        self.version = 0
        self.watched = 0
        """Grows with each change that the operator's watches would tell of."""

    def next_version(self, *, watched: bool = True) -> int:
        """Return a new resourceVersion."""
        self.version += 1
        self.watched += watched
        return self.version

    def new_uid(self) -> str:
        """Return a UID that nothing has had."""
        return f"uid-{self.next_version()}"

    def script_of(self, role: str, claim: str, name: str) -> Script:
        """Return how a Job fares that is made now."""
        keys = (name, f"{role}/{claim}", role)
        return next((self.scripts[key] for key in keys if key in self.scripts), WELL)

    # --- objects of ours

    def make(self, resource: R) -> R:
        """Make an object, as `kubectl create` does."""
        key = key_of(resource)
        if key in self.resources:
            raise ConflictError(f"{key} exists already")
        refuse_bad_labels(resource.metadata.labels)
        metadata = resource.metadata.model_copy(
            update={
                "uid": self.new_uid(),
                "generation": 1,
                "creation_timestamp": self.now,
                "resource_version": str(self.next_version()),
            }
        )
        fresh = type(resource).model_validate(
            {**_document(resource), "metadata": _document(metadata), "status": {}}
        )
        self.resources[key] = fresh
        return fresh

    def delete(self, key: Key) -> None:
        """Delete an object: at once, or when the last finalizer is gone."""
        resource = self.resources.get(key)
        if resource is None:
            raise NotFoundError(f"{key} does not exist")
        if resource.metadata.deletion_timestamp is None:
            self.alter(resource, deletion_timestamp=self.now)

    def fresh(self, resource: R) -> R:
        """Return what is stored of an object, if it is the version that the caller has seen."""
        key = key_of(resource)
        stored = self.resources.get(key)
        if stored is None:
            raise NotFoundError(f"{key} does not exist")
        assert isinstance(stored, type(resource))
        if stored.metadata.resource_version != resource.metadata.resource_version:
            raise ConflictError(f"{key} has changed since it was read")
        return stored

    def change(self, resource: R, *, status: Model | None = None, **metadata: Any) -> R:
        """Store an object anew; one that was deleted and that nobody keeps is gone."""
        changed = self.alter(resource, status=status, **metadata)
        assert isinstance(changed, type(resource))
        return changed

    def alter(self, resource: Resource, *, status: Model | None = None, **metadata: Any) -> Resource:
        """Do what `change` does, for an object of any kind."""
        updates: dict[str, Any] = {"status": _read_back(resource, status)} if status is not None else {}
        if all(getattr(resource.metadata, name) == value for name, value in metadata.items()) and all(
            getattr(resource, name) == value for name, value in updates.items()
        ):
            return resource  # the API server gives no new version to what is the same
        metadata["resource_version"] = str(self.next_version())
        updates["metadata"] = resource.metadata.model_copy(update=metadata)
        changed = resource.model_copy(update=updates)
        self.resources[key_of(resource)] = changed
        if changed.metadata.deletion_timestamp and not changed.metadata.finalizers:
            del self.resources[key_of(resource)]
        return changed

    # --- workloads

    def workload(self, namespace: str, reference: WorkloadReference) -> StoredWorkload:
        """Return a workload, or say that it does not exist."""
        found = self.workloads.get((namespace, str(reference)))
        if found is None:
            raise NotFoundError(f"{reference} does not exist")
        return found

    def touched(self, workload: StoredWorkload, *, spec: bool) -> None:
        """Give a workload the version of a change."""
        workload.resource_version = self.next_version()
        workload.generation += spec


def key_of(resource: Resource) -> Key:
    """Return the key of an object of ours."""
    return Key(resource.kind, resource.metadata.namespace, resource.metadata.name)


def refuse_bad_labels(labels: dict[str, str]) -> None:
    """Refuse labels that an API server does not take."""
    for key, value in labels.items():
        if not _LABEL_VALUE.fullmatch(value):
            raise RefusedError(f"label {key}={value!r} is not valid")


def _document(model: Model) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _read_back(resource: Resource, status: Model) -> Model:
    """Return a status as it comes back from the API server, which also checks it by the CRD."""
    kind = type(resource.status)
    try:
        return kind.model_validate(told(status))
    except ValidationError as error:
        raise RefusedError(f"the status of {key_of(resource)} is not valid: {error}") from error


def owner_uids(resource: Resource) -> set[str]:
    """Return the UIDs of those whose end is the object's end."""
    return {str(owner.get("uid")) for owner in resource.metadata.owner_references}


def backups_in(state: State, namespace: str) -> list[Backup]:
    """Return the Backups of a namespace."""
    found = [one for one in state.resources.values() if isinstance(one, Backup)]
    return [one for one in found if one.metadata.namespace == namespace]
