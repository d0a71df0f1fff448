"""`becalm copy`: snapshots from one repository to another, with everything they refer to.

Blobs keep their ids, trees their very bytes. A snapshot is stored once all it refers to is indexed; one that is
there already, by the id it was first stored under, is not copied again. One that refers to what the source has lost
is passed over.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from becalm_engine.commands.edit import first_id, save_edited
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError, StorageError, tells_of_data
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, Node, decode_tree
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import PackRange, load_blob, load_range, ranges_of
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import Writer

_BATCH_BYTES = 1 << 30
_BATCH_SECONDS = 60.0
"""Snapshots are stored in batches, so that small ones share packs; a batch is what an interruption may cost."""
_MOST_WANTED = 200_000
"""So many blobs are looked for before they are copied: each takes some 350 bytes, and snapshots have millions."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A snapshot is being copied."""

    source: StoredSnapshot


@dataclass(frozen=True, slots=True)
class Copied:
    """A snapshot is there; `already` says that it was before."""

    source: StoredSnapshot
    target: StoredSnapshot
    already: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A snapshot refers to something that the source has lost, and is not copied."""

    source: StoredSnapshot
    error: EngineError


class _LostError(Exception):
    """Something of a snapshot is damaged in the source, or gone. Other snapshots may be whole."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Tell what the source has lost from what ends the command: a store that is away or refuses, or the target's."""
    try:
        yield
    except (DamagedError, StorageError) as error:
        if not tells_of_data(error):
            raise
        raise _LostError(error) from error


class Copier:
    """Copies snapshots of `source`, whose index is loaded, to `target`, whose index is loaded too.

    With `broken`, a damaged snapshot of the target is told to it, and is the copy of none.
    """

    def __init__(
        self,
        source: Repository,
        target: Repository,
        progress: Progress,
        *,
        pack_bytes: int,
        broken: Broken | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._pack_bytes = pack_bytes
        self._broken = broken and snapshots.only_damaged(broken)
        self._visited: set[BlobID] = set()

    def copy(self, every: Iterable[StoredSnapshot]) -> Iterator[Begun | Copied | Failed]:
        """Copy snapshots; yield what is done when it is done, and at once what cannot be copied."""
        present = _by_first_id(snapshots.list_snapshots(self._target, broken=self._broken))
        with Writer(self._target, pack_bytes=self._pack_bytes) as writer:
            batch = _Batch()
            for stored in every:
                twin = _twin(stored, present)
                if twin is not None:
                    yield Copied(stored, twin, already=True)
                    continue
                yield Begun(stored)
                try:
                    self._copy_tree(stored.snapshot.tree, writer)
                except _LostError as lost:
                    yield Failed(stored, lost.error)
                    continue
                batch.members.append(stored)
                if batch.is_full(writer):
                    yield from self._save(batch, writer)
                    batch = _Batch(started_bytes=writer.added.stored_bytes)
            yield from self._save(batch, writer)

    def _save(self, batch: "_Batch", writer: Writer) -> Iterator[Copied]:
        if batch.members:
            writer.flush()
        for stored in batch.members:
            self._progress.check()
            changes = {"parent": None, "original": first_id(stored)}
            yield Copied(stored, save_edited(self._source, stored, changes, self._target))

    def _copy_tree(self, root: BlobID, writer: Writer) -> None:
        """Copy every blob below a tree that the target lacks; each tree is looked at once for all snapshots.

        Where that fails the next snapshot looks at each of these trees anew: nobody knows which of them are whole.
        """
        visited: set[BlobID] = set()
        wanted = _Wanted()
        waiting = [root]
        while waiting:
            self._progress.check()
            tree = waiting.pop()
            if tree in visited or tree in self._visited:
                continue
            visited.add(tree)
            for node in self._copied_tree(tree, writer):
                if node.type == DIR and node.subtree is not None:
                    waiting.append(node.subtree)
                self._want(node.content, wanted, writer)
                if len(wanted.blobs) >= _MOST_WANTED:
                    self._copy_data(wanted.ranges(), writer)
                    wanted = _Wanted()
        self._copy_data(wanted.ranges(), writer)
        self._visited |= visited

    def _want(self, blobs: Iterable[BlobID], wanted: "_Wanted", writer: Writer) -> None:
        for blob in blobs:
            if blob not in wanted.blobs and not writer.has(BlobKind.DATA, blob):
                wanted.add(*self._find(blob))

    def _copied_tree(self, tree: BlobID, writer: Writer) -> list[Node]:
        with _reading():
            content = load_blob(self._source, tree)
            try:
                nodes = decode_tree(content)
            except DamagedError as error:
                raise DamagedError(f"tree {tree.hex()}: {error}") from error
        writer.save_as(tree, BlobKind.TREE, content)
        return nodes

    def _find(self, blob: BlobID) -> tuple[PackID, PackedBlob]:
        location = self._source.index.find(blob)
        if location is None:
            raise _LostError(DamagedError(f"blob {blob.hex()} of a file is not in the source repository"))
        return location.pack, location.blob

    def _copy_data(self, ranges: list[PackRange], writer: Writer) -> None:
        def copy_range(wanted: PackRange) -> None:
            for packed, content in self._loaded(wanted):
                self._progress.check()
                writer.save_as(packed.id, BlobKind.DATA, content)
                self._progress.bytes_done += len(content)

        connections = max(2, self._source.storage.connections)
        with ThreadPoolExecutor(connections, thread_name_prefix="copy") as pool:
            for _ in pool.map(copy_range, ranges):
                self._progress.check()

    def _loaded(self, wanted: PackRange) -> Iterator[tuple[PackedBlob, bytes]]:
        with _reading():  # what is done with a blob is not in here, as long as it is only yielded
            yield from load_range(self._source, wanted)


@dataclass(slots=True)
class _Wanted:
    """Blobs that are to be copied next, and the packs that they are in."""

    blobs: set[BlobID] = field(default_factory=set)
    packs: dict[PackID, list[PackedBlob]] = field(default_factory=dict)

    def add(self, pack: PackID, blob: PackedBlob) -> None:
        self.blobs.add(blob.id)
        self.packs.setdefault(pack, []).append(blob)

    def ranges(self) -> list[PackRange]:
        """Return what is to be read."""
        return [one for pack, blobs in self.packs.items() for one in ranges_of(pack, blobs)]


@dataclass(slots=True)
class _Batch:
    """Snapshots whose blobs are under way, and which are stored together."""

    members: list[StoredSnapshot] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    started_bytes: int = 0

    def is_full(self, writer: Writer) -> bool:
        """Say whether enough was copied, or enough time has passed, that it should be kept for good."""
        size = writer.added.stored_bytes - self.started_bytes
        return size >= _BATCH_BYTES or time.monotonic() - self.started > _BATCH_SECONDS


def _by_first_id(every: Iterable[StoredSnapshot]) -> dict[str, list[StoredSnapshot]]:
    found: dict[str, list[StoredSnapshot]] = {}
    for stored in every:
        for name in {stored.name, first_id(stored)}:
            found.setdefault(name, []).append(stored)
    return found


def _twin(stored: StoredSnapshot, present: dict[str, list[StoredSnapshot]]) -> StoredSnapshot | None:
    """Return the snapshot of the target that is this one."""
    key = _identity(stored.snapshot)
    return next((one for one in present.get(first_id(stored), ()) if _identity(one.snapshot) == key), None)


def _identity(snapshot: Snapshot) -> tuple[object, ...]:
    """Return everything about a snapshot but its parent and its history."""
    return (
        snapshot.time_nanos,
        snapshot.tree,
        snapshot.hostname,
        snapshot.username,
        snapshot.uid,
        snapshot.gid,
        snapshot.excludes,
        frozenset(snapshot.paths),
        frozenset(snapshot.tags),
    )
