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

    def close(self) -> None:
        """End the threads; what they have not begun is not done."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def store(self, handle: int, size_bytes: int, content: Content) -> int:
        """Store an open file of about that size, and return how many bytes it had."""
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

    def store_stream(self, read: Read) -> tuple[list[BlobID], int]:
        """Store a stream as one file's content; return its blobs and its length."""
        content: Content = []
        size = self._store_chunks(read, content)
        return settled(content), size

    def _store_whole(self, whole: bytes, content: Content) -> int:
        if len(whole) > _INLINE_BYTES:
            content.append(self._submitted(whole))
        elif whole:
            content.append(self._writer.save(BlobKind.DATA, whole))
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
