"""Packs: whether they are there as the index says, and whether what is in them is whole.

Of the index, which may have millions of blobs, only those of the packs at hand become objects.
"""

import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.crew import Crew
from becalm_engine.errors import DamagedError, EngineError
from becalm_engine.format.pack import LENGTH_BYTES, PackedBlob, decode_header, expected_size, header_range
from becalm_engine.ids import PackID, stored_id
from becalm_engine.policy.subset import Subset
from becalm_engine.repository.reader import open_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

Packs = Mapping[PackID, list[PackedBlob]]

ReadPack = tuple[PackID, list[str], list[PackedBlob]]
"""A pack that was read: what is wrong with it, and which of its blobs are not whole."""

_FEW_PACKS = 4


def check_listed(repository: Repository, packs: Packs, findings: Findings) -> None:
    """Compare the packs of the index with those that are there."""
    sizes = {stored.name: stored.size_bytes for stored in repository.storage.list(FileKind.PACK)}
    for pack, blobs in packs.items():
        fault = _fault_of_listing(blobs, sizes.pop(pack.hex(), None))
        if fault:
            findings.errors.append(f"pack {pack.hex()} {fault}")
            findings.broken_packs.append(pack.hex())
            for blob in blobs:
                findings.lost.add(blob)
    if sizes:
        findings.unlisted_packs = len(sizes)
        findings.hints.append(f"{len(sizes)} packs are in no index; the next prune removes them")


def _fault_of_listing(blobs: list[PackedBlob], size: int | None) -> str:
    if size is None:
        return "is in the index, but does not exist"
    if size != expected_size(blobs):
        return f"has {size} bytes, but its index says {expected_size(blobs)}"
    return "" if _contiguous(blobs) else "has an index whose blobs do not lie end to end"


def _contiguous(blobs: Iterable[PackedBlob]) -> bool:
    end = 0
    for blob in blobs:
        if blob.offset != end:
            return False
        end += blob.stored_bytes
    return True


def read_packs(
    repository: Repository,
    packs: Packs,
    subset: Subset,
    findings: Findings,
    progress: Progress,
    say: Callable[[str], None],
    *,
    processes: int = 1,
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Read packs, several at once and by several processes, and look at every byte of them.

    `begun` is called once other processes do that, and this one has nothing to do but to wait.
    """
    broken = set(findings.broken_packs)
    sized = [(pack, expected_size(blobs)) for pack, blobs in packs.items() if pack.hex() not in broken]
    chosen = subset.choose(sized, random.SystemRandom())
    say(f"read {len(chosen)} of {len(sized)} packs" if len(chosen) < len(sized) else "read all data")
    size_of = dict(sized)
    progress.files_total, progress.bytes_total = len(chosen), sum(size_of[pack] for pack in chosen)

    connections = max(2, repository.storage.connections)
    if processes > 1 and len(chosen) > _FEW_PACKS:
        results = _read_by_crew(repository, packs, chosen, progress, processes, begun)
    else:
        results = _read_side_by_side(repository, packs, chosen, progress, connections)
    for pack, faults, bad in results:
        progress.check()
        progress.files_done += 1
        progress.bytes_done += size_of[pack]
        if faults:
            findings.broken_packs.append(pack.hex())
            findings.errors += [f"pack {pack.hex()}: {fault}" for fault in faults]
        for blob in bad:
            findings.lost.add(blob)


def _read_side_by_side(
    repository: Repository,
    packs: Packs,
    chosen: Iterable[PackID],
    progress: Progress,
    connections: int,
) -> Iterator[ReadPack]:
    """Yield what reading each pack gave; threads are a few packs ahead."""

    def read(pack: PackID) -> ReadPack:
        progress.check()
        return (pack, *_faults_of_pack(repository, pack, packs[pack]))

    under_way: deque[Future[ReadPack]] = deque()
    with ThreadPoolExecutor(connections, thread_name_prefix="check") as pool:
        for pack in chosen:
            under_way.append(pool.submit(read, pack))
            if len(under_way) > 2 * connections:
                yield under_way.popleft().result()
        for future in under_way:
            yield future.result()


@dataclass(frozen=True, slots=True)
class _Member:
    """What one of several processes reads with."""

    repository: Repository
    packs: Packs
    progress: Progress
    connections: int

    def work(self, task: Sequence[PackID]) -> list[ReadPack]:
        """Read some packs."""
        return list(_read_side_by_side(self.repository, self.packs, task, self.progress, self.connections))

    def last(self) -> None:
        """Nothing is left to tell."""


def _read_by_crew(
    repository: Repository,
    packs: Packs,
    chosen: Sequence[PackID],
    progress: Progress,
    processes: int,
    begun: Callable[[], None],
) -> Iterator[ReadPack]:
    @contextlib.contextmanager
    def member(stop: threading.Event, _tell: Callable[[Any], None]) -> Iterator[_Member]:
        connections = max(1, repository.storage.connections // processes)
        yield _Member(repository.forked(stop), packs, Progress(stop=stop), connections)

    tasks = [chosen[at : at + _FEW_PACKS] for at in range(0, len(chosen), _FEW_PACKS)]
    with Crew(processes, member, check=progress.check) as crew:
        begun()
        for _, read in crew.map(tasks):
            yield from read


def _faults_of_pack(
    repository: Repository, pack: PackID, blobs: list[PackedBlob]
) -> tuple[list[str], list[PackedBlob]]:
    """Say what is wrong with one pack, and which blobs of it are not whole.

    A wrong pack is read again once: it may have been the way here.
    """
    faults: list[str] = []
    bad: list[PackedBlob] = []
    for _ in range(2):
        try:
            data = repository.storage.load(FileKind.PACK, pack.hex())
        except EngineError as error:
            faults, bad = [str(error)], blobs
            continue
        faults, bad = _faults_of_whole(repository, pack, blobs, data), []
        for blob, fault in _bad_blobs(repository, blobs, data):
            faults.append(fault)
            bad.append(blob)
        if not faults:
            break
    return faults, bad


def _faults_of_whole(repository: Repository, pack: PackID, blobs: list[PackedBlob], data: bytes) -> list[str]:
    if stored_id(data) != pack:
        return ["its content has another hash than its name"]
    try:
        span = header_range(pack_bytes=len(data), tail=data[-LENGTH_BYTES:])
        listed = decode_header(repository.envelope.unseal(data[span.start : span.stop]))
    except DamagedError as error:
        return [str(error)]
    if sorted(listed, key=lambda blob: blob.offset) != blobs:
        return ["its header lists other blobs than the index"]
    return []


def _bad_blobs(
    repository: Repository, blobs: list[PackedBlob], data: bytes
) -> Iterator[tuple[PackedBlob, str]]:
    """Yield the blobs that do not open, or not to what their id and their length say, each with the reason."""
    view = memoryview(data)
    for blob in blobs:
        try:
            open_blob(repository, blob, view[blob.offset : blob.offset + blob.stored_bytes])
        except DamagedError as error:
            yield blob, str(error)
