"""Files of one blob, which most files are: each is made, written and given its metadata in one go.

They come in batches, range by range of the packs. One process does a batch after the other, or several at once.
"""

import contextlib
import os
import threading
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from becalm_engine.chunking import MIN_BYTES
from becalm_engine.commands.file_table import EMPTY, NO_PACK, FileTable
from becalm_engine.commands.progress import Progress, ToldProgress
from becalm_engine.commands.restored import RestoredFile, target_error
from becalm_engine.crew import Crew
from becalm_engine.errors import EngineError, TargetFullError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import PackID
from becalm_engine.repository.blob_index import BlobIndex, Spot
from becalm_engine.repository.reader import PackRange, read_range, view_in_range
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.creating import NewFiles
from becalm_engine.volume.metadata import Problems, Restored, set_metadata
from becalm_engine.volume.target import Target

_BATCH_FILES = 2000
_BATCH_BYTES = 8 * 1024 * 1024
_BATCHES = 4
"""How many make a task: while one is written, the next ones are read."""
_MOST_READS_AHEAD = 4
_FAR_BYTES = 2 * 1024 * 1024
"""What lies between is read, too, if it is less: a request costs more."""
_NUMBER_BITS = 32
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1

_DATA = BlobKind.DATA

Failure = tuple[int, EngineError]
"""The number of a file, and why it is not whole."""


@dataclass(slots=True)
class Written:
    """What became of one batch: all its files are whole but those that failed or were left out for want of room."""

    failed: list[Failure] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are written together, by their numbers: their blobs are neighbours in a pack, and come in its order.

    Without a pack, the files are empty.
    """

    pack: PackID | None
    numbers: "array[int]"


def spot_of_whole(index: BlobIndex, file: RestoredFile, *, sparse: bool) -> Spot | None:
    """Say whether a file is made anew and written in one go, and if so return where its content lies.

    Such a file has one name, one blob at most, which is there and as long as the file, and no holes.
    """
    node = file.node
    if file.present or file.complete or len(node.content) > 1 or node.links > 1:
        return None
    if not node.content:
        return None if node.size else EMPTY
    spot = index.spot_of(node.content[0])
    if spot is None or node.size != (spot[3] or spot[2] - OVERHEAD_BYTES):
        return None
    return None if sparse and node.size >= MIN_BYTES else spot


def batches_of(files: FileTable, index: BlobIndex) -> list[Batch]:
    """Arrange files into batches. Of each it keeps one number meanwhile: its place, and which file it is."""
    empty, packs = array("Q"), defaultdict[int, "array[int]"](lambda: array("Q"))
    for number, (pack, offset) in enumerate(zip(files.packs, files.offsets, strict=True)):
        if pack == NO_PACK:
            empty.append(number)
        else:
            packs[pack].append(offset << _NUMBER_BITS | number)
    batches = [Batch(None, some) for some in _pieces(empty)]
    for pack, places in packs.items():
        batches += [Batch(index.pack_at(pack), numbers) for numbers in _stretches(sorted(places))]
    return batches


def _pieces(numbers: "array[int]") -> "Iterator[array[int]]":
    for at in range(0, len(numbers), _BATCH_FILES):
        yield numbers[at : at + _BATCH_FILES]


def _stretches(places: Iterable[int]) -> "Iterator[array[int]]":
    """Yield the numbers of files whose blobs are read in one go: near each other, and not too much together."""
    numbers, start, last = array("Q"), 0, 0
    for place in places:
        offset, number = place >> _NUMBER_BITS, place & _NUMBER_MASK
        if numbers and (offset - start >= _BATCH_BYTES or offset - last > _FAR_BYTES):
            yield numbers
            numbers = array("Q")
        start = start if numbers else offset
        last = offset
        numbers.append(number)
    if numbers:
        yield numbers


@dataclass(frozen=True, slots=True)
class _OpenBatch:
    """A batch that is about to be written: its files by their numbers, the range to read, and the blob of each file."""

    numbers: "array[int]"
    wanted: PackRange | None
    blobs: list[PackedBlob]


class WholeWriter:
    """Writes batches of files. Not for several threads."""

    def __init__(
        self,
        repository: Repository,
        place: Target,
        files: FileTable,
        restored: Restored,
        progress: Progress,
        *,
        marked: bool,
    ) -> None:
        self._repository = repository
        self._target = place
        self._files = files
        self._restored = restored
        self._progress = progress
        self._marked = marked
        self._full = False
        self._open: tuple[int, int, NewFiles] | None = None

    def close(self) -> None:
        """Close the folder that was used last."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def write(self, batches: Iterable[Batch]) -> Written:
        """Write the files of some batches."""
        written = Written()
        opened = (self._opened(batch) for batch in batches)
        for batch, stored in _reading_ahead(self._repository, opened):
            self._progress.check()
            if batch.wanted is None:
                for number in batch.numbers:
                    self._write(number, b"", written)
            elif isinstance(stored, EngineError):
                written.failed += [(number, stored) for number in batch.numbers]
            else:
                self._write_range(batch, batch.wanted, stored, written)
        return written

    def _opened(self, batch: Batch) -> _OpenBatch:
        if batch.pack is None:
            return _OpenBatch(batch.numbers, None, [])
        files = self._files
        blobs = [
            PackedBlob(files.blob(n), _DATA, files.offsets[n], files.stored_bytes[n], files.plain_bytes[n])
            for n in batch.numbers
        ]
        last = blobs[-1]
        length = last.offset + last.stored_bytes - blobs[0].offset
        return _OpenBatch(batch.numbers, PackRange(batch.pack, blobs[0].offset, length, ()), blobs)

    def _write_range(
        self, batch: _OpenBatch, wanted: PackRange, stored: memoryview, written: Written
    ) -> None:
        known: PackedBlob | None = None
        content: bytes | memoryview = b""
        for packed, number in zip(batch.blobs, batch.numbers, strict=True):
            self._progress.check()
            try:
                if packed != known:  # files of the same content come one after the other
                    known = None  # what was seen before is gone, whatever comes of this
                    content = view_in_range(self._repository, wanted, stored, packed)
                    known = packed
            except EngineError as error:
                written.failed.append((number, error))
            else:
                self._write(number, content, written)

    def _write(self, number: int, content: bytes | memoryview, written: Written) -> None:
        if self._full:
            written.left_out.append(number)
            return
        try:
            self._write_file(number, content, written.problems)
        except OSError as error:
            failure = target_error(error)
            self._full = isinstance(failure, TargetFullError)
            written.failed.append((number, failure))
        except EngineError as error:
            written.failed.append((number, error))

    def _write_file(self, number: int, content: bytes | memoryview, problems: Problems) -> None:
        _, name, (mode, mtime, atime, _, uid, gid), _, _, xattrs, replaces = self._files.record(number)
        handle, is_as_wanted = self._folder(number).create(name, mode, uid, gid, replaces=replaces)
        try:
            if content:
                target.write_all(handle, content, 0)
            self._progress.bytes_done += len(content)
            if not (is_as_wanted and not xattrs and self._has_times(handle, atime, mtime)):
                file = self._files[number]
                set_metadata(handle, file.node, file.path, problems, self._restored)
        except OSError:
            target.mark_unfinished(handle)
            raise
        finally:
            os.close(handle)

    def _has_times(self, handle: int, atime: int, mtime: int) -> bool:
        """Give a file that needs nothing else its times; say whether that is all, and was possible."""
        if self._restored.owner_by_name:
            return False
        try:
            os.utime(handle, ns=(atime, mtime))
        except OSError:
            return False  # it will be said why
        return True

    def _folder(self, number: int) -> NewFiles:
        """Return the open folder of a file; files come folder by folder."""
        at, path = self._files.folder(number)
        if self._open is not None and self._open[0] == at:
            return self._open[2]
        self.close()
        with self._target.folder(path, make=True) as handle:
            kept = os.dup(handle)
        self._open = at, kept, NewFiles(kept, marked=self._marked)
        return self._open[2]


def _reading_ahead(
    repository: Repository, batches: Iterable[_OpenBatch]
) -> Iterator[tuple[_OpenBatch, memoryview | EngineError]]:
    """Yield batches with what their ranges hold, reading the next ones meanwhile."""
    ahead: deque[tuple[_OpenBatch, Future[memoryview]]] = deque()
    most = min(_MOST_READS_AHEAD, repository.storage.connections)
    with ThreadPoolExecutor(most, thread_name_prefix="read") as pool:
        for batch in batches:
            ahead.append((batch, pool.submit(_read, repository, batch.wanted)))
            if len(ahead) > most:
                yield _settled(*ahead.popleft())
        while ahead:
            yield _settled(*ahead.popleft())


def _read(repository: Repository, wanted: PackRange | None) -> memoryview:
    return read_range(repository, wanted) if wanted else memoryview(b"")


def _settled(batch: _OpenBatch, reading: "Future[memoryview]") -> tuple[_OpenBatch, memoryview | EngineError]:
    try:
        return batch, reading.result()
    except EngineError as error:
        return batch, error


# --- several processes


class _Member:
    """One process's writer."""

    def __init__(self, writer: WholeWriter, batches: Sequence[Batch], progress: ToldProgress) -> None:
        self._writer = writer
        self._batches = batches
        self._progress = progress

    def work(self, task: range) -> Written:
        """Write some batches."""
        return self._writer.write(self._batches[number] for number in task)

    def last(self) -> None:
        """Nothing is left but to say how far it got."""
        self._progress.tell_all()


@dataclass(frozen=True, slots=True)
class WholeMembers:
    """Makes members: what it holds is there before they are forked.

    `marked`: each file is known as unfinished until it is whole, also if the process is killed. That costs calls.
    """

    repository: Repository
    target: Target
    files: FileTable
    batches: Sequence[Batch]
    restored: Restored
    marked: bool

    def writer(self, repository: Repository, place: Target, progress: Progress) -> WholeWriter:
        """Return one process's writer."""
        return WholeWriter(repository, place, self.files, self.restored, progress, marked=self.marked)

    @contextlib.contextmanager
    def __call__(self, stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[_Member]:
        """Be one, for the block."""
        progress = ToldProgress(stop=stop, tell=tell)
        os.umask(0)  # all that is made has a mode of its own
        repository = self.repository.forked(stop)
        with contextlib.closing(self.target.forked()) as place:
            writer = self.writer(repository, place, progress)
            with contextlib.closing(writer):
                yield _Member(writer, self.batches, progress)


def written_alone(members: WholeMembers, progress: Progress) -> Iterator[tuple[Sequence[Batch], Written]]:
    """Write all batches in this process, and yield what became of each."""
    writer = members.writer(members.repository, members.target, progress)
    with contextlib.closing(writer):
        for task in _tasks(len(members.batches)):
            some = [members.batches[number] for number in task]
            yield some, writer.write(some)


def _tasks(count: int) -> list[range]:
    return [range(at, min(at + _BATCHES, count)) for at in range(0, count, _BATCHES)]


def written_by_crew(
    count: int, members: WholeMembers, progress: Progress
) -> Iterator[tuple[Sequence[Batch], Written]]:
    """Write all batches by several processes, and yield what became of some at a time."""
    tasks = _tasks(len(members.batches))
    quiet = members.repository.quiet
    with Crew(count, members, told=progress.take, check=progress.check, quiet=quiet) as crew:
        for number, written in crew.map(tasks):
            yield [members.batches[one] for one in tasks[number]], written
        for _ in crew.last():
            pass
