"""Where a repository is, as restic spells it: a folder, or `s3:…`. Pure."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from becalm_engine.errors import UsageError

_AWS_HOSTS = ("s3.amazonaws.com", "amazonaws.com")
_AWS_REGION = re.compile(
    r"s3(?:-fips)?(?:\.dualstack)?[.-]([a-z]{2}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?"
)
_BUCKET_HOSTS = ("amazonaws.com", "amazonaws.com.cn", "storage.googleapis.com", "aliyuncs.com")
"""Services that have a host name for each bucket; some know no other way."""
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

    @property
    def region(self) -> str:
        """The region that an endpoint of AWS names, or an empty text."""
        found = _AWS_REGION.fullmatch(self._host)
        return found.group(1) if found else ""

    @property
    def has_bucket_host(self) -> bool:
        """Whether the bucket has a host name of its own, which a certificate of the service fits."""
        known = not self.endpoint or any(
            self._host == host or self._host.endswith(f".{host}") for host in _BUCKET_HOSTS
        )
        return known and "." not in self.bucket

    @property
    def _host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""


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
    is_url = "://" in text
    try:
        url = urlsplit(text if is_url else f"https://{text}")
        port = url.port
    except ValueError:  # its message would show what may hold a password
        raise UsageError(
            "the host of an S3 location makes no sense; write s3:https://HOST:PORT/BUCKET"
        ) from None
    if "@" in url.netloc:
        raise UsageError(
            "an S3 location holds no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    path = unquote(url.path) if is_url else url.path
    bucket, _, prefix = path.strip("/").partition("/")
    if url.scheme not in ("http", "https") or not url.hostname or port == 0 or not bucket:
        raise UsageError(f"s3:{rest} names no bucket; write s3:https://HOST/BUCKET/PREFIX")
    if url.query or url.fragment:
        raise UsageError(f"s3:{rest} has a ? or a #, which prefixes of repositories cannot have")
    endpoint = "" if url.netloc in _AWS_HOSTS else f"{url.scheme}://{url.netloc}"
    return S3Location(endpoint, bucket, posixpath.normpath(prefix).strip("/") if prefix else "")
