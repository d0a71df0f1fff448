"""Packs: whether they are there as the index says, and whether what is in them is whole.

Of the index, which may have millions of blobs, only those of the packs at hand become objects.
"""

import hashlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from becalm_engine.commands.check_trees import is_sound_tree
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.crew import Crew
from becalm_engine.errors import DamagedError, EngineError, StorageError, tells_of_data
from becalm_engine.format.pack import LENGTH_BYTES, BlobKind, PackedBlob, decode_header, header_range
from becalm_engine.ids import PackID
from becalm_engine.policy.subset import Subset
from becalm_engine.repository.blob_index import PackFacts
from becalm_engine.repository.reader import PackRange, load_range, ranges_of, view_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

Packs = Mapping[PackID, list[PackedBlob]]

_FEW_PACKS = 4
_MOST_READERS = 3
"""How many threads of one of several processes read: each of them has a piece of a pack in memory."""
_PIECE_BYTES = 1024 * 1024
"""How much of a pack each thread has in memory, but for a longer blob."""


class Task(NamedTuple):
    """A pack to look at: every byte of it, or just its trees."""

    pack: PackID
    whole: bool


class Seen(NamedTuple):
    """What a look at a pack gave: what is wrong with it, which blobs are not whole, and if all its trees are sound."""

    task: Task
    faults: list[str]
    bad: list[PackedBlob]
    trees_are_sound: bool


def check_listed(repository: Repository, packs: Packs, findings: Findings) -> None:
    """Compare the packs of the index with those that are there, and what index files say of one."""
    sizes = {stored.name: stored.size_bytes for stored in repository.storage.list(FileKind.PACK)}
    for pack in packs:
        size = sizes.pop(pack.hex(), None)
        if size is None and not _is_missing(repository, pack):
            findings.errors.append(
                f"pack {pack.hex()} exists, but {repository.storage.location} does not list it"
            )
            continue
        fault = _fault_of_listing(repository.index.facts_of(pack), size)
        if fault:
            findings.errors.append(f"pack {pack.hex()} {fault}")
            findings.broken_packs.append(pack.hex())
            for blob in packs[pack]:
                findings.lost.add(blob)
    for pack in sorted(repository.index.differing):
        findings.errors.append(f"pack {pack.hex()} is not listed the same by all index files")
        findings.broken_index = True
    if sizes:
        findings.unlisted_packs = len(sizes)
        findings.hints.append(f"{len(sizes)} packs are in no index; the next prune removes them")


def _is_missing(repository: Repository, pack: PackID) -> bool:
    """Ask for a pack by its name: a listing that leaves it out says nothing of what it holds."""
    try:
        repository.storage.load_range(FileKind.PACK, pack.hex(), offset=0, length=1)
    except StorageError as error:
        if not tells_of_data(error):
            raise
        return True
    return False


def _fault_of_listing(facts: PackFacts, size: int | None) -> str:
    if size is None:
        return "is in the index, but does not exist"
    if size != facts.size_bytes:
        return f"has {size} bytes, but its index says {facts.size_bytes}"
    return "" if facts.is_contiguous else "has an index whose blobs do not lie end to end"


def read_packs(
    repository: Repository,
    packs: Packs,
    subset: Subset | None,
    findings: Findings,
    progress: Progress,
    say: Callable[[str], None],
    *,
    trees: bool,
    processes: int = 1,
) -> bool:
    """Read packs, several at once and by several processes, and look at every byte of them.

    With `trees`, all trees are looked at, whether their packs are chosen or not. Returns whether all of them were,
    and nothing at all is wrong: then every snapshot whose root is among them is sound.
    """
    tasks = [Task(pack, whole=True) for pack in _chosen(repository, packs, subset, findings, say)]
    progress.files_total = len(tasks)
    progress.bytes_total = sum(repository.index.facts_of(task.pack).size_bytes for task in tasks)
    trees = trees and not findings.broken_packs
    if trees:
        tasks = _with_all_trees(repository, packs, tasks)
    look = _Look(repository, packs, progress, trees=trees)
    for seen in _seen(look, tasks, processes):
        progress.check()
        if seen.task.whole:
            progress.files_done += 1
            progress.bytes_done += repository.index.facts_of(seen.task.pack).size_bytes
        trees &= seen.trees_are_sound
        _note(seen, findings)
    return trees and not findings.broken_packs


def _chosen(
    repository: Repository,
    packs: Packs,
    subset: Subset | None,
    findings: Findings,
    say: Callable[[str], None],
) -> list[PackID]:
    if subset is None:
        return []
    broken = set(findings.broken_packs)
    sized = [(pack, repository.index.facts_of(pack).size_bytes) for pack in packs if pack.hex() not in broken]
    chosen = subset.choose(sized, random.SystemRandom())
    say(f"read {len(chosen)} of {len(sized)} packs" if len(chosen) < len(sized) else "read all data")
    return list(chosen)


def _with_all_trees(repository: Repository, packs: Packs, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with those for the trees in other packs. Trees come first: they are the most work."""
    chosen = {task.pack for task in tasks}
    others = [Task(pack, whole=False) for pack in packs if pack not in chosen]
    return sorted(
        (task for task in (*tasks, *others) if task.whole or repository.index.facts_of(task.pack).has_trees),
        key=lambda task: not repository.index.facts_of(task.pack).has_trees,
    )


def _note(seen: Seen, findings: Findings) -> None:
    if seen.faults:
        pack = seen.task.pack.hex()
        findings.broken_packs.append(pack)
        findings.errors += [f"pack {pack}: {fault}" for fault in seen.faults]
    for blob in seen.bad:
        findings.lost.add(blob)


@dataclass(frozen=True, slots=True)
class _Look:
    """What looks at packs. `trees`: at the trees in them, too."""

    repository: Repository
    packs: Packs
    progress: Progress
    trees: bool

    def at(self, task: Task) -> Seen:
        """Look at one pack."""
        self.progress.check()
        return self._at_whole(task) if task.whole else self._at_trees(task)

    def _at_whole(self, task: Task) -> Seen:
        """Read a pack. One that is wrong is read again once: it may have been the way here."""
        seen = self._read(task)
        return self._read(task) if seen.faults else seen

    def _read(self, task: Task) -> Seen:
        """Read a pack piece by piece: no more of it is in memory at a time."""
        pack, digest, bad, sound = task.pack, hashlib.sha256(), list[PackedBlob](), True
        facts = self.repository.index.facts_of(pack)
        try:
            header = self.repository.storage.load_range(
                FileKind.PACK, pack.hex(), offset=facts.end, length=facts.size_bytes - facts.end
            )
            faults, blobs = self._listed(pack, header)
            pieces = ranges_of(pack, blobs, most_bytes=_PIECE_BYTES)
            lengths = [*(piece.length for piece in pieces), len(header)]
            with closing(self.repository.storage.load_pieces(FileKind.PACK, pack.hex(), lengths)) as parts:
                for piece, stored in zip(pieces, parts, strict=False):
                    digest.update(stored)
                    sound &= self._open(piece, stored, faults, bad)
                digest.update(next(parts))
        except EngineError as error:
            if not tells_of_data(error):
                raise
            return Seen(task, [str(error)], self.packs[pack], trees_are_sound=False)
        if digest.digest() != pack:
            faults.insert(0, "its content has another hash than its name")
        return Seen(task, faults, bad, sound)

    def _listed(self, pack: PackID, end: bytes) -> tuple[list[str], list[PackedBlob]]:
        """Say what is wrong with the header at the end of a pack; return the blobs that the index has in the pack."""
        try:
            span = header_range(pack_bytes=len(end), tail=end[-LENGTH_BYTES:])
            listed = decode_header(self.repository.envelope.unseal(end[span.start : span.stop]))
        except DamagedError as error:
            return [str(error)], self.packs[pack]
        if span.start == 0 and self.repository.index.lists(pack, listed):
            return [], listed
        return ["its header lists other blobs than the index"], self.packs[pack]

    def _open(self, piece: PackRange, stored: bytes, faults: list[str], bad: list[PackedBlob]) -> bool:
        """Open every blob of a piece, and note what is wrong. Returns whether the trees among them are sound."""
        view, sound = memoryview(stored), True
        for blob in piece.blobs:
            at = blob.offset - piece.offset
            try:
                content = view_blob(self.repository, blob, view[at : at + blob.stored_bytes])
            except DamagedError as error:
                faults.append(str(error))
                bad.append(blob)
            else:
                if self.trees and blob.kind is BlobKind.TREE:
                    sound = sound and is_sound_tree(self.repository.index, bytes(content))
        return sound

    def _at_trees(self, task: Task) -> Seen:
        """Look at the trees of a pack, until one is not sound. Why it is not, somebody else finds out."""
        trees = [blob for blob in self.packs[task.pack] if blob.kind is BlobKind.TREE]
        try:
            for wanted in ranges_of(task.pack, trees):
                for _, content in load_range(self.repository, wanted):
                    self.progress.check()
                    if not is_sound_tree(self.repository.index, content):
                        return Seen(task, [], [], trees_are_sound=False)
        except EngineError as error:
            if not tells_of_data(error):
                raise
            return Seen(task, [], [], trees_are_sound=False)
        return Seen(task, [], [], trees_are_sound=True)


def _seen(look: _Look, tasks: Sequence[Task], processes: int) -> Iterator[Seen]:
    connections = max(2, look.repository.storage.connections)
    if not all(task.whole for task in tasks):
        # what it arranges for the first is there for all, before threads and processes ask for others
        look.packs[tasks[0].pack]
    if processes > 1 and len(tasks) > _FEW_PACKS:
        return _seen_by_crew(look, tasks, processes)
    return _seen_side_by_side(look, tasks, connections)


def _seen_side_by_side(look: _Look, tasks: Iterable[Task], connections: int) -> Iterator[Seen]:
    """Yield what looking at each pack gave; threads are a few packs ahead."""
    under_way: deque[Future[Seen]] = deque()
    with ThreadPoolExecutor(connections, thread_name_prefix="check") as pool:
        for task in tasks:
            under_way.append(pool.submit(look.at, task))
            if len(under_way) > 2 * connections:
                yield under_way.popleft().result()
        for future in under_way:
            yield future.result()


@dataclass(frozen=True, slots=True)
class _Member:
    """One of several processes that look at packs."""

    look: _Look
    connections: int

    def work(self, tasks: Sequence[Task]) -> list[Seen]:
        """Look at some packs."""
        return list(_seen_side_by_side(self.look, tasks, self.connections))

    def last(self) -> None:
        """Nothing is left to tell."""


def _seen_by_crew(look: _Look, tasks: Sequence[Task], processes: int) -> Iterator[Seen]:
    connections = min(_MOST_READERS, max(1, look.repository.storage.connections // processes))

    @contextmanager
    def member(stop: threading.Event, _tell: Callable[[Any], None]) -> Iterator[_Member]:
        forked = _Look(look.repository.forked(stop), look.packs, Progress(stop=stop), look.trees)
        yield _Member(forked, connections)

    shares = list(_shares(tasks, processes, most=connections))
    with Crew(processes, member, check=look.progress.check, quiet=look.repository.quiet) as crew:
        for _, some in crew.map(shares):
            yield from some


def _shares(tasks: Sequence[Task], processes: int, *, most: int) -> Iterator[Sequence[Task]]:
    """Yield tasks for one process after the other: as many as it works at side by side, and ever fewer at the end.

    Then all processes end at about one time.
    """
    at = 0
    while at < len(tasks):
        step = min(most, max(1, (len(tasks) - at) // (2 * processes)))
        yield tasks[at : at + step]
        at += step
