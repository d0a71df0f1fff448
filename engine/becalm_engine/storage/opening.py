"""Chooses the adapter for a location."""

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

from becalm_engine.storage.base import Storage
from becalm_engine.storage.limits import Limits
from becalm_engine.storage.local import LocalStorage
from becalm_engine.storage.location import parse_location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.retry import RetryingStorage


def open_storage(
    location: str,
    options: StorageOptions,
    *,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Storage:
    """Return the storage at `location`; nothing is contacted yet.

    Once `stop` is set, nothing is retried; `tell` hears of each retry.

    Raises:
        UsageError: The location makes no sense.
    """
    parsed, limits = parse_location(location), Limits.of(options, stop)
    if isinstance(parsed, Path):
        return LocalStorage(parsed, limits)
    # botocore takes a while to import, which a local repository need not pay.
    module = importlib.import_module("becalm_engine.storage.s3")
    storage = cast("Storage", module.S3Storage(parsed, options, limits))
    return RetryingStorage(storage, limit_seconds=options.retry_seconds, stop=stop, tell=tell)
