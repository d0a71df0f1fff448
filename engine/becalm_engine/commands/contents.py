"""The second pass of a restore: contents of files, pack by pack.

Each range of a pack is read once and in order, by several threads, and each blob lands at all its places.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError, StoppedError, TargetError
from becalm_engine.format.pack import PackedBlob
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.repository.reader import PackRange, load_range, ranges_of
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.target import Target

_ZERO_BLOCK_ID = blob_id(ZERO_BLOCK)


@dataclass(slots=True, eq=False)
class RestoredFile:
    """One file of a restore. `folder` is the path of its directory below the target."""

    folder: tuple[bytes, ...]
    node: Node
    path: str
    failed: bool = False


@dataclass(slots=True)
class _Place:
    """Where one blob goes: a file, and an offset in it."""

    file: RestoredFile
    offset: int


class Contents:
    """Writes and compares the contents of files. `failed` is told each file that went wrong."""

    def __init__(
        self,
        repository: Repository,
        place: Target,
        progress: Progress,
        failed: Callable[[RestoredFile, EngineError], None],
    ) -> None:
        self._repository = repository
        self._target = place
        self._progress = progress
        self._failed = failed
        self._places: dict[BlobID, list[_Place]] = {}

    def create(self, file: RestoredFile) -> None:
        """Create a file at its full length, all hole, in place of what has its name."""
        with self._target.folder(file.folder, make=True) as folder:
            handle = target.create_file(folder, file.node.name)
            with target.closing(handle):
                if file.node.size:
                    os.ftruncate(handle, file.node.size)

    def write(self, files: Iterable[RestoredFile]) -> None:
        """Fetch what the files consist of, several ranges at once, and write it."""
        for file in files:
            self._find_places(file)
        connections = max(2, self._repository.storage.connections)
        with ThreadPoolExecutor(connections, thread_name_prefix="restore") as pool:
            for _ in pool.map(self._write_range, self._ranges()):
                self._progress.check()

    def _find_places(self, file: RestoredFile) -> None:
        """Note where the blobs of a file go. Blocks of zeros stay holes: the file is new and long enough."""
        offset = 0
        for blob in file.node.content:
            location = self._repository.index.find(blob)
            if location is None:
                self._failed(file, DamagedError(f"blob {blob.hex()} is in no index"))
                return
            if blob == _ZERO_BLOCK_ID:
                self._progress.bytes_done += len(ZERO_BLOCK)
            else:
                self._places.setdefault(blob, []).append(_Place(file, offset))
            offset += location.blob.content_bytes
        if offset != file.node.size:
            reason = f"the snapshot states {file.node.size} bytes, but its content has {offset}"
            self._failed(file, DamagedError(reason))

    def _ranges(self) -> list[PackRange]:
        by_pack: dict[PackID, list[PackedBlob]] = {}
        for blob in self._places:
            location = self._repository.index.find(blob)
            assert location is not None
            by_pack.setdefault(location.pack, []).append(location.blob)
        return [wanted for pack, blobs in by_pack.items() for wanted in ranges_of(pack, blobs)]

    def _write_range(self, wanted: PackRange) -> None:
        done = 0
        try:
            for packed, content in load_range(self._repository, wanted):
                self._progress.check()
                done += 1
                for place in self._places[packed.id]:
                    self._write(place, content)
        except StoppedError:
            raise
        except EngineError as error:
            for packed in wanted.blobs[done:]:
                for place in self._places[packed.id]:
                    self._failed(place.file, error)

    def _write(self, place: _Place, content: bytes) -> None:
        try:
            with self._target.folder(place.file.folder) as folder:
                handle = target.open_for_writing(folder, place.file.node.name)
                with target.closing(handle):
                    _write_all(handle, content, place.offset)
        except OSError as error:
            self._failed(place.file, TargetError(error.strerror or str(error)))
        except TargetError as error:
            self._failed(place.file, error)
        self._progress.bytes_done += len(content)

    def verify(self, file: RestoredFile) -> None:
        """Read a restored file back and compare it with its blobs.

        Raises:
            TargetError: It differs.
        """
        with self._target.folder(file.folder) as folder:
            handle = target.open_for_reading(folder, file.node.name)
        with os.fdopen(handle, "rb", buffering=0) as content:
            for blob in file.node.content:
                location = self._repository.index.find(blob)
                part = _read_all(content.fileno(), location.blob.content_bytes if location else 0)
                if part != ZERO_BLOCK if blob == _ZERO_BLOCK_ID else blob_id(part) != blob:
                    raise TargetError("what was restored differs from the snapshot")
            if content.read(1):
                raise TargetError("what was restored is longer than in the snapshot")


def _write_all(handle: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _read_all(handle: int, length: int) -> bytes:
    """Read exactly so many bytes, or up to the end."""
    part = os.read(handle, length)
    while len(part) < length and (more := os.read(handle, length - len(part))):
        part += more
    return part
