"""Saving blobs: compressed, sealed and packed by the calling thread, uploaded by others.

The order of writes is the contract: packs, then index files that list them, and only then what refers to them.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from becalm_engine.errors import EngineError, InternalError
from becalm_engine.format import index_file
from becalm_engine.format.compression import Compression
from becalm_engine.format.crypto import IV_BYTES, OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob, decode_header, encode_header
from becalm_engine.ids import BlobID, Buffer, PackID, blob_id, stored_id
from becalm_engine.repository.claims import Claims
from becalm_engine.repository.packer import OpenPack, Packer
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

MIB = 1024 * 1024
DEFAULT_PACK_BYTES = 16 * MIB
_TREE_PACK_BYTES = 8 * MIB
_FULL_INDEX_BLOBS = 50_000
_MOST_UPLOADS = 4
_SMALL = 4
"""A part of a full pack that is worth one of its own, where several processes leave one each."""
_INDEX_SECONDS = 300.0
"""What is not indexed is lost to the next run if this one is killed."""


@dataclass(slots=True)
class Added:
    """What a run added to the repository. Bytes are before and after compression."""

    data_blobs: int = 0
    tree_blobs: int = 0
    plain_bytes: int = 0
    stored_bytes: int = 0

    def add(self, other: "Added") -> None:
        """Add what another writer has added."""
        self.data_blobs += other.data_blobs
        self.tree_blobs += other.tree_blobs
        self.plain_bytes += other.plain_bytes
        self.stored_bytes += other.stored_bytes


OpenedPack = tuple[bytes, bytes]
"""A pack that is not uploaded: its header's plaintext, and its sealed blobs."""


class Writer:
    """Adds blobs to a repository. `save` may be called from several threads.

    Leaving the block without an error uploads and indexes everything. Leaving it with one does the same as
    far as it is possible, so that the next run finds what this one has uploaded. `indexes` are the index files
    that were written. `claims` are set before other processes share them.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        pack_bytes: int = DEFAULT_PACK_BYTES,
        claims: Claims | None = None,
        most_waiting: int = 0,
    ) -> None:
        self.added = Added()
        self.indexes: list[str] = []
        self.claims = claims
        self._pack_bytes = pack_bytes
        self._repository = repository
        self._changing = threading.Lock()
        self._indexing = threading.Lock()
        self._pending: set[tuple[BlobKind, BlobID]] = set()
        self._unindexed: list[tuple[PackID, list[PackedBlob]]] = []
        self._indexed_at = time.monotonic()
        self._failed: EngineError | None = None
        connections = repository.storage.connections
        self._uploads = ThreadPoolExecutor(connections, thread_name_prefix="upload")
        # What waits for an upload is memory: as many packs as can be under way, and one more.
        self._room = threading.BoundedSemaphore(most_waiting or min(connections, _MOST_UPLOADS) + 1)
        self._packers = {
            BlobKind.DATA: Packer(BlobKind.DATA, pack_bytes),
            BlobKind.TREE: Packer(BlobKind.TREE, min(pack_bytes, _TREE_PACK_BYTES)),
        }

    def save(self, kind: BlobKind, content: Buffer) -> BlobID:
        """Store a blob unless the repository has it; return its id.

        Raises:
            StorageError: An earlier upload failed for good.
        """
        blob = blob_id(content)
        self.save_as(blob, kind, content)
        return blob

    def save_as(self, blob: BlobID, kind: BlobKind, content: Buffer) -> bool:
        """Store a blob whose id is known; say whether it is new to the repository."""
        self.check()
        with self._changing:
            is_new = self._takes(kind, blob)
        if is_new:
            with self._owed():
                self._pack(blob, kind, content)
        return is_new

    def has(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether the repository has a blob, or will have it by what was given to this writer."""
        return (kind, blob) in self._pending or self._repository.index.holds(kind, blob)

    def save_all(self, kind: BlobKind, contents: Sequence[bytes]) -> list[BlobID]:
        """Store many small blobs in one go, those that the repository has not; return the ids of all.

        Raises:
            StorageError: An earlier upload failed for good.
        """
        self.check()
        blobs = [blob_id(content) for content in contents]
        pairs, takes = zip(blobs, contents, strict=True), self._takes
        with self._owed():
            with self._changing:
                new = [pair for pair in pairs if takes(kind, pair[0])]
            if new:
                self._pack_all(kind, new)
        return blobs

    def put(self, blob: BlobID, kind: BlobKind, content: Buffer) -> None:
        """Store a blob whose id is known, also if the repository has it; compressed also if that gains nothing."""
        self.check()
        with self._owed():
            self._pack(blob, kind, content, sample=False)

    def put_sealed(self, packed: PackedBlob, sealed: Buffer) -> None:
        """Store a blob as it lies in another pack, also if the repository has it."""
        self.check()
        with self._changing:
            self._count(packed.kind, packed.content_bytes, len(sealed))
        self._put(packed, sealed)

    def _put(self, packed: PackedBlob, sealed: Buffer) -> None:
        with self._owed():
            with self._changing:
                pack, place = self._packers[packed.kind].reserve(packed.id, len(sealed), packed.plain_bytes)
            place[:] = sealed
            self._filled(packed.kind, (pack,))

    def hand_over(self) -> list[OpenedPack]:
        """Upload what is open, but give away what would make a small pack: for `take` of another writer."""
        given = []
        for kind, packer in self._packers.items():
            with self._changing:
                packs = packer.flush()
            for pack in packs:
                if pack.size_bytes >= self._pack_bytes // _SMALL:
                    self._upload(kind, pack)
                else:
                    given.append(
                        (encode_header(pack.blobs), bytes(memoryview(pack.buffer)[: pack.size_bytes]))
                    )
        return given

    def take(self, packs: Iterable[OpenedPack]) -> None:
        """Store what another writer has handed over, and counted."""
        for header, content in packs:
            for blob in decode_header(header):
                self._put(blob, memoryview(content)[blob.offset : blob.offset + blob.stored_bytes])

    def check(self) -> None:
        """Raise what an upload failed with."""
        if self._failed is not None:
            raise self._failed

    def flush(self) -> None:
        """Upload what is open, wait for all uploads, and write the index of them."""
        with self._changing:
            packs = [(kind, pack) for kind, packer in self._packers.items() for pack in packer.flush()]
        for kind, pack in packs:
            self._upload(kind, pack)
        self._uploads.shutdown(wait=True)
        self._uploads = ThreadPoolExecutor(self._repository.storage.connections, thread_name_prefix="upload")
        self._save_index()
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        except EngineError:
            if error is None:
                raise
        finally:
            self._uploads.shutdown(wait=True)

    def _takes(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether this writer is to store a blob that it was given, and note that it is about to."""
        key = kind, blob
        if key in self._pending or self._repository.index.holds(kind, blob):
            return False
        if self.claims is not None and not self.claims.claim(kind, blob):
            return False
        self._pending.add(key)
        return True

    @contextlib.contextmanager
    def _owed(self) -> Iterator[None]:
        """Store what is taken. If that fails, so does all that comes: others were told that it is stored."""
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        """Note why not all can be stored; the first reason is told."""
        if self._failed is None:
            unforeseen = InternalError(f"internal error: not all could be stored: {error!r}")
            self._failed = error if isinstance(error, EngineError) else unforeseen

    def _pack(self, blob: BlobID, kind: BlobKind, content: Buffer, *, sample: bool = True) -> None:
        """Compress a blob, and seal it into its place."""
        [(packed, stated_bytes)] = self._compressed((content,), sample=sample)
        stored_bytes = len(packed) + OVERHEAD_BYTES
        with self._changing:
            self._count(kind, len(content), stored_bytes)
            pack, place = self._packers[kind].reserve(blob, stored_bytes, stated_bytes)
        self._repository.envelope.seal_into(packed, place, iv=secrets.token_bytes(IV_BYTES))
        self._filled(kind, (pack,))

    def _pack_all(self, kind: BlobKind, pairs: list[tuple[BlobID, bytes]]) -> None:
        """Compress blobs, and seal them into their places."""
        compressed = self._compressed([content for _, content in pairs], sample=False)
        reserve, places = self._packers[kind].reserve, []
        with self._changing:
            for (blob, content), (packed, stated_bytes) in zip(pairs, compressed, strict=True):
                stored_bytes = len(packed) + OVERHEAD_BYTES
                self._count(kind, len(content), stored_bytes)
                places.append(reserve(blob, stored_bytes, stated_bytes))
        self._repository.envelope.seal_each(
            [(packed, place) for (packed, _), (_, place) in zip(compressed, places, strict=True)],
            ivs=secrets.token_bytes(IV_BYTES * len(pairs)),
        )
        self._filled(kind, [pack for pack, _ in places])

    def _compressed(self, contents: Iterable[Buffer], *, sample: bool = True) -> list[tuple[Buffer, int]]:
        """Return contents as they are sealed, and the plain length to be stated: 0 for what is not compressed."""
        if self._repository.compression is Compression.OFF:
            return [(content, 0) for content in contents]
        sample = sample and self._repository.compression.samples
        compress, gains = self._repository.codec.compress, self._repository.codec.seems_to_gain
        return [
            (compress(content), len(content)) if content and (not sample or gains(content)) else (content, 0)
            for content in contents
        ]

    def _filled(self, kind: BlobKind, packs: Iterable[OpenPack]) -> None:
        """Note that a place was filled in each of these packs; upload those that are complete."""
        filled = self._packers[kind].filled
        with self._changing:
            complete = [pack for pack in packs if filled(pack)]
        for pack in complete:
            self._upload(kind, pack)

    def _count(self, kind: BlobKind, plain_bytes: int, stored_bytes: int) -> None:
        if kind is BlobKind.TREE:
            self.added.tree_blobs += 1
        else:
            self.added.data_blobs += 1
        self.added.plain_bytes += plain_bytes
        self.added.stored_bytes += stored_bytes

    def _upload(self, kind: BlobKind, pack: OpenPack) -> None:
        """Hand a full pack to an uploading thread; waits while too many are under way."""
        self._room.acquire()
        try:
            self._uploads.submit(self._uploaded, kind, pack).add_done_callback(self._finished)
        except BaseException:
            self._room.release()
            raise

    def _uploaded(self, kind: BlobKind, pack: OpenPack) -> None:
        if self._failed is not None:
            return
        data = pack.finish(self._repository.envelope)
        name = PackID(stored_id(data))
        self._repository.storage.save(FileKind.PACK, name.hex(), data)
        self._packers[kind].give_back(pack)
        self._uploaded_pack(name, pack.blobs)

    def _uploaded_pack(self, name: PackID, blobs: list[PackedBlob]) -> None:
        with self._indexing:
            # claims tell as well that a blob is stored, and the index would take more memory for it
            if self.claims is None or self.claims.take_missed(blob.id for blob in blobs):
                self._repository.index.add(name, blobs)
            self._unindexed.append((name, blobs))
            self._pending.difference_update([(blob.kind, blob.id) for blob in blobs])
            full = sum(len(listed) for _, listed in self._unindexed) >= _FULL_INDEX_BLOBS
            full = full or time.monotonic() - self._indexed_at > _INDEX_SECONDS
        if full:
            self._save_index()

    def _finished(self, upload: "Future[None]") -> None:
        self._room.release()
        error = upload.exception()
        if error is not None:
            self._fail(error)

    def _save_index(self) -> None:
        with self._indexing:
            packs, self._unindexed = self._unindexed, []
            self._indexed_at = time.monotonic()
        if packs:
            self.indexes.append(self._repository.publish_document(FileKind.INDEX, index_file.encode(packs)))
