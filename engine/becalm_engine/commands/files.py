"""Reads files and stores what is in them: small ones at once, large ones in chunks that threads work on."""

import errno
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from becalm_engine.chunking import MIN_BYTES, WINDOW_BYTES, ZERO_BLOCK, Chunker, Read, SkipHole
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import UsageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID, Buffer
from becalm_engine.repository.reader import MAX_BLOB_BYTES
from becalm_engine.repository.writer import Writer
from becalm_engine.volume.scan import skip_hole

_INLINE_BYTES = 64 * 1024
_TOGETHER_BYTES = 256 * 1024
"""So much of small files is stored at once: enough to spare most of what each costs, little enough for the caches."""
_CHUNKS_A_THREAD = 2
"""One that it works on, and one that waits; they keep their windows in memory."""

_CHUNK_TEXT_BYTES = len(f'"{bytes(32).hex()}",')
"""So much longer does each chunk make the tree that the file is in."""
_LONG_FILES_BYTES = MAX_BLOB_BYTES // 16 * 15
"""Files with very many chunks may fill so much of a tree; the rest is for all that lies beside them."""
_ORDINARY_CHUNKS = 65_536
"""Some 64 GiB: a file that has no more is never what fills a tree."""

Content = list["BlobID | Future[BlobID]"]
"""The blobs of a file in order; some are still being stored."""


@dataclass(slots=True)
class Room:
    """How much of the tree of one directory is left to files with very many chunks, mostly sparse ones.

    A tree that is longer than a blob may be could be read by no restore.
    """

    left_bytes: int = field(default_factory=lambda: _LONG_FILES_BYTES)

    @property
    def most_chunks(self) -> int:
        """How many chunks the next file may have."""
        return max(self.left_bytes // _CHUNK_TEXT_BYTES, _ORDINARY_CHUNKS)

    def take(self, text_bytes: int, chunks: int = 0) -> None:
        """Note what goes into the tree."""
        self.left_bytes -= text_bytes + _CHUNK_TEXT_BYTES * chunks


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

    def store(self, handle: int, size_bytes: int, content: Content, *, most_chunks: int) -> int:
        """Store an open file of about that size, and return how many bytes it had.

        Its `content` is complete once all is settled.

        Raises:
            OSError: It cannot be read, or has more chunks than that.
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
            most_chunks=most_chunks,
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
        """Store a stream as one file's content; return its blobs and its length.

        Raises:
            UsageError: It has more chunks than a tree can name.
        """
        content: Content = []
        try:
            size = self._store_chunks(read, content, most_chunks=Room().most_chunks)
        except _TooLongError as error:
            raise UsageError(f"what is read is too long to be a file: {error.strerror}") from error
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
        *,
        most_chunks: int,
        skip_hole: SkipHole | None = None,
        expected_bytes: int = WINDOW_BYTES,
    ) -> int:
        size = 0
        for chunk in self._chunker.cut(read, skip_hole, expected_bytes=expected_bytes):
            self._progress.check()
            if len(content) >= most_chunks:
                raise _TooLongError(size)
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


class _TooLongError(OSError):
    """A file, mostly a sparse one, that goes on beyond what the tree of its directory can name."""

    def __init__(self, size_bytes: int) -> None:
        reason = (
            f"beyond {size_bytes} bytes of it no restore could read the tree of its directory, so long would that be; "
            "exclude it, or make it shorter if most of it is a hole"
        )
        super().__init__(errno.EFBIG, reason)


def settled(content: Content) -> list[BlobID]:
    """Return the blobs of a file once all are stored."""
    return [blob.result() if isinstance(blob, Future) else blob for blob in content]
