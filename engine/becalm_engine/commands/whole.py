"""Files of one blob, which most files are: each is made, written and given its metadata in one go.

They come in batches, range by range of the packs. One process does a batch after the other, or several at once.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from becalm_engine.chunking import MIN_BYTES
from becalm_engine.commands.progress import Progress, ToldProgress
from becalm_engine.commands.restored import Path, RestoredFile, target_error
from becalm_engine.crew import Crew
from becalm_engine.errors import DamagedError, EngineError, TargetFullError
from becalm_engine.format.pack import PackedBlob
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository.reader import PackRange, open_in_range, ranges_of, read_range
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.metadata import Problems, Restored, set_metadata
from becalm_engine.volume.target import Target

_BATCH_FILES = 2000
_BATCH_BYTES = 8 * 1024 * 1024
_BATCHES = 4
"""How many make a task: while one is written, the next ones are read."""
_MOST_READS_AHEAD = 4

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
    """Files that are written together: a range of a pack, and for each of its blobs the files that consist of it.

    Without a range, the files are empty.
    """

    wanted: PackRange | None
    files: tuple[tuple[int, ...], ...]

    @property
    def numbers(self) -> Iterator[int]:
        """The numbers of the files."""
        return (number for together in self.files for number in together)


def is_whole(file: RestoredFile, *, sparse: bool) -> bool:
    """Say whether a file is made anew and written in one go: it has one blob at most, and no holes."""
    if file.present or file.complete or len(file.node.content) > 1:
        return False
    return not (sparse and file.node.size >= MIN_BYTES)


def batches_of(repository: Repository, files: Sequence[RestoredFile]) -> tuple[list[Batch], list[Failure]]:
    """Arrange files into batches. Those that fail are ones whose blob is missing or of another length."""
    failed: list[Failure] = []
    empty: list[int] = []
    users: dict[BlobID, list[int]] = {}
    packs: dict[PackID, dict[BlobID, PackedBlob]] = {}
    for number, file in enumerate(files):
        try:
            _arrange(repository, number, file, empty, users, packs)
        except DamagedError as error:
            failed.append((number, error))
    batches = [Batch(None, (some,)) for some in _pieces(empty)]
    for pack, blobs in packs.items():
        batches += [
            Batch(wanted, tuple(tuple(users[blob.id]) for blob in wanted.blobs))
            for wanted in ranges_of(pack, blobs.values(), most_bytes=_BATCH_BYTES)
        ]
    return batches, failed


def _arrange(
    repository: Repository,
    number: int,
    file: RestoredFile,
    empty: list[int],
    users: dict[BlobID, list[int]],
    packs: dict[PackID, dict[BlobID, PackedBlob]],
) -> None:
    blob = next(iter(file.node.content), None)
    if blob is None:
        if file.node.size:
            raise DamagedError(f"the snapshot states {file.node.size} bytes, but no content")
        empty.append(number)
        return
    location = repository.index.find(blob)
    if location is None:
        raise DamagedError(f"blob {blob.hex()} is in no index")
    size = location.blob.content_bytes
    if size != file.node.size:
        raise DamagedError(f"the snapshot states {file.node.size} bytes, but its content has {size}")
    users.setdefault(blob, []).append(number)
    packs.setdefault(location.pack, {})[blob] = location.blob


def _pieces(numbers: Iterable[int]) -> Iterator[tuple[int, ...]]:
    left = iter(numbers)
    while piece := tuple(islice(left, _BATCH_FILES)):
        yield piece


class WholeWriter:
    """Writes batches of files. Not for several threads."""

    def __init__(
        self,
        repository: Repository,
        place: Target,
        files: Sequence[RestoredFile],
        restored: Restored,
        progress: Progress,
    ) -> None:
        self._repository = repository
        self._target = place
        self._files = files
        self._restored = restored
        self._progress = progress
        self._full = False
        self._open: tuple[Path, int] | None = None

    def close(self) -> None:
        """Close the folder that was used last."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def write(self, batches: Iterable[Batch]) -> Written:
        """Write the files of some batches."""
        written = Written()
        for batch, stored in _reading_ahead(self._repository, batches):
            self._progress.check()
            if batch.wanted is None:
                self._write_files(batch.files[0], b"", written)
            elif isinstance(stored, EngineError):
                written.failed += [(number, stored) for number in batch.numbers]
            else:
                self._write_range(batch.wanted, batch.files, stored, written)
        return written

    def _write_range(
        self, wanted: PackRange, files: tuple[tuple[int, ...], ...], stored: memoryview, written: Written
    ) -> None:
        for packed, numbers in zip(wanted.blobs, files, strict=True):
            self._progress.check()
            try:
                content = open_in_range(self._repository, wanted, stored, packed)
            except EngineError as error:
                written.failed += [(number, error) for number in numbers]
            else:
                self._write_files(numbers, content, written)

    def _write_files(self, numbers: Iterable[int], content: bytes, written: Written) -> None:
        for number in numbers:
            if self._full:
                written.left_out.append(number)
                continue
            try:
                self._write_file(self._files[number], content, written.problems)
            except OSError as error:
                failure = target_error(error)
                self._full = isinstance(failure, TargetFullError)
                written.failed.append((number, failure))
            except EngineError as error:
                written.failed.append((number, error))

    def _write_file(self, file: RestoredFile, content: bytes, problems: Problems) -> None:
        handle = target.create_file(self._folder(file.folder), file.node.name)
        try:
            if content:
                target.write_all(handle, content, 0)
            self._progress.bytes_done += len(content)
            set_metadata(handle, file.node, file.path, problems, self._restored)
        finally:
            os.close(handle)

    def _folder(self, path: Path) -> int:
        """Return an open folder; files come folder by folder."""
        if self._open is not None and (self._open[0] is path or self._open[0] == path):
            return self._open[1]
        self.close()
        with self._target.folder(path, make=True) as handle:
            self._open = path, os.dup(handle)
        return self._open[1]


def _reading_ahead(
    repository: Repository, batches: Iterable[Batch]
) -> Iterator[tuple[Batch, memoryview | EngineError]]:
    """Yield batches with what their ranges hold, reading the next ones meanwhile."""
    ahead: deque[tuple[Batch, Future[memoryview]]] = deque()
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


def _settled(batch: Batch, reading: "Future[memoryview]") -> tuple[Batch, memoryview | EngineError]:
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
    """Makes members: what it holds is there before they are forked."""

    repository: Repository
    target: Target
    files: Sequence[RestoredFile]
    batches: Sequence[Batch]
    restored: Restored

    @contextlib.contextmanager
    def __call__(self, stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[_Member]:
        """Be one, for the block."""
        progress = ToldProgress(stop=stop, tell=tell)
        repository = self.repository.forked(stop)
        with contextlib.closing(self.target.forked()) as place:
            writer = WholeWriter(repository, place, self.files, self.restored, progress)
            with contextlib.closing(writer):
                yield _Member(writer, self.batches, progress)


def written_alone(members: WholeMembers, progress: Progress) -> Iterator[tuple[Sequence[Batch], Written]]:
    """Write all batches in this process, and yield what became of each."""
    writer = WholeWriter(members.repository, members.target, members.files, members.restored, progress)
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
    with Crew(count, members, told=progress.take, check=progress.check) as crew:
        for number, written in crew.map(tasks):
            yield [members.batches[one] for one in tasks[number]], written
        for _ in crew.last():
            pass
