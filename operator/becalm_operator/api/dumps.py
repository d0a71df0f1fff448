"""Dumps: applications that write out all they hold by a command of their own, and need not stop for it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from becalm_operator.api.base import Duration, Model, Name, Time

_Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
_Word = Annotated[str, Field(max_length=32768)]
_ONE_SOURCE = "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(x, x)"
_ONE_OBJECT = "[has(self.secretRef), has(self.configMapRef)].exists_one(x, x)"
_FOLDER = "/dumps"
MOST_DUMPS = 16


class KeySelector(Model):
    """One key of a Secret or a ConfigMap of the same namespace."""

    name: Name
    """Its name."""
    key: _Key
    """The key in it."""
    optional: bool = False
    """Whether it may be missing."""


class FieldSelector(Model):
    """One field of the dump's own pod."""

    field_path: Annotated[str, Field(min_length=1, max_length=253)]
    """Its path, as `metadata.namespace`."""


class VariableSource(Model):
    """Where a variable's value comes from: exactly one of these."""

    rules: ClassVar = {_ONE_SOURCE: "name exactly one of secretKeyRef, configMapKeyRef and fieldRef"}
    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""


class Variable(Model):
    """An environment variable. Passwords belong into Secrets: what stands here in the clear, everybody reads."""

    rules: ClassVar = {
        "!(has(self.value) && has(self.valueFrom))": "a variable has value or valueFrom, not both"
    }
    name: Annotated[str, Field(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253)]
    """Its name."""
    value: Annotated[str, Field(max_length=32768)] = ""
    """Its value; `$(NAME)` stands for another variable's."""
    value_from: VariableSource | None = None
    """Where its value comes from."""


class ObjectReference(Model):
    """A Secret or a ConfigMap of the same namespace."""

    name: Name
    """Its name."""
    optional: bool = False
    """Whether it may be missing."""


class Variables(Model):
    """A variable for each key of a Secret or a ConfigMap: exactly one of them."""

    rules: ClassVar = {_ONE_OBJECT: "name exactly one of secretRef and configMapRef"}
    prefix: Annotated[str, Field(max_length=253)] = ""
    """What stands before each key."""
    secret_ref: ObjectReference | None = None
    """A Secret."""
    config_map_ref: ObjectReference | None = None
    """A ConfigMap."""


class DumpContainer(Model):
    """The container that writes the dump to its standard output. It needs `/bin/sh` in its image."""

    image: Annotated[str, Field(min_length=1, max_length=1024)]
    """The image, as a rule the application's own."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is fetched."""
    command: Annotated[tuple[_Word, ...], Field(min_length=1, max_length=64)]
    """The program and its arguments. The image's entry point is not used."""
    args: Annotated[tuple[_Word, ...], Field(max_length=64)] = ()
    """More arguments."""
    env: Annotated[tuple[Variable, ...], Field(max_length=64)] = ()
    """Environment variables."""
    env_from: Annotated[tuple[Variables, ...], Field(max_length=16)] = ()
    """Environment variables from whole Secrets and ConfigMaps."""
    resources: dict[str, Any] | None = None
    """Resource requests and limits, as in a container."""
    security_context: dict[str, Any] | None = None
    """Replaces the container's security context: by default the image's user, no capabilities, no privilege
    escalation."""


class Dump(Model):
    """One file in the repository, at /dumps/NAME/FILENAME, with what a command prints.

    It is taken before anything stops. Anything but exit status 0 fails the run.
    """

    rules: ClassVar = {"self.timeout.matches('[1-9]')": "timeout must be more than 0"}
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
    """Its name; a folder in the repository is called so."""
    filename: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$", max_length=255)]
    """What the file is called."""
    container: DumpContainer
    """What writes it."""
    timeout: Duration = "6h"
    """How long it may take."""

    @property
    def path(self) -> str:
        """Where it lies in its snapshot."""
        return f"{_FOLDER}/{self.name}/{self.filename}"


class DumpStatus(Model):
    """One dump of a run."""

    name: str
    """Its name."""
    path: str
    """Where it lies in its snapshot."""
    tree: str = ""
    """What was captured."""
    taken_at: Time | None = None
    """When it began: what it shows is not older."""
    snapshot_id: Annotated[str, Field(alias="snapshotID")] = ""
    """The snapshot that was written."""
    bytes_processed: int = 0
    """How large it is."""
    bytes_added: int = 0
    """How much was uploaded."""
    error: str = ""
    """What went wrong with it."""


Dumps = Annotated[tuple[Dump, ...], Field(max_length=MOST_DUMPS)]
NAMED_ONCE = "!has(self.dumps) || self.dumps.all(d, self.dumps.exists_one(o, o.name == d.name))"
SOMETHING_TO_DO = (
    "(has(self.workloads) && self.workloads.size() > 0) || (has(self.dumps) && self.dumps.size() > 0)"
)
