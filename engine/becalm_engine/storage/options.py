"""What may be set about a storage beside its location, as restic spells it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from becalm_engine.digits import whole_number
from becalm_engine.errors import UsageError

_LOOKUPS = ("auto", "dns", "path")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_KNOWN = frozenset(
    (
        "local.connections",
        "s3.bucket-lookup",
        "s3.connections",
        "s3.list-objects-v1",
        "s3.region",
        "s3.storage-class",
        "s3.unsafe-anonymous-auth",
    )
)
_ROLE = "RESTIC_AWS_ASSUME_ROLE_"


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A role that is taken on with the credentials that were found; empty texts are left to the service."""

    arn: str
    session_name: str = ""
    external_id: str = ""
    policy: str = ""
    region: str = ""
    sts_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Most matter to S3 only.

    `client_cert_file` holds a certificate and its key; `stuck_seconds` is how long a request may make no
    progress, and `retry_seconds` how long a failing one is repeated. Rates are KiB/s, 0 for no limit.
    """

    region: str = ""
    bucket_lookup: str = "auto"
    storage_class: str = ""
    ca_file: str = ""
    insecure_tls: bool = False
    connections: int = 8
    client_cert_file: str = ""
    anonymous: bool = False
    list_objects_v1: bool = False
    role: AssumedRole | None = None
    stuck_seconds: float = 120.0
    retry_seconds: float = 900.0
    upload_kib: int = 0
    download_kib: int = 0


def parse_options(
    pairs: Mapping[str, str], environment: Mapping[str, str], flags: StorageOptions
) -> StorageOptions:
    """Read restic's `-o s3.…` options and the environment; `flags` is what other flags say.

    Raises:
        UsageError: An option is unknown or has no sensible value.
    """
    unknown = sorted(set(pairs) - _KNOWN)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}; known are {', '.join(sorted(_KNOWN))}")
    lookup = pairs.get("s3.bucket-lookup", "auto")
    if lookup not in _LOOKUPS:
        raise UsageError(f"s3.bucket-lookup={lookup} is none of {', '.join(_LOOKUPS)}")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
    return replace(
        flags,
        region=pairs.get("s3.region", region),
        bucket_lookup=lookup,
        storage_class=pairs.get("s3.storage-class", ""),
        connections=_connections(pairs.get("s3.connections", "8")),
        anonymous=_switch(pairs, "s3.unsafe-anonymous-auth"),
        list_objects_v1=_switch(pairs, "s3.list-objects-v1"),
        role=_role(environment),
    )


def parse_rate(text: str, flag: str) -> int:
    """Read a rate in KiB/s.

    Raises:
        UsageError: It is not a whole number.
    """
    rate = whole_number(text)
    if rate is None:
        raise UsageError(f"{flag} {text} is not a whole number of KiB per second; 0 means no limit")
    return rate


def _connections(text: str) -> int:
    number = whole_number(text)
    if number is None or not 1 <= number <= 256:
        raise UsageError(f"s3.connections={text} is not a number from 1 to 256")
    return number


def _switch(pairs: Mapping[str, str], key: str) -> bool:
    text = pairs.get(key, "false")
    if text.lower() not in _SWITCH:
        raise UsageError(f"{key}={text} is neither true nor false")
    return _SWITCH[text.lower()]


def _role(environment: Mapping[str, str]) -> AssumedRole | None:
    """Return the role that restic's variables name."""
    arn = environment.get(f"{_ROLE}ARN", "")
    if not arn:
        return None
    return AssumedRole(
        arn,
        session_name=environment.get(f"{_ROLE}SESSION_NAME", ""),
        external_id=environment.get(f"{_ROLE}EXTERNAL_ID", ""),
        policy=environment.get(f"{_ROLE}POLICY", ""),
        region=environment.get(f"{_ROLE}REGION", ""),
        sts_endpoint=environment.get(f"{_ROLE}STS_ENDPOINT", ""),
    )
