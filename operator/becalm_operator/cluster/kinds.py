"""Which kinds can be brought to a standstill, where their objects are, and by which field of them.

Of the native ones that is known. Of the others it is read from the CustomResourceDefinitions that the operator was
told of: what may be stopped has to be found again by the sweep and the watchdog, so it cannot be anything that a Backup
names.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.switches import KEDA_API_VERSION, KEDA_KIND, Form, Switch, dig, resource_name
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError, UnavailableError

_CRDS = Place("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_KEPT_SECONDS = 60.0
"""How long a definition is believed. They are large, and change when somebody upgrades an operator."""

KEDA_PLACE = Place("keda.sh", "v1alpha1", "scaledobjects")
NATIVE_PLACES = {
    "Deployment": Place("apps", "v1", "deployments"),
    "StatefulSet": Place("apps", "v1", "statefulsets"),
    "ReplicaSet": Place("apps", "v1", "replicasets"),
    "CronJob": Place("batch", "v1", "cronjobs"),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScaledKind:
    """A kind with a scale subresource, as its CustomResourceDefinition has it."""

    place: Place
    kind: str
    switch: Switch
    status_path: tuple[str, ...]
    """Where its controller tells how many replicas there are."""
    counts_changes: bool
    """Whether `metadata.generation` counts changes of the spec alone: only with a status subresource."""

    @property
    def api_version(self) -> str:
        """Its apiVersion."""
        return f"{self.place.group}/{self.place.version}"

    @property
    def resource(self) -> str:
        """Its name as kubectl takes it."""
        return resource_name(self.kind, self.api_version)


def scaled_kind(definition: Document) -> ScaledKind:
    """Return what a CustomResourceDefinition says about scaling.

    Raises:
        RefusedError: Its objects have no scale subresource, or belong to no namespace.
    """
    name, spec = definition["metadata"]["name"], definition["spec"]
    if spec.get("scope") != "Namespaced":
        raise RefusedError(f"objects of {name} belong to no namespace")
    version = _version_with_scale(spec["versions"])
    if version is None:
        raise RefusedError(f"{name} has no version that is served with a scale subresource")
    subresources = version["subresources"]
    scale = subresources["scale"]
    return ScaledKind(
        Place(spec["group"], version["name"], spec["names"]["plural"]),
        spec["names"]["kind"],
        Switch(Form.COUNT, _path(scale["specReplicasPath"])),
        _path(scale["statusReplicasPath"]),
        counts_changes="status" in subresources,
    )


def _version_with_scale(versions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the version to use: the stored one if it will do."""
    fit = [one for one in versions if one.get("served") and dig(one, ("subresources", "scale"))]
    return next((one for one in fit if one.get("storage")), fit[0] if fit else None)


def _path(text: str) -> tuple[str, ...]:
    """Return a path like `.spec.replicas` in parts. The API server allows no lists in it."""
    return tuple(text.strip(".").split("."))


def _unknown(name: str, error: Exception) -> RefusedError:
    refused = RefusedError(f"the kind {name} is not known: {error}")
    _log.warning("%s", refused)
    return refused


class Kinds:
    """The kinds beside the native ones. `names` are those of their CustomResourceDefinitions."""

    def __init__(self, documents: Documents, names: tuple[str, ...]) -> None:
        self._documents = documents
        self._names = names
        self._known: dict[str, tuple[float, ScaledKind | RefusedError | None]] = {}
        self._hidden: set[str] = set()
        """Those that are not known because nobody may read them."""

    async def known(self) -> tuple[Sequence[ScaledKind], Sequence[ClusterError]]:
        """Return the kinds, and what keeps others from being known.

        One that has no definition in the cluster has no objects either, so it is no problem.
        """
        answers = await asyncio.gather(*(self._lookup(name) for name in self._names))
        kinds = [one for one in answers if isinstance(one, ScaledKind)]
        return kinds, [one for one in answers if isinstance(one, ClusterError)]

    def hidden(self, resources: Iterable[str]) -> list[str]:
        """Return those of some kinds whose definitions must not be read, as far as the group tells."""
        groups = {name.partition(".")[2] for name in self._hidden}
        return sorted(one for one in resources if one.partition(".")[2] in groups)

    async def _lookup(self, name: str) -> ScaledKind | ClusterError | None:
        """Return a kind, or why it is not known; None if there is none."""
        now = asyncio.get_running_loop().time()
        since, before = self._known.get(name, (now, None))
        if name in self._known and now - since < _KEPT_SECONDS:
            return before
        try:
            found = await self._read(name)
            self._hidden.discard(name)
        except UnavailableError as error:
            return before or error
        except ClusterError as error:  # what was known is believed, for this may pass
            found = before if isinstance(before, ScaledKind) else self._hide(name, error)
        self._known[name] = (now, found)
        return found

    def _hide(self, name: str, error: ClusterError) -> RefusedError:
        self._hidden.add(name)
        return _unknown(name, error)

    async def _read(self, name: str) -> ScaledKind | RefusedError | None:
        """Return what a definition says, also if that is of no use; None if there is none.

        Raises:
            ClusterError: It cannot be read.
        """
        try:
            definition = await self._documents.read(_CRDS, name)
        except NotFoundError:
            return None
        try:
            return scaled_kind(definition)
        except (RefusedError, LookupError, TypeError, AttributeError) as error:
            return _unknown(name, error)

    async def place_of(self, reference: WorkloadReference) -> Place:
        """Return where the objects of a workload's kind are.

        Raises:
            RefusedError: Nobody has told of that kind.
        """
        if reference.is_native:
            return NATIVE_PLACES[reference.kind]
        if (reference.kind, reference.api_version) == (KEDA_KIND, KEDA_API_VERSION):
            return KEDA_PLACE
        kinds, problems = await self.known()
        found = next((kind.place for kind in kinds if kind.resource == reference.resource), None)
        if found is None:
            raise RefusedError(
                "; ".join([f"{reference} is of a kind that is not known", *map(str, problems)])
            )
        return found
