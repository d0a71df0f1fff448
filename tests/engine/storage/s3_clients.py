"""Storages on the servers of tests."""

from typing import Any

from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage


def opened(url: str, **options: Any) -> S3Storage:
    return S3Storage(S3Location(url, "bucket", "a"), StorageOptions(**options))
