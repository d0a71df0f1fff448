"""How objects name workloads of their namespace, and pods by their labels."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from becalm_operator.api.base import Model, Name
from becalm_operator.api.switches import NATIVE, resource_name

WorkloadKind = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)]
ApiVersion = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/v[0-9]+((alpha|beta)[0-9]+)?$", max_length=128)
]


def each_named_once(field: str) -> str:
    """Return the CEL rule that no workload stands twice in a list."""
    version = "(has({0}.apiVersion) ? {0}.apiVersion : '')"
    same = f"o.kind == w.kind && o.name == w.name && {version.format('o')} == {version.format('w')}"
    return f"!has({field}) || {field}.all(w, {field}.exists_one(o, {same}))"


_NATIVE_KINDS = ", ".join(f"'{kind}'" for kind in NATIVE)


class WorkloadReference(Model):
    """Names a workload of the same namespace."""

    rules: ClassVar = {
        f"has(self.apiVersion) || self.kind in [{_NATIVE_KINDS}]": f"only {', '.join(NATIVE)} do without "
        "an apiVersion; DaemonSets, Jobs and pods cannot be stopped"
    }
    api_version: ApiVersion | None = None
    """Its apiVersion. Needed for kinds with a scale subresource other than the four below; the operator has to be told
    of them (`extraKinds` of the chart)."""
    kind: WorkloadKind
    """Deployment, StatefulSet, ReplicaSet, CronJob, or any kind with a scale subresource."""
    name: Name
    """Its name."""

    @model_validator(mode="after")
    def _without_the_obvious(self) -> "WorkloadReference":
        """Name a workload in one way only: who writes `apps/v1` means the same Deployment."""
        if self.api_version is not None and NATIVE.get(self.kind) == self.api_version:
            object.__setattr__(self, "api_version", None)
        return self

    @property
    def resource(self) -> str:
        """Its kind as kubectl takes it."""
        return resource_name(self.kind, self.api_version)

    @property
    def is_native(self) -> bool:
        """Whether becalm knows its kind by itself."""
        return self.kind in NATIVE and self.api_version is None

    def __str__(self) -> str:
        return f"{self.resource}/{self.name}"


class LabelSelector(Model):
    """Picks objects by their labels."""

    match_labels: Annotated[dict[str, str], Field(max_length=16)] = {}
    """All of these must be there."""
