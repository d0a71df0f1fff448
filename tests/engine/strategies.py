"""Hypothesis strategies for the engine's values."""

from datetime import timedelta, timezone

from hypothesis import strategies as st

from becalm_engine.format.crypto import Key
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import CHARDEV, DEV, DIR, FIFO, FILE, SYMLINK, Node
from becalm_engine.ids import BlobID, FileID, PackID

NANOS = 1_000_000_000
DAY = 86400 * NANOS
FIRST_NANOS = -62_167_219_200 * NANOS
LAST_NANOS = 253_402_300_799 * NANOS + NANOS - 1

ids = st.binary(min_size=32, max_size=32)
blob_ids = ids.map(BlobID)
pack_ids = ids.map(PackID)
file_ids = ids.map(FileID)
keys = st.binary(min_size=64, max_size=64).map(Key.from_bytes)
ivs = st.binary(min_size=16, max_size=16)
times = st.integers(FIRST_NANOS, LAST_NANOS)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
sizes = st.integers(0, 2**63 - 1)
names = st.binary(min_size=1, max_size=30)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def replaced_fields(*fields: str) -> st.SearchStrategy[dict[str, object]]:
    """Some fields of a document, each with any JSON value instead of its own."""
    return st.dictionaries(st.sampled_from(fields), json_values, min_size=1, max_size=3)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """A node of any type, with only the fields that its type has."""
    kind = draw(st.sampled_from((FILE, DIR, SYMLINK, DEV, CHARDEV, FIFO)))
    node = Node(
        name=draw(names),
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(times),
        atime=draw(times),
        ctime=draw(times),
        uid=draw(uint32),
        gid=draw(uint32),
        user=draw(texts),
        group=draw(texts),
        inode=draw(uint64),
        device_id=draw(uint64),
        xattrs=tuple(draw(st.lists(st.tuples(texts, st.binary(max_size=10)), max_size=2))),
    )
    if kind == FILE:
        node.size, node.content = draw(sizes), tuple(draw(st.lists(blob_ids, max_size=3)))
    elif kind == DIR:
        node.subtree = draw(blob_ids)
    elif kind == SYMLINK:
        node.link_target = draw(st.binary(max_size=30))
    elif kind in (DEV, CHARDEV):
        node.device = draw(uint64)
    if kind in (FILE, SYMLINK, DEV, CHARDEV):
        node.links = draw(uint32)
    return node


@st.composite
def packed(draw: st.DrawFn) -> list[PackedBlob]:
    """The blobs of one pack, end to end."""
    blobs, offset = [], 0
    for blob in draw(st.lists(blob_ids, max_size=8, unique=True)):
        stored = draw(st.integers(32, 2**20))
        plain = draw(st.just(0) | st.integers(1, 2**32 - 1))
        blobs.append(PackedBlob(blob, draw(st.sampled_from(BlobKind)), offset, stored, plain))
        offset += stored
    return blobs


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))

snapshots = st.builds(
    Snapshot,
    time_nanos=times.filter(lambda nanos: FIRST_NANOS + 400 * DAY < nanos < LAST_NANOS - DAY),
    zone=zones,
    tree=blob_ids,
    paths=st.lists(texts, max_size=3).map(tuple),
    hostname=texts,
    username=texts,
    uid=uint32,
    gid=uint32,
    excludes=st.lists(texts, max_size=2).map(tuple),
    tags=st.lists(texts, max_size=3).map(tuple),
    parent=st.none() | file_ids,
    original=st.none() | file_ids,
    program_version=texts,
    summary=st.dictionaries(st.sampled_from(("files_new", "data_added", "backup_start")), uint32, max_size=3),
)
