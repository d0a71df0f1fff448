"""How a pod reaches a repository: environment, volumes, and no secret but by reference."""

from dataclasses import dataclass

from kubernetes.aio.client import (
    V1EnvVar,
    V1EnvVarSource,
    V1KeyToPath,
    V1PersistentVolumeClaimVolumeSource,
    V1SecretKeySelector,
    V1SecretVolumeSource,
    V1Volume,
    V1VolumeMount,
)

from becalm_operator.api.base import SecretKeyReference
from becalm_operator.api.limits import RepositoryLimits
from becalm_operator.api.repository import BackupRepositorySpec, S3Storage

PASSWORD_FILE = "/etc/becalm/password/password"  # noqa: S105  a path
_CA_FILE = "/etc/becalm/ca/ca.crt"
REPOSITORY_FOLDER = "/repository"
_CREDENTIALS = (
    ("AWS_ACCESS_KEY_ID", False),
    ("AWS_SECRET_ACCESS_KEY", False),
    ("AWS_SESSION_TOKEN", True),
)
_LOOKUPS = {"Auto": "auto", "Path": "path", "Virtual": "dns"}


@dataclass(frozen=True, slots=True)
class Access:
    """What a container needs to open a repository. `flags` are the engine's."""

    environment: tuple[V1EnvVar, ...]
    volumes: tuple[V1Volume, ...]
    mounts: tuple[V1VolumeMount, ...]
    flags: tuple[str, ...]


def repository_access(spec: BackupRepositorySpec) -> Access:
    """Return what opens the repository of this spec."""
    password = _secret_volume("password", spec.password_secret_ref, "password")
    environment = [
        V1EnvVar(name="RESTIC_REPOSITORY", value=literal(_location(spec))),
        V1EnvVar(name="RESTIC_PASSWORD_FILE", value=PASSWORD_FILE),
        V1EnvVar(name="RESTIC_COMPRESSION", value=spec.compression),
        V1EnvVar(name="HOME", value="/tmp"),  # noqa: S108  an emptyDir of the pod
    ]
    volumes, flags = [password], _rate_flags(spec.limits)
    mounts = [V1VolumeMount(name="password", mount_path="/etc/becalm/password", read_only=True)]
    if spec.storage.s3:
        environment += _credentials(spec.storage.s3)
        flags += _s3_flags(spec.storage.s3)
        if spec.storage.s3.ca_bundle_ref:
            volumes.append(_secret_volume("ca", spec.storage.s3.ca_bundle_ref, "ca.crt"))
            mounts.append(V1VolumeMount(name="ca", mount_path="/etc/becalm/ca", read_only=True))
            environment.append(V1EnvVar(name="RESTIC_CACERT", value=_CA_FILE))
    elif spec.storage.persistent_volume_claim:
        claim = V1PersistentVolumeClaimVolumeSource(
            claim_name=spec.storage.persistent_volume_claim.claim_name
        )
        volumes.append(V1Volume(name="repository", persistent_volume_claim=claim))
        mounts.append(V1VolumeMount(name="repository", mount_path=REPOSITORY_FOLDER))
    return Access(tuple(environment), tuple(volumes), tuple(mounts), tuple(flags))


def literal(text: str) -> str:
    """Return a text for a command or a variable that the kubelet hands on as it is.

    It puts the container's variables in the place of `$(NAME)`: a pattern of a Backup could spell out credentials.
    """
    return text.replace("$", "$$")


def _location(spec: BackupRepositorySpec) -> str:
    if spec.storage.s3:
        s3 = spec.storage.s3
        path = "/".join(part for part in (s3.bucket, s3.prefix.strip("/")) if part)
        return f"s3:{s3.endpoint or 'https://s3.amazonaws.com'}/{path}"
    claim = spec.storage.persistent_volume_claim
    path = claim.path if claim else ""
    return f"{REPOSITORY_FOLDER}/{path}".rstrip("/")


def _credentials(s3: S3Storage) -> list[V1EnvVar]:
    if s3.credentials_secret_ref is None:
        return []
    return [
        V1EnvVar(
            name=name,
            value_from=V1EnvVarSource(
                secret_key_ref=V1SecretKeySelector(
                    name=s3.credentials_secret_ref.name, key=name, optional=optional
                )
            ),
        )
        for name, optional in _CREDENTIALS
    ]


def _s3_flags(s3: S3Storage) -> list[str]:
    options = {"s3.bucket-lookup": _LOOKUPS[s3.addressing_style]}
    if s3.region:
        options["s3.region"] = s3.region
    if s3.storage_class:
        options["s3.storage-class"] = s3.storage_class
    return [f"--option={key}={value}" for key, value in options.items()]


def _rate_flags(limits: RepositoryLimits) -> list[str]:
    rates = {"upload": limits.upload_kib_per_second, "download": limits.download_kib_per_second}
    return [f"--limit-{way}={rate}" for way, rate in rates.items() if rate is not None]


def _secret_volume(name: str, reference: SecretKeyReference, file: str) -> V1Volume:
    source = V1SecretVolumeSource(
        secret_name=reference.name,
        # 0444: the mover may run as any user; no other container mounts it
        items=[V1KeyToPath(key=reference.key, path=file)],
        default_mode=0o444,
    )
    return V1Volume(name=name, secret=source)
