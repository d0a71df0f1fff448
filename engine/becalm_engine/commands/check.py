"""`becalm check`: looks at everything that a restore would need, and says what is damaged."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from becalm_engine.commands.check_packs import check_listed, read_packs
from becalm_engine.commands.check_trees import TreeCheck
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import EngineError
from becalm_engine.policy.subset import EVERYTHING, Subset
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import Filter, StoredSnapshot
from becalm_engine.storage.base import FileKind


def check(
    repository: Repository,
    *,
    read_data: bool,
    progress: Progress,
    say: Callable[[str], None],
    subset: Subset | None = None,
    wanted: Filter | None = None,
    processes: int = 1,
) -> Findings:
    """Check packs against the index, and trees and files of every snapshot that is wanted.

    With `read_data` every byte of every pack is read, with `subset` those of some packs.
    """
    findings = Findings()
    say("load snapshots and index")
    every = snapshots.list_snapshots(repository, wanted, _told(findings, FileKind.SNAPSHOT))
    repository.load_index(_told(findings, FileKind.INDEX))
    say("check packs")
    packs = repository.index.by_pack()
    check_listed(repository, packs, findings)
    reading = EVERYTHING if read_data else subset
    with _Beside(lambda found: _check_trees(repository, every, found, progress)) as trees:
        if reading is not None:
            begun = trees.begin if not findings.lost else lambda: None
            read_packs(repository, packs, reading, findings, progress, say, processes=processes, begun=begun)
        say("check snapshots, trees and files")
        found = trees.outcome() if not findings.lost else None
    if found is None:
        _check_trees(repository, every, findings, progress)
    else:
        findings.errors += found.errors
        findings.damaged_snapshots += found.damaged_snapshots
    return findings


def _check_trees(
    repository: Repository, every: Sequence[StoredSnapshot], findings: Findings, progress: Progress
) -> None:
    trees = TreeCheck(repository, findings, progress)
    for stored in every:
        if not trees.is_sound(stored):
            findings.damaged_snapshots.append(stored.name)


class _Beside:
    """Work that a thread may begin while other processes read packs.

    It does not know yet which blobs are damaged, so what it finds counts only if none is.
    """

    def __init__(self, work: Callable[[Findings], None]) -> None:
        self._work = work
        self._findings = Findings()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trees")
        self._under_way: Future[None] | None = None

    def begin(self) -> None:
        """Begin."""
        self._under_way = self._pool.submit(self._work, self._findings)

    def outcome(self) -> Findings | None:
        """Wait, and return what was found, or None if nothing was begun."""
        if self._under_way is None:
            return None
        self._under_way.result()
        return self._findings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)


def _told(findings: Findings, kind: FileKind) -> Broken:
    """Return what notes a document that cannot be read."""

    def note(name: str, error: EngineError) -> None:
        findings.errors.append(str(error))
        if kind is FileKind.SNAPSHOT:
            findings.damaged_snapshots.append(name)
        else:
            findings.broken_index = True

    return note
