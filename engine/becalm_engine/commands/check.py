"""`becalm check`: looks at everything that a restore would need, and says what is damaged."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError
from becalm_engine.format.names import quote
from becalm_engine.format.pack import (
    LENGTH_BYTES,
    BlobKind,
    PackedBlob,
    decode_header,
    expected_size,
    header_range,
)
from becalm_engine.format.tree import DIR, FILE, Node, faults_of_order
from becalm_engine.ids import BlobID, PackID, stored_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_tree, open_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.storage.base import FileKind


@dataclass(slots=True)
class Findings:
    """What a check found. Hints need no action."""

    errors: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    broken_packs: list[str] = field(default_factory=list)
    damaged_snapshots: list[str] = field(default_factory=list)


def check(
    repository: Repository, *, read_data: bool, progress: Progress, say: Callable[[str], None]
) -> Findings:
    """Check packs against the index, trees and files of every snapshot, and with `read_data` every byte."""
    findings = Findings()
    say("load snapshots and index")
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    say("check packs")
    packs = repository.index.by_pack()
    _check_packs(repository, packs, findings)
    if read_data:
        say("read all data")
        _read_packs(repository, packs, findings, progress)
    say("check snapshots, trees and files")
    _check_snapshots(repository, every, findings, progress)
    return findings


def _check_packs(repository: Repository, packs: dict[PackID, list[PackedBlob]], findings: Findings) -> None:
    sizes = {stored.name: stored.size_bytes for stored in repository.storage.list(FileKind.PACK)}
    for pack, blobs in packs.items():
        size = sizes.pop(pack.hex(), None)
        if size is None:
            findings.errors.append(f"pack {pack.hex()} is in the index, but does not exist")
        elif size != expected_size(blobs):
            findings.errors.append(
                f"pack {pack.hex()} has {size} bytes, but its index says {expected_size(blobs)}"
            )
        elif not _contiguous(blobs):
            findings.errors.append(f"pack {pack.hex()}: its blobs do not lie end to end")
        else:
            continue
        findings.broken_packs.append(pack.hex())
    if sizes:
        findings.hints.append(f"{len(sizes)} packs are in no index; the next prune removes them")


def _contiguous(blobs: Iterable[PackedBlob]) -> bool:
    end = 0
    for blob in blobs:
        if blob.offset != end:
            return False
        end += blob.stored_bytes
    return True


def _read_packs(
    repository: Repository,
    packs: dict[PackID, list[PackedBlob]],
    findings: Findings,
    progress: Progress,
) -> None:
    broken = set(findings.broken_packs)
    whole = [(pack, blobs) for pack, blobs in packs.items() if pack.hex() not in broken]
    progress.files_total = len(whole)
    progress.bytes_total = sum(expected_size(blobs) for _, blobs in whole)

    def read(entry: tuple[PackID, list[PackedBlob]]) -> list[str]:
        progress.check()
        faults = _faults_of_pack(repository, *entry)
        progress.files_done += 1
        progress.bytes_done += expected_size(entry[1])
        return faults

    with ThreadPoolExecutor(max(2, repository.storage.connections)) as pool:
        for (pack, _), faults in zip(whole, pool.map(read, whole), strict=True):
            if faults:
                findings.broken_packs.append(pack.hex())
                findings.errors += [f"pack {pack.hex()}: {fault}" for fault in faults]


def _faults_of_pack(repository: Repository, pack: PackID, blobs: list[PackedBlob]) -> list[str]:
    """Say what is wrong with one pack. A wrong pack is read again once: it may have been the way here."""
    faults: list[str] = []
    for _ in range(2):
        try:
            faults = _faults_of_bytes(
                repository, pack, blobs, repository.storage.load(FileKind.PACK, pack.hex())
            )
        except EngineError as error:
            faults = [str(error)]
        if not faults:
            return []
    return faults


def _faults_of_bytes(repository: Repository, pack: PackID, blobs: list[PackedBlob], data: bytes) -> list[str]:
    if stored_id(data) != pack:
        return ["its content has another hash than its name"]
    span = header_range(pack_bytes=len(data), tail=data[-LENGTH_BYTES:])
    listed = decode_header(repository.envelope.unseal(data[span.start : span.stop]))
    if sorted(listed, key=lambda b: b.offset) != blobs:
        return ["its header lists other blobs than the index"]
    view, faults = memoryview(data), []
    for blob in blobs:
        try:
            open_blob(repository, blob, view[blob.offset : blob.offset + blob.stored_bytes])
        except DamagedError as error:
            faults.append(str(error))
    return faults


def _check_snapshots(
    repository: Repository, every: list[StoredSnapshot], findings: Findings, progress: Progress
) -> None:
    """Check each tree once, however many snapshots share it, and name the snapshots that hold a bad one."""
    faulty: dict[BlobID, list[str]] = {}
    seen: set[BlobID] = set()
    for stored in every:
        progress.check()
        before = len(findings.errors)
        _check_tree(repository, stored.snapshot.tree, seen, faulty, findings)
        if len(findings.errors) > before or stored.snapshot.tree in faulty:
            findings.damaged_snapshots.append(stored.name)


def _check_tree(
    repository: Repository,
    root: BlobID,
    seen: set[BlobID],
    faulty: dict[BlobID, list[str]],
    findings: Findings,
) -> None:
    waiting = [("", root)]
    while waiting:
        path, tree = waiting.pop()
        if tree in faulty:
            findings.errors += [f"{path or '/'}: {fault}" for fault in faulty[tree]]
        if tree in seen:
            continue
        seen.add(tree)
        try:
            nodes = load_tree(repository, tree)
        except EngineError as error:
            faulty[tree] = [str(error)]
            findings.errors.append(f"{path or '/'}: {error}")
            continue
        faults = _faults_of_tree(repository, nodes)
        if not repository.index.holds(BlobKind.TREE, tree):
            faults.append(f"blob {tree.hex()} is not a tree blob")
        if faults:
            faulty[tree] = faults
            findings.errors += [f"{path or '/'}: {fault}" for fault in faults]
        waiting += [
            (f"{path}/{quote(node.name)}", node.subtree)
            for node in nodes
            if node.type == DIR and node.subtree is not None
        ]


def _faults_of_tree(repository: Repository, nodes: list[Node]) -> list[str]:
    faults = faults_of_order(nodes)
    for node in nodes:
        if node.name in (b"", b".", b"..") or b"/" in node.name or b"\0" in node.name:
            faults.append(f"an entry is named {node.name!r}")
        if node.type == FILE:
            faults += _faults_of_file(repository, node)
    return faults


def _faults_of_file(repository: Repository, node: Node) -> list[str]:
    size = 0
    for blob in node.content:
        location = repository.index.find(blob)
        if location is None:
            return [f"file {quote(node.name)!r}: blob {blob.hex()} is missing"]
        if not repository.index.holds(BlobKind.DATA, blob):
            return [f"file {quote(node.name)!r}: blob {blob.hex()} is not a data blob"]
        size += location.blob.content_bytes
    if size != node.size:
        return [f"file {quote(node.name)!r}: states {node.size} bytes, but its blobs have {size}"]
    return []
