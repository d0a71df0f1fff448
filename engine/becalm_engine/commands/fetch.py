"""Blobs in the order in which they are written out, fetched ahead of it by several threads.

Neighbours in a pack are read in one go: a folder of small files would otherwise cost a request for each.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError
from becalm_engine.format.pack import PackedBlob
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.repository.reader import PackRange, load_range, ranges_of
from becalm_engine.repository.repository import Repository

T = TypeVar("T")

_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_PARTS = 2000
_BATCHES_AHEAD = 2
_ZERO_BLOCK_ID = blob_id(ZERO_BLOCK)


@dataclass(slots=True)
class _Batch(Generic[T]):
    """A stretch of the output: its parts in order, and the blobs among them, which are fetched together."""

    parts: "list[BlobID | T]" = field(default_factory=list)
    packs: dict[PackID, dict[BlobID, PackedBlob]] = field(default_factory=dict)
    size_bytes: int = 0
    reads: "list[Future[dict[BlobID, bytes]]]" = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether it is time to fetch it."""
        return self.size_bytes >= _BATCH_BYTES or len(self.parts) >= _BATCH_PARTS

    def add(self, repository: Repository, part: "BlobID | T") -> None:
        """Add a part; a blob is fetched once, however often it occurs."""
        self.parts.append(part)
        if (
            isinstance(part, bytes) and part != _ZERO_BLOCK_ID
        ):  # a hole of a gigabyte is that block two thousand times
            blob = BlobID(part)
            location = repository.index.find(blob)
            if location is None:
                raise DamagedError(f"blob {blob.hex()} is in no index")
            wanted = self.packs.setdefault(location.pack, {})
            if blob not in wanted:
                wanted[blob] = location.blob
                self.size_bytes += location.blob.content_bytes

    def begin(self, repository: Repository, pool: ThreadPoolExecutor) -> None:
        """Have the blobs fetched."""
        for pack, blobs in self.packs.items():
            for wanted in ranges_of(pack, blobs.values()):
                self.reads.append(pool.submit(_loaded, repository, wanted))

    def ended(self) -> "Iterator[bytes | T]":
        """Yield the parts with their contents, waiting for them."""
        contents = {_ZERO_BLOCK_ID: ZERO_BLOCK}
        for read in self.reads:
            contents |= read.result()
        for part in self.parts:
            yield contents[BlobID(part)] if isinstance(part, bytes) else part


def _loaded(repository: Repository, wanted: PackRange) -> dict[BlobID, bytes]:
    return {packed.id: content for packed, content in load_range(repository, wanted)}


def fetched(
    repository: Repository, parts: "Iterable[BlobID | T]", progress: Progress
) -> "Iterator[bytes | T]":
    """Yield the parts in their order, and for each id of a blob its content.

    Raises:
        DamagedError: A blob is missing or damaged.
    """
    pool = ThreadPoolExecutor(max(2, repository.storage.connections), thread_name_prefix="fetch")
    ahead: deque[_Batch[T]] = deque()
    try:
        for batch in _batches(repository, parts, progress):
            batch.begin(repository, pool)
            ahead.append(batch)
            if len(ahead) > _BATCHES_AHEAD:
                yield from ahead.popleft().ended()
        while ahead:
            progress.check()
            yield from ahead.popleft().ended()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(
    repository: Repository, parts: "Iterable[BlobID | T]", progress: Progress
) -> "Iterator[_Batch[T]]":
    batch: _Batch[T] = _Batch()
    for part in parts:
        progress.check()
        batch.add(repository, part)
        if batch.is_full:
            yield batch
            batch = _Batch()
    yield batch


def refuse_wrong_size(repository: Repository, node: Node, shown: str) -> None:
    """See that a file's blobs are there and have together the size that it states.

    Raises:
        DamagedError: They have not.
    """
    size = 0
    for blob in node.content:
        location = repository.index.find(blob)
        if location is None:
            raise DamagedError(f"{shown}: blob {blob.hex()} is in no index")
        size += location.blob.content_bytes
    if size != node.size:
        raise DamagedError(f"{shown}: states {node.size} bytes, but its blobs have {size}")
