"""Where a repository is, as restic spells it: a folder, or `s3:…`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from becalm_engine.errors import UsageError

_LOOKUPS = ("auto", "dns", "path")
_AWS_HOSTS = ("s3.amazonaws.com", "amazonaws.com")
_OTHER_SCHEMES = ("sftp", "rest", "swift", "b2", "azure", "gs", "rclone")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and a prefix. `endpoint` is a URL, or empty for AWS itself."""

    endpoint: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        path = "/".join(part for part in (self.bucket, self.prefix) if part)
        return f"s3:{self.endpoint or 'https://s3.amazonaws.com'}/{path}"


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """What may be set about a storage beside its location; most matter to S3 only."""

    region: str = ""
    bucket_lookup: str = "auto"
    storage_class: str = ""
    ca_file: str = ""
    insecure_tls: bool = False
    connections: int = 8


def parse_location(text: str) -> S3Location | Path:
    """Read a repository location.

    Raises:
        UsageError: It is empty, incomplete, or of a kind that becalm does not speak.
    """
    if not text:
        raise UsageError("no repository is named: use --repo or RESTIC_REPOSITORY")
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "s3":
        return _s3(rest)
    if colon and scheme == "local":
        return Path(rest)
    if colon and scheme in _OTHER_SCHEMES:
        raise UsageError(f"repository {scheme}: is not supported; becalm speaks s3: and local folders")
    return Path(text)


def _s3(rest: str) -> S3Location:
    text = rest.removeprefix("//")
    url = urlsplit(text if "://" in text else f"https://{text}")
    if url.username or url.password:
        raise UsageError(
            "an S3 location holds no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    bucket, _, prefix = url.path.strip("/").partition("/")
    if not url.netloc or not bucket:
        raise UsageError(f"s3:{rest} names no bucket; write s3:https://HOST/BUCKET/PREFIX")
    endpoint = "" if url.netloc in _AWS_HOSTS else f"{url.scheme}://{url.netloc}"
    return S3Location(endpoint, bucket, prefix.strip("/"))


def parse_options(
    pairs: Mapping[str, str], *, ca_file: str, insecure_tls: bool, region: str
) -> StorageOptions:
    """Read restic's `-o s3.…` options.

    Raises:
        UsageError: An option is unknown or has no sensible value.
    """
    known = {"s3.region", "s3.bucket-lookup", "s3.storage-class", "s3.connections", "local.connections"}
    unknown = sorted(set(pairs) - known)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}; known are {', '.join(sorted(known))}")
    lookup = pairs.get("s3.bucket-lookup", "auto")
    if lookup not in _LOOKUPS:
        raise UsageError(f"s3.bucket-lookup={lookup} is none of {', '.join(_LOOKUPS)}")
    connections = pairs.get("s3.connections", "8")
    if not connections.isdecimal() or not 1 <= int(connections) <= 256:
        raise UsageError(f"s3.connections={connections} is not a number from 1 to 256")
    return StorageOptions(
        region=pairs.get("s3.region", region),
        bucket_lookup=lookup,
        storage_class=pairs.get("s3.storage-class", ""),
        ca_file=ca_file,
        insecure_tls=insecure_tls,
        connections=int(connections),
    )
