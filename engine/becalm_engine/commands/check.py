"""`becalm check`: looks at everything that a restore would need, and says what is damaged."""

from collections.abc import Callable

from becalm_engine.commands.check_packs import check_listed, read_packs
from becalm_engine.commands.check_trees import TreeCheck
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError
from becalm_engine.format.pack import BlobKind
from becalm_engine.policy.subset import EVERYTHING, Subset
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import Filter
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

    Raises:
        LockedError: Something is wrong, and perhaps only because another process was at work.
    """
    findings = Findings()
    say("load snapshots and index")
    every = snapshots.list_snapshots(repository, wanted, _told(findings, FileKind.SNAPSHOT))
    repository.load_index(_told(findings, FileKind.INDEX))
    say("check packs")
    packs = repository.index.by_pack()
    check_listed(repository, packs, findings)
    all_sound = read_packs(
        repository,
        packs,
        EVERYTHING if read_data else subset,
        findings,
        progress,
        say,
        trees=wanted in (None, Filter()),  # of a few snapshots, what they hold is less
        processes=processes,
    )
    say("check snapshots, trees and files")
    trees = TreeCheck(repository, findings, progress)
    for stored in every:
        known = all_sound and repository.index.holds(BlobKind.TREE, stored.snapshot.tree)
        if not known and not trees.is_sound(stored):
            findings.damaged_snapshots.append(stored.name)
    if findings.errors:
        repository.guard()  # beside somebody who removes what nobody needs, it is no damage that something is gone
    return findings


def _told(findings: Findings, kind: FileKind) -> Broken:
    """Return what notes a document that cannot be read."""

    def note(name: str, error: EngineError) -> None:
        if kind is not FileKind.SNAPSHOT:
            findings.errors.append(str(error))
            findings.broken_index = True
            return
        way_out = f"; {snapshots.way_out_of(name)}" if isinstance(error, DamagedError) else ""
        findings.errors.append(f"{error}{way_out}")
        findings.damaged_snapshots.append(name)

    return note
