"""The second pass of a restore: contents of files, pack by pack.

Each range of a pack is read once and in order, by several threads, and each blob lands at all its places. Of a
file that is there already, only blobs that differ are fetched and written.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restored import Ledger, RestoredFile, target_error
from becalm_engine.errors import DamagedError, EngineError, StoppedError, TargetError
from becalm_engine.format.pack import PackedBlob
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.repository.reader import PackRange, ranges_of, read_range, view_in_range
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.target import Target

_ZERO_BLOCK_ID = blob_id(ZERO_BLOCK)
_LARGE_BYTES = 64 * 1024 * 1024
"""To give a file of this size its room takes its time in memory, where each page is made for it."""


@dataclass(slots=True)
class _Place:
    """Where one blob goes: a file, and an offset in it."""

    file: RestoredFile
    offset: int


class Contents:
    """Compares, writes and verifies the contents of files.

    New files are known as unfinished until they get their metadata; with `marked` also those that are changed.
    """

    def __init__(
        self,
        repository: Repository,
        place: Target,
        progress: Progress,
        ledger: Ledger,
        *,
        sparse: bool,
        marked: bool,
    ) -> None:
        self._repository = repository
        self._target = place
        self._progress = progress
        self._ledger = ledger
        self._sparse = sparse
        self._marked = marked
        self._places: dict[BlobID, list[_Place]] = {}

    # --- what is there already

    def compare(self, file: RestoredFile) -> None:
        """Note which blobs of a file are there already. What cannot be read is made anew."""
        try:
            with self._target.folder(file.folder) as folder:
                handle = target.open_for_reading(folder, file.node.name)
            with target.closing(handle):
                file.same = bytes(self._matching(file, handle))
                found = os.fstat(handle)
                file.complete = all(file.same) and found.st_size == file.node.size
                file.present = file.complete or found.st_nlink == 1  # other names must not change with it
        except (OSError, TargetError):
            file.present = False

    def _matching(self, file: RestoredFile, handle: int) -> Iterator[bool]:
        """Read an open file from its start; say of each blob whether it is there."""
        for blob in file.node.content:
            self._progress.check()
            location = self._repository.index.find(blob)
            part = _read_all(handle, location.blob.content_bytes if location else 0)
            yield part == ZERO_BLOCK if blob == _ZERO_BLOCK_ID else blob_id(part) == blob

    # --- making and writing

    def prepare_all(self, files: Sequence[RestoredFile]) -> None:
        """Prepare files: large ones side by side, if there is room for all of them.

        Where there is not, two that take it at one moment might both fail though one would fit.
        """
        large = [file for file in files if file.node.size >= _LARGE_BYTES]
        if not self._target.has_room(sum(file.node.size for file in large)):
            large = []
        with self._pool() as pool:
            preparing = pool.map(self.prepare, large)
            for file in files:
                self._progress.check()
                if not large or file.node.size < _LARGE_BYTES:
                    self.prepare(file)
            for _ in preparing:
                self._progress.check()

    def prepare(self, file: RestoredFile) -> None:
        """Give a file its length and the room for it, if its content is known; and note where its blobs go."""
        if file.complete:
            return
        if self._ledger.full:
            self._ledger.leave_out(file)
            return
        try:
            places = self._places_of(file)
            with self._target.folder(file.folder, make=True) as folder:
                (self._open if file.present else self._create)(folder, file, places)
        except OSError as error:
            self._ledger.failed_file(file, target_error(error))
        except EngineError as error:
            self._ledger.failed_file(file, error)

    def _places_of(self, file: RestoredFile) -> list[tuple[BlobID, int]]:
        """Return the blobs of a file that are not there, each with its offset.

        Raises:
            DamagedError: A blob is missing, or the blobs together have another length than the file.
        """
        places, offset = [], 0
        for at, blob in enumerate(file.node.content):
            location = self._repository.index.find(blob)
            if location is None:
                raise DamagedError(f"blob {blob.hex()} is in no index")
            if not (file.present and file.same[at]):
                places.append((blob, offset))
            offset += location.blob.content_bytes
        if offset != file.node.size:
            raise DamagedError(f"the snapshot states {file.node.size} bytes, but its content has {offset}")
        return places

    def _create(self, folder: int, file: RestoredFile, places: list[tuple[BlobID, int]]) -> None:
        """Create a file in place of what was found there. Where blocks of zeros go it reads as zeros at once."""
        size = file.node.size
        handle = target.create_file(folder, file.node.name, replaces=file.replaces)
        with target.closing(handle):
            if self._sparse:
                os.ftruncate(handle, size)
            elif _needs_room(places) and not target.allocate(handle, size):
                self._write_zeros(handle, places)
        self._note(file, places)

    def _open(self, folder: int, file: RestoredFile, places: list[tuple[BlobID, int]]) -> None:
        """Give a file that is there the right length; what is in it stays until it is written over."""
        handle = target.open_for_writing(folder, file.node.name)
        with target.closing(handle):
            if self._marked:
                target.mark_unfinished(handle)
            if os.fstat(handle).st_size != file.node.size:
                os.ftruncate(handle, file.node.size)
            self._write_zeros(handle, places)
        self._note(file, places)

    def _write_zeros(self, handle: int, places: list[tuple[BlobID, int]]) -> None:
        for blob, offset in places:
            if blob == _ZERO_BLOCK_ID:
                target.write_all(handle, ZERO_BLOCK, offset)

    def _note(self, file: RestoredFile, places: list[tuple[BlobID, int]]) -> None:
        for blob, offset in places:
            if blob == _ZERO_BLOCK_ID:
                self._progress.bytes_done += len(ZERO_BLOCK)
            else:
                self._places.setdefault(blob, []).append(_Place(file, offset))
        missing = sum(self._length(blob) for blob, _ in places)
        self._progress.bytes_done += file.node.size - missing

    def _length(self, blob: BlobID) -> int:
        location = self._repository.index.find(blob)
        return location.blob.content_bytes if location else 0

    def write(self) -> None:
        """Fetch what the prepared files consist of, several ranges at once, and write it."""
        with self._pool() as pool:
            for _ in pool.map(self._write_range, self._ranges()):
                self._progress.check()

    def _pool(self) -> ThreadPoolExecutor:
        connections = max(2, self._repository.storage.connections)
        return ThreadPoolExecutor(connections, thread_name_prefix="restore")

    def _ranges(self) -> list[PackRange]:
        by_pack: dict[PackID, list[PackedBlob]] = {}
        for blob in self._places:
            location = self._repository.index.find(blob)
            assert location is not None
            by_pack.setdefault(location.pack, []).append(location.blob)
        return [wanted for pack, blobs in by_pack.items() for wanted in ranges_of(pack, blobs)]

    def _write_range(self, wanted: PackRange) -> None:
        try:
            stored = memoryview(b"") if self._ledger.full else read_range(self._repository, wanted)
        except StoppedError:
            raise
        except EngineError as error:
            self._fail(wanted.blobs, error)
            return
        for packed in wanted.blobs:
            self._progress.check()
            self._write_blob(wanted, stored, packed)

    def _write_blob(self, wanted: PackRange, stored: memoryview, packed: PackedBlob) -> None:
        """Write one blob of a range to all its places. A damaged one fails the files that it is in, and no others."""
        if self._ledger.full:
            for place in self._places[packed.id]:
                self._ledger.leave_out(place.file)
            return
        try:
            content = view_in_range(self._repository, wanted, stored, packed)
        except StoppedError:
            raise
        except EngineError as error:
            self._fail((packed,), error)
            return
        for place in self._places[packed.id]:
            self._write(place, content)

    def _fail(self, blobs: Iterable[PackedBlob], error: EngineError) -> None:
        for packed in blobs:
            for place in self._places[packed.id]:
                self._ledger.failed_file(place.file, error)

    def _write(self, place: _Place, content: bytes | memoryview) -> None:
        if self._ledger.full:
            self._ledger.leave_out(place.file)
            return
        try:
            with self._target.folder(place.file.folder) as folder:
                handle = target.open_for_writing(folder, place.file.node.name)
                with target.closing(handle):
                    holes = _zeros_before(bytes(content)) if self._sparse and not place.file.present else 0
                    target.write_all(handle, content[holes:] if holes else content, place.offset + holes)
        except OSError as error:
            self._ledger.failed_file(place.file, target_error(error))
        except TargetError as error:
            self._ledger.failed_file(place.file, error)
        self._progress.bytes_done += len(content)

    # --- looking again

    def verify(self, file: RestoredFile) -> None:
        """Read a restored file back and compare it with its blobs.

        Raises:
            TargetError: It differs.
        """
        with self._target.folder(file.folder) as folder:
            handle = target.open_for_reading(folder, file.node.name)
        with target.closing(handle):
            if not all(self._matching(file, handle)):
                raise TargetError("what was restored differs from the snapshot")
            if os.read(handle, 1):
                raise TargetError("what was restored is longer than in the snapshot")


def _needs_room(places: list[tuple[BlobID, int]]) -> bool:
    """Say whether writing the blobs one by one would not give a file its room at once."""
    return len(places) > 1 or (_ZERO_BLOCK_ID, 0) in places


def _zeros_before(content: bytes) -> int:
    """Return how many zeros a content begins with."""
    return len(content) - len(content.lstrip(b"\0")) if content.startswith(b"\0") else 0


def _read_all(handle: int, length: int) -> bytes:
    """Read exactly so many bytes, or up to the end."""
    part = os.read(handle, length)
    while len(part) < length and (more := os.read(handle, length - len(part))):
        part += more
    return part
