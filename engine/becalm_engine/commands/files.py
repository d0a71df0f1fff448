"""Reads files and stores what is in them: small ones at once, large ones in chunks that threads work on."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from becalm_engine.chunking import MIN_BYTES, WINDOW_BYTES, ZERO_BLOCK, Chunker, Read, SkipHole
from becalm_engine.commands.progress import Progress
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID, Buffer
from becalm_engine.repository.writer import Writer
from becalm_engine.volume.scan import skip_hole

_INLINE_BYTES = 64 * 1024
_TOGETHER_BYTES = 256 * 1024
"""So much of small files is stored at once: enough to spare most of what each costs, little enough for the caches."""
_CHUNKS_A_THREAD = 2
"""One that it works on, and one that waits; they keep their windows in memory."""

Content = list["BlobID | Future[BlobID]"]
"""The blobs of a file in order; some are still being stored."""


class FileStore:
    """Stores contents of files through one writer."""

    def __init__(self, writer: Writer, chunker: Chunker, progress: Progress, *, threads: int) -> None:
        self._writer = writer
        self._chunker = chunker
        self._progress = progress
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._room = threading.BoundedSemaphore(_CHUNKS_A_THREAD * threads)
        self._zero_block: BlobID | None = None
        self._small: list[tuple[bytes, Content]] = []
        self._small_bytes = 0

    def close(self) -> None:
        """End the threads; what they have not begun is not done."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def store(self, handle: int, size_bytes: int, content: Content) -> int:
        """Store an open file of about that size, and return how many bytes it had.

        Its `content` is complete once all is settled.
        """
        if size_bytes < MIN_BYTES:
            first = os.read(handle, size_bytes + 1)
            if len(first) == size_bytes:
                return self._store_whole(first, content)
            os.lseek(handle, 0, os.SEEK_SET)  # it has grown or shrunk, or came in pieces
        return self._store_chunks(
            lambda place: os.readv(handle, [place]),
            content,
            skip_hole=lambda: skip_hole(handle),
            expected_bytes=size_bytes,
        )

    def settle(self) -> None:
        """Store what waits for more of its kind: only then are contents complete."""
        if self._small:
            self._store_small()

    def _store_small(self) -> None:
        small, self._small, self._small_bytes = self._small, [], 0
        blobs = self._writer.save_all(BlobKind.DATA, [whole for whole, _ in small])
        for blob, (_, content) in zip(blobs, small, strict=True):
            content.append(blob)

    def store_stream(self, read: Read) -> tuple[list[BlobID], int]:
        """Store a stream as one file's content; return its blobs and its length."""
        content: Content = []
        size = self._store_chunks(read, content)
        return settled(content), size

    def _store_whole(self, whole: bytes, content: Content) -> int:
        if len(whole) > _INLINE_BYTES:
            content.append(self._submitted(whole))
        elif whole:
            self._small.append((whole, content))
            self._small_bytes += len(whole)
            if self._small_bytes > _TOGETHER_BYTES:
                self._store_small()
        self._progress.bytes_done += len(whole)
        return len(whole)

    def _store_chunks(
        self,
        read: Read,
        content: Content,
        skip_hole: SkipHole | None = None,
        expected_bytes: int = WINDOW_BYTES,
    ) -> int:
        size = 0
        for chunk in self._chunker.cut(read, skip_hole, expected_bytes=expected_bytes):
            self._progress.check()
            size += len(chunk)
            self._progress.bytes_done += len(chunk)
            content.append(self._save_zeros() if chunk is ZERO_BLOCK else self._submitted(chunk))
        return size

    def _save_zeros(self) -> BlobID:
        if self._zero_block is None:
            self._zero_block = self._writer.save(BlobKind.DATA, ZERO_BLOCK)
        return self._zero_block

    def _submitted(self, chunk: Buffer) -> "Future[BlobID]":
        self._room.acquire()
        future = self._workers.submit(self._writer.save, BlobKind.DATA, chunk)
        future.add_done_callback(lambda _: self._room.release())
        return future


def settled(content: Content) -> list[BlobID]:
    """Return the blobs of a file once all are stored."""
    return [blob.result() if isinstance(blob, Future) else blob for blob in content]
