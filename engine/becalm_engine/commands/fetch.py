"""Blobs in the order in which they are written out, fetched ahead of it by several threads."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository

T = TypeVar("T")

_MOST_BYTES_AHEAD = 64 * 1024 * 1024
_MOST_PARTS_AHEAD = 512
_ZERO_BLOCK_ID = blob_id(ZERO_BLOCK)


def fetched(repository: Repository, parts: Iterable[BlobID | T], progress: Progress) -> "Iterator[bytes | T]":
    """Yield the parts in their order, and for each id of a blob its content.

    Raises:
        DamagedError: A blob is missing or damaged.
    """
    waiting: deque[tuple[int, Future[bytes] | T]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(max(2, repository.storage.connections), thread_name_prefix="fetch")
    try:
        for part in parts:
            progress.check()
            size, awaited = _begun(repository, pool, part)
            waiting.append((size, awaited))
            ahead += size
            while ahead > _MOST_BYTES_AHEAD or len(waiting) > _MOST_PARTS_AHEAD:
                size, awaited = waiting.popleft()
                ahead -= size
                yield _ended(awaited)
        while waiting:
            progress.check()
            yield _ended(waiting.popleft()[1])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begun(
    repository: Repository, pool: ThreadPoolExecutor, part: "BlobID | T"
) -> "tuple[int, Future[bytes] | T]":
    if not isinstance(part, bytes):
        return 0, part
    if part == _ZERO_BLOCK_ID:  # a hole of a gigabyte is this block two thousand times
        zeros: Future[bytes] = Future()
        zeros.set_result(ZERO_BLOCK)
        return 0, zeros
    blob = BlobID(part)
    location = repository.index.find(blob)
    size = location.blob.content_bytes if location else 0
    return size, pool.submit(load_blob, repository, blob)


def _ended(awaited: "Future[bytes] | T") -> "bytes | T":
    return awaited.result() if isinstance(awaited, Future) else awaited


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
