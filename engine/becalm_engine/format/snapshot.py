"""Snapshot documents: a tree, and when, where and by whom it was read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from becalm_engine.errors import DamagedError
from becalm_engine.format import gojson, gotime
from becalm_engine.format.documents import UINT32, number_of, parse_object, text_of, texts_of
from becalm_engine.ids import BlobID, FileID, parse_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One backup. `zone` is the time zone its time was written in: retention counts days in it."""

    time_nanos: int
    tree: BlobID
    paths: tuple[str, ...]
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: FileID | None = None
    original: FileID | None = None
    program_version: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    zone: timezone = timezone.utc  # noqa: UP017  the name is also the type here

    @property
    def local_time(self) -> datetime:
        """The time in the snapshot's own zone, to whole microseconds."""
        seconds, nanos = divmod(self.time_nanos, gotime.NANOS)
        return datetime.fromtimestamp(seconds, self.zone).replace(microsecond=nanos // 1000)

    def has_tags(self, tags: Iterable[str]) -> bool:
        """Say whether it has all of these tags. An empty one stands for having none, and asks for no others then."""
        for tag in tags:
            if not tag and not self.tags:
                return True
            if tag not in self.tags:
                return False
        return True


def to_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the fields of a snapshot in restic's order, empty ones left out."""
    document: dict[str, Any] = {
        "time": gotime.encode_in(snapshot.time_nanos, snapshot.zone),
        "parent": snapshot.parent.hex() if snapshot.parent else None,
        "tree": snapshot.tree.hex(),
        "paths": list(snapshot.paths),
        "hostname": snapshot.hostname,
        "username": snapshot.username,
        "uid": snapshot.uid,
        "gid": snapshot.gid,
        "excludes": list(snapshot.excludes),
        "tags": list(snapshot.tags),
        "original": snapshot.original.hex() if snapshot.original else None,
        "program_version": snapshot.program_version,
        "summary": dict(snapshot.summary),
    }
    return {key: value for key, value in document.items() if value or key == "paths"}


def encode(snapshot: Snapshot) -> bytes:
    """Return the JSON of a snapshot."""
    return gojson.document(to_document(snapshot))


_ORDER = (
    "time", "parent", "tree", "paths", "hostname", "username", "uid", "gid", "excludes", "tags", "original",
    "program_version", "summary",
)  # fmt: skip


def edited(text: bytes, changes: Mapping[str, Any]) -> bytes:
    """Return a snapshot's JSON with some fields set, or left out where they are empty.

    Everything else stays as its writer put it: the zone of the time, by which retention counts days, and
    fields that only other programs know.

    Raises:
        DamagedError: It is not a snapshot.
    """
    document = {**parse_object(text, "snapshot"), **changes}
    kept = {key: value for key, value in document.items() if value or key not in changes or key == "paths"}
    places = {key: place for place, key in enumerate(_ORDER)}
    ordered = {key: kept[key] for key in sorted(kept, key=lambda key: places.get(key, len(places)))}
    encoded = gojson.document(ordered)
    decode(encoded)
    return encoded


def decode(text: bytes) -> Snapshot:
    """Return the snapshot in `text`.

    Raises:
        DamagedError: It is not one.
    """
    document = parse_object(text, "snapshot")
    nanos, zone = gotime.decode_with_zone(document.get("time"))
    summary = document.get("summary") or {}
    if not isinstance(summary, dict):
        raise DamagedError("snapshot: summary is not an object")
    snapshot = Snapshot(
        time_nanos=nanos,
        tree=BlobID(parse_id(document.get("tree"))),
        paths=texts_of(document, "paths", "snapshot"),
        hostname=text_of(document, "hostname", "snapshot", ""),
        username=text_of(document, "username", "snapshot", ""),
        uid=number_of(document, "uid", "snapshot", 0, largest=UINT32),
        gid=number_of(document, "gid", "snapshot", 0, largest=UINT32),
        excludes=texts_of(document, "excludes", "snapshot"),
        tags=texts_of(document, "tags", "snapshot"),
        parent=_optional_id(document, "parent"),
        original=_optional_id(document, "original"),
        program_version=text_of(document, "program_version", "snapshot", ""),
        summary=summary,
        zone=zone,
    )
    try:
        _ = snapshot.local_time
    except (ValueError, OverflowError):
        raise DamagedError(f"snapshot: {document['time']} is outside the calendar") from None
    return snapshot


def _optional_id(document: Mapping[str, Any], key: str) -> FileID | None:
    return FileID(parse_id(document[key])) if document.get(key) else None
