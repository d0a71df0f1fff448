"""BackupRepository: where backups lie, and how they are opened."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from becalm_operator.api.base import LocalReference, Metadata, Model, Name, SecretKeyReference, Time
from becalm_operator.api.conditions import Condition
from becalm_operator.api.limits import RepositoryLimits

_OneStorage = "[has(self.s3), has(self.persistentVolumeClaim)].exists_one(x, x)"


class CertificatesReference(SecretKeyReference):
    """Names the key of a Secret that holds certificates."""

    key: Annotated[str, Field(min_length=1, max_length=253)] = "ca.crt"
    """The key in it."""


class S3Storage(Model):
    """A bucket of an S3 server."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/@ ]+$", max_length=253)] | None = None
    """URL of the server; absent for AWS."""
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][-._A-Za-z0-9]+$", min_length=3, max_length=63)]
    """The bucket."""
    prefix: Annotated[str, Field(max_length=512)] = ""
    """A path in the bucket; repositories of several tenants need one each."""
    region: Annotated[str, Field(max_length=64)] = ""
    """The region, if the server wants one."""
    addressing_style: Literal["Auto", "Path", "Virtual"] = "Auto"
    """How the bucket is named in requests."""
    storage_class: Annotated[str, Field(max_length=64)] = ""
    """Storage class of packs, which are nearly all of the data."""
    credentials_secret_ref: LocalReference | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if there is one; absent for the
    identity of the mover's service account."""
    ca_bundle_ref: CertificatesReference | None = None
    """Secret and key with the certificates to trust."""


class ClaimStorage(Model):
    """A claim of the same namespace: enough for a first try, and lost with the cluster."""

    claim_name: Name
    """The claim."""
    path: Annotated[str, Field(max_length=512, pattern=r"^[^/.][^/]*(/[^/.][^/]*)*$|^$")] = ""
    """A folder in it."""


class Storage(Model):
    """Where the repository lies: exactly one of these."""

    rules: ClassVar = {_OneStorage: "name exactly one of s3 and persistentVolumeClaim"}
    s3: S3Storage | None = None
    """An S3 bucket."""
    persistent_volume_claim: ClaimStorage | None = None
    """A claim of the same namespace."""


class Mover(Model):
    """What the pods that read and write volumes look like."""

    resources: dict[str, Any] | None = None
    """Resource requests and limits, as in a container."""
    node_selector: Annotated[dict[str, str], Field(max_length=32)] = {}
    """Labels of nodes that may run movers."""
    tolerations: Annotated[tuple[dict[str, Any], ...], Field(max_length=32)] = ()
    """Tolerations, as in a pod."""
    service_account_name: Annotated[str, Field(max_length=253)] = ""
    """Service account whose identity the store knows; no token of it is mounted by becalm."""
    privilege: Literal["Auto", "Inherit", "Root"] = "Auto"
    """As whom volumes are read and written. Root: with the capabilities of the task, so that nothing is left out.
    Inherit: as the user and groups of the pods that mount the volume, without capabilities. Auto: Root, unless the
    namespace enforces the Pod Security Standard baseline or restricted, which forbid it; then Inherit."""
    security_context: dict[str, Any] | None = None
    """Replaces the container's security context, whatever privilege says."""
    pod_labels: Annotated[dict[str, str], Field(max_length=32)] = {}
    """More labels for the pods."""
    pod_annotations: Annotated[dict[str, str], Field(max_length=32)] = {}
    """More annotations for the pods."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """Their priority class."""
    active_deadline_seconds: Annotated[int, Field(ge=60)] | None = None
    """How long a mover of a Backup may take in all, waiting and reading, until Kubernetes ends it, operator or not. By
    default what a run itself allows it; nothing bounds one that reads while nothing is down, for a first upload may
    take days."""


class BackupRepositorySpec(Model):
    """A repository in restic's format."""

    storage: Storage
    """Where it lies."""
    password_secret_ref: SecretKeyReference
    """Secret and key with the password. Without it nothing can be read, by anybody."""
    create: bool = True
    """Make the repository if the place is empty. Never over something else, and never again once
    status.repositoryID is known."""
    compression: Literal["auto", "off", "fastest", "better", "max"] = "auto"
    """How hard to compress."""
    limits: RepositoryLimits = RepositoryLimits()
    """What movers may take."""
    mover: Mover = Mover()
    """What the pods look like that open the repository."""


class BackupRepositoryStatus(Model):
    """What is known of a repository."""

    observed_generation: int = 0
    """The generation that the rest is about."""
    conditions: tuple[Condition, ...] = ()
    """Ready, and why not."""
    repository_id: Annotated[str, Field(alias="repositoryID")] = ""
    """The repository's own id, pinned when it was first opened."""
    last_probe_time: Time | None = None
    """When it was last opened."""
    probe: int = 0
    """The number of the newest probe; it names the probe's Jobs."""
    probing: bool = False
    """Whether that probe goes on."""
    failures: int = 0
    """How many probes in a row have failed."""
    handled_request: str = ""
    """The value of the annotation becalm.dev/probe-requested-at that was acted on last."""


class BackupRepository(Model):
    """A place for backups."""

    kind: ClassVar = "BackupRepository"
    plural: ClassVar = "backuprepositories"
    spec_rules: ClassVar[dict[str, str]] = {}
    metadata: Metadata
    spec: BackupRepositorySpec
    status: BackupRepositoryStatus = BackupRepositoryStatus()
