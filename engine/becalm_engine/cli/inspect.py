"""Commands that look into snapshots: ls, dump, find, diff, stats."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

from becalm_engine.cli import nodes, show
from becalm_engine.cli.broken import PassedOver
from becalm_engine.cli.ncdu import print_ncdu
from becalm_engine.cli.output import Output, size_text
from becalm_engine.cli.session import Session
from becalm_engine.commands import diff as diff_command
from becalm_engine.commands import dump as dump_command
from becalm_engine.commands import listing
from becalm_engine.commands import stats as stats_command
from becalm_engine.commands.chosen import chosen
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.stats import Sizes
from becalm_engine.commands.walk import subtree_at
from becalm_engine.contract import ExitCode, Report
from becalm_engine.errors import EngineError, TargetError, UsageError
from becalm_engine.format.shown import shown, shown_text
from becalm_engine.format.tree import FILE
from becalm_engine.ids import BlobID
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot


def ls(session: Session, output: Output, progress: Progress) -> Report:
    """List the files of a snapshot."""
    arguments = session.arguments
    if arguments.ncdu and (output.json or arguments.reverse or arguments.sort != "name"):
        raise UsageError("--ncdu goes neither with --json nor with --sort or --reverse")
    folders = [os.fsencode(folder) for folder in arguments.folder]
    with session.locked_repository(only_reads=True) as repository:
        stored, tree = _opened(repository, session, arguments.snapshot)
        listed = listing.entries(repository, tree, folders, recursive=arguments.recursive)
        document = show.snapshot_document(stored)
        if arguments.ncdu:
            print_ncdu(output, repository, tree, document, progress)
        else:
            ordered = listing.in_order(listed, arguments.sort, reverse=arguments.reverse)
            _say_listed(output, stored, arguments.folder)
            message = {**document, "tree": tree.hex(), "message_type": "snapshot", "struct_type": "snapshot"}
            _print_listed(session, output, message, ordered, progress)
    nodes.end(output)
    return Report()


def _say_listed(output: Output, stored: StoredSnapshot, folders: list[str]) -> None:
    output.say(f"{nodes.snapshot_line(stored)} filtered by {nodes.bracketed([*map(shown_text, folders)])}:")


def _print_listed(
    session: Session,
    output: Output,
    message: dict[str, Any],
    listed: Iterator[listing.Entry],
    progress: Progress,
) -> None:
    arguments = session.arguments
    if output.json:
        nodes.put_json(output, message)
    for entry in listed:
        progress.check()
        if output.json:
            nodes.put_json(output, nodes.listed_document(entry.path, entry.node))
        else:
            line = nodes.node_line(
                entry.path, entry.node, long=arguments.long, human=arguments.human_readable
            )
            nodes.put(output, line)


def _opened(repository: Repository, session: Session, text: str) -> tuple[StoredSnapshot, BlobID]:
    """Find `SNAPSHOT[:FOLDER]`, load the index, and return the snapshot and the folder's tree."""
    name, _, folder = text.partition(":")
    stored = snapshots.find_snapshot(repository, name, session.filter())
    repository.load_index()
    return stored, _folder_tree(repository, stored, folder)


def _folder_tree(repository: Repository, stored: StoredSnapshot, folder: str) -> BlobID:
    tree, node = subtree_at(repository, stored.snapshot.tree, folder)
    if tree is None:
        raise UsageError(f"{shown_text(folder)} is a {node.type if node else 'file'}, not a folder")
    return tree


def dump(session: Session, output: Output, progress: Progress) -> Report:
    """Write a file, or a folder as an archive, to standard output or into a file."""
    arguments = session.arguments
    with session.locked_repository(only_reads=True) as repository:
        _, root = _opened(repository, session, arguments.snapshot)
        tree, node = subtree_at(repository, root, arguments.item)
        if tree is None and (node is None or node.type != FILE):
            raise UsageError(f"{shown_text(arguments.item)} is a {node.type if node else 'path'}, not a file")
        with _destination(arguments.target, output, archive=tree is not None) as out:
            if tree is None:
                assert node is not None
                dump_command.dump_file(repository, node, out, progress)
                left_out = []
            else:
                archive = dump_command.Zip(out) if arguments.archive == "zip" else dump_command.Tar(out)
                above = _raw_path(repository, root, arguments.item)
                left_out = dump_command.dump_folder(repository, tree, above, archive, progress)
            out.flush()
    for line in left_out:
        output.warn(f"Warning: {line}")
    return Report()


@contextlib.contextmanager
def _destination(target: str, output: Output, *, archive: bool) -> Iterator[BinaryIO]:
    if not target:
        if archive and output.out.isatty():
            raise UsageError("standard output is a terminal; redirect it or name a file by --target")
        output.out.flush()
        yield sys.stdout.buffer
        return
    try:
        out = open(target, "wb", buffering=1 << 20)  # noqa: SIM115, PTH123  closed below; the name is the user's own
    except OSError as error:
        raise TargetError(f"cannot write {target}: {error.strerror}") from error
    with out:
        yield out


def _raw_path(repository: Repository, root: BlobID, path: str) -> bytes:
    """Return the raw path of a folder: people may have given a name as it is shown quoted."""
    names: list[bytes] = []
    tree: BlobID | None = root
    for component in (part for part in path.split("/") if part not in ("", ".")):
        assert tree is not None
        tree, node = subtree_at(repository, tree, component)
        assert node is not None
        names.append(node.name)
    return b"/".join(names)


def diff(session: Session, output: Output, progress: Progress) -> Report:
    """Compare two snapshots, or folders of them."""
    arguments = session.arguments

    def tell(path: bytes, error: EngineError) -> None:
        where = f"{shown(path)}: " if path else ""
        _tell(output, f"{where}{error}")

    with session.locked_repository(only_reads=True) as repository:
        sides = [_unfiltered(repository, text) for text in (arguments.before, arguments.after)]
        output.say(f"comparing snapshot {sides[0][0].short} to {sides[1][0].short}:\n")
        repository.load_index()
        before, after = (_folder_tree(repository, stored, folder) for stored, folder in sides)
        comparison = diff_command.Comparison(
            repository, metadata=arguments.metadata, progress=progress, tell=tell
        )
        for change in comparison.changes(before, after):
            _print_change(output, change)
    _print_difference(output, comparison.result, arguments.before, arguments.after)
    return Report(exit_code=ExitCode.ERROR if comparison.failed else ExitCode.OK)


def _unfiltered(repository: Repository, text: str) -> tuple[StoredSnapshot, str]:
    name, _, folder = text.partition(":")
    return snapshots.find_snapshot(repository, name), folder


def _print_change(output: Output, change: diff_command.Change) -> None:
    if output.quiet:
        return
    if output.json:
        path = nodes.path_text(change.path)
        nodes.put_json(output, {"message_type": "change", "path": path, "modifier": change.modifier})
    else:
        nodes.put(output, f"{change.modifier:<5}{shown(change.path)}")


def _print_difference(output: Output, found: diff_command.Difference, before: str, after: str) -> None:
    added, removed = found.added, found.removed
    if output.json:
        document = {
            "message_type": "statistics",
            "source_snapshot": before,
            "target_snapshot": after,
            "changed_files": found.changed_files,
            "added": asdict(added),
            "removed": asdict(removed),
        }
        nodes.put_json(output, document)
    else:
        nodes.put(
            output,
            f"\nFiles:       {added.files:5d} new, {removed.files:5d} removed, {found.changed_files:5d} changed\n"
            f"Dirs:        {added.dirs:5d} new, {removed.dirs:5d} removed\n"
            f"Others:      {added.others:5d} new, {removed.others:5d} removed\n"
            f"Data Blobs:  {added.data_blobs:5d} new, {removed.data_blobs:5d} removed\n"
            f"Tree Blobs:  {added.tree_blobs:5d} new, {removed.tree_blobs:5d} removed\n"
            f"  Added:   {size_text(added.bytes):<5}\n"
            f"  Removed: {size_text(removed.bytes):<5}",
        )
    nodes.end(output)


def stats(session: Session, output: Output, progress: Progress) -> Report:
    """Count how large snapshots are."""
    arguments = session.arguments
    with session.locked_repository(only_reads=True) as repository:
        broken = PassedOver(output, "stats")
        every = chosen(repository, arguments.id, session.filter(), broken)
        repository.load_index()
        output.result("scanning...")
        roots = [stored.snapshot.tree for stored in every]
        sizes = stats_command.count(repository, roots, arguments.mode, progress)
    if output.json:
        nodes.put_json(output, _sizes_document(sizes))
    else:
        nodes.put(output, f"Stats in {arguments.mode} mode:")
        for line in _sizes_lines(sizes):
            nodes.put(output, line)
    nodes.end(output)
    return broken.report()


def _sizes_document(sizes: Sizes) -> dict[str, Any]:
    always = {"total_size", "snapshots_count"}
    document = {
        "total_size": sizes.total,
        "total_uncompressed_size": sizes.uncompressed,
        "compression_ratio": _go_number(sizes.ratio),
        "compression_progress": _go_number(sizes.progress_percent),
        "compression_space_saving": _go_number(sizes.saving_percent),
        "total_file_count": sizes.files,
        "total_blob_count": sizes.blobs,
        "snapshots_count": sizes.snapshots,
    }
    return {key: value for key, value in document.items() if value or key in always}


def _go_number(number: float) -> float:
    """Return a number that is printed as Go prints it: a whole one without a fraction."""
    return int(number) if number.is_integer() else number


def _sizes_lines(sizes: Sizes) -> Iterator[str]:
    yield f"     Snapshots processed:  {sizes.snapshots}"
    if sizes.blobs:
        yield f"        Total Blob Count:  {sizes.blobs}"
    if sizes.files:
        yield f"        Total File Count:  {sizes.files}"
    if sizes.uncompressed:
        yield f" Total Uncompressed Size:  {size_text(sizes.uncompressed):<5}"
    yield f"              Total Size:  {size_text(sizes.total):<5}"
    if sizes.progress_percent > 0:
        yield f"    Compression Progress:  {sizes.progress_percent:.2f}%"
    if sizes.ratio > 0:
        yield f"       Compression Ratio:  {sizes.ratio:.2f}x"
    if sizes.saving_percent > 0:
        yield f"Compression Space Saving:  {sizes.saving_percent:.2f}%"


def _tell(output: Output, text: str) -> None:
    """Say what went wrong with a part of the work."""
    output.warn(f"error: {text}")
    output.message({"message_type": "error", "error": {"message": text}}, to_error=True)
