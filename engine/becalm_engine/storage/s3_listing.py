"""What a page of a listing must hold: files that a listing leaves out would pass for files that are not there."""

from collections.abc import Mapping
from typing import Any

from becalm_engine.errors import StorageError, StorageUnavailableError

LISTINGS = {"list_objects_v2": ("NextContinuationToken",), "list_objects": ("NextMarker", "Contents")}
"""The newer listing and the older one, and what each finds its next page by: a token; a marker or the last key."""

_OF_A_LISTING = frozenset(("IsTruncated", "Name", "Prefix", "MaxKeys", "KeyCount", "Contents"))


def refuse_cut_short(page: Mapping[str, Any], listing: str, prefix: str) -> None:
    """Refuse an answer that is no listing, or that says that there is more and not how to get it.

    botocore would take the one for an empty listing, and the other for the last page.

    Raises:
        StorageUnavailableError: It is something else, such as the page of a proxy.
        StorageError: It cannot be continued; a server that knows only the older listing ignores what it is asked.
    """
    if _OF_A_LISTING.isdisjoint(page):
        raise StorageUnavailableError(f"cannot list {prefix}: the answer is no listing")
    if page.get("IsTruncated") and not any(page.get(field) for field in LISTINGS[listing]):
        raise StorageError(
            f"cannot list {prefix}: the server says that there is more, but not how to go on; "
            "if it knows only the older listing, -o s3.list-objects-v1=true asks for that"
        )
