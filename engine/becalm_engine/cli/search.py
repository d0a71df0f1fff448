"""`becalm find`: its options, and how what it finds is printed."""

from collections.abc import Iterable

from becalm_engine.cli import nodes
from becalm_engine.cli.broken import PassedOver
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.times import local_text, parse_time
from becalm_engine.commands.chosen import chosen
from becalm_engine.commands.find import Finder, Ids, Occurrence, Wanted, find_ids, ids_of_packs, packs_of
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import ExitCode, Report
from becalm_engine.errors import EngineError, UsageError
from becalm_engine.format.gojson import string
from becalm_engine.format.gotime import encode_in
from becalm_engine.format.shown import json_text, shown
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot


def find(session: Session, output: Output, progress: Progress) -> Report:
    """Find files, blobs, trees or the content of packs in snapshots."""
    arguments = session.arguments
    wanted = _wanted(session)
    with session.locked_repository(only_reads=True) as repository:
        damaged = PassedOver(output, "find")
        every = chosen(repository, arguments.snapshot, session.filter(), damaged)
        every.sort(key=lambda stored: stored.snapshot.time_nanos, reverse=not arguments.reverse)
        repository.load_index()
        ids = _ids(session, repository)
        broken = _Broken(output)
        if ids is None:
            _find_nodes(session, output, Finder(repository, wanted, progress), every, broken)
        else:
            _find_ids(output, repository, ids, every, broken, progress)
            if arguments.show_pack_id:
                packs_of(repository, ids, output.result)
    nodes.end(output)
    return Report(exit_code=ExitCode.ERROR) if broken.count else damaged.report()


def _wanted(session: Session) -> Wanted:
    arguments = session.arguments
    oldest = parse_time(arguments.oldest, "--oldest") if arguments.oldest else None
    newest = parse_time(arguments.newest, "--newest") if arguments.newest else None
    if oldest is not None and newest is not None and oldest > newest:
        raise UsageError("--oldest must be a time before --newest")
    return Wanted(tuple(arguments.pattern), arguments.ignore_case, oldest, newest)


def _ids(session: Session, repository: Repository) -> Ids | None:
    arguments = session.arguments
    if arguments.blob + arguments.tree + arguments.pack > 1:
        raise UsageError("only one of --blob, --tree and --pack can be given")
    texts = {text.lower() for text in arguments.pattern}
    if arguments.pack:
        return ids_of_packs(repository, sorted(texts))
    if arguments.blob:
        return Ids(blobs=texts)
    return Ids(trees=texts) if arguments.tree else None


class _Broken:
    """Tells of directories that cannot be read; they make the search fail in the end."""

    def __init__(self, output: Output) -> None:
        self.count = 0
        self._output = output

    def __call__(self, _: BlobID, path: bytes, error: EngineError) -> None:
        self.count += 1
        text = f"{shown(path)}: {error}"
        self._output.warn(f"error: {text}")
        self._output.message({"message_type": "error", "error": {"message": text}}, to_error=True)


def _find_nodes(
    session: Session, output: Output, finder: Finder, every: Iterable[StoredSnapshot], broken: _Broken
) -> None:
    printer = _JsonMatches(output) if output.json else _TextMatches(session, output)
    for stored in every:
        for path, node in finder.find(stored.snapshot.tree, broken):
            printer.add(stored, path, node)
    printer.end()


class _TextMatches:
    def __init__(self, session: Session, output: Output) -> None:
        self._output = output
        self._long = session.arguments.long
        self._human = session.arguments.human_readable
        self._last: StoredSnapshot | None = None

    def add(self, stored: StoredSnapshot, path: bytes, node: Node) -> None:
        if stored is not self._last:
            if self._last is not None:
                self._output.say("")
            self._last = stored
            when = local_text(stored.snapshot.time_nanos)
            self._output.say(f"Found matching entries in snapshot {stored.short} from {when}")
        nodes.put(self._output, nodes.node_line(path, node, long=self._long, human=self._human))

    def end(self) -> None:
        """Nothing follows the last line."""


class _JsonMatches:
    """One array over all snapshots, written as it grows."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: StoredSnapshot | None = None
        self._hits = 0

    def add(self, stored: StoredSnapshot, path: bytes, node: Node) -> None:
        write = self._output.out.write
        if stored is not self._last:
            write("[" if self._last is None else self._closing(self._last) + ",")
            write('{"matches":[')
            self._last, self._hits = stored, 0
        write("," if self._hits else "")
        write(json_text(nodes.found_document(path, node)))
        self._hits += 1

    def _closing(self, stored: StoredSnapshot) -> str:
        return f'],"hits":{self._hits},"snapshot":{string(stored.name)}}}'

    def end(self) -> None:
        self._output.out.write("[]\n" if self._last is None else self._closing(self._last) + "]\n")


def _find_ids(
    output: Output,
    repository: Repository,
    ids: Ids,
    every: Iterable[StoredSnapshot],
    broken: _Broken,
    progress: Progress,
) -> None:
    before = "["
    for stored in every:
        for found in find_ids(repository, stored.snapshot.tree, ids, broken, progress):
            if output.json:
                output.out.write(before + json_text(_occurrence_document(stored, found)))
                before = ","
            else:
                _print_occurrence(output, stored, found)
    if output.json:
        output.out.write("[]\n" if before == "[" else "]\n")


def _occurrence_document(stored: StoredSnapshot, found: Occurrence) -> dict[str, str]:
    document = {
        "object_type": found.kind,
        "id": found.id.hex(),
        "path": nodes.path_text(found.path),
        "parent_tree": found.parent.hex() if found.parent else "",
        "snapshot": stored.name,
        "time": encode_in(stored.snapshot.time_nanos, stored.snapshot.zone),
    }
    return {key: value for key, value in document.items() if value}


def _print_occurrence(output: Output, stored: StoredSnapshot, found: Occurrence) -> None:
    nodes.put(output, f"Found {found.kind} {found.id.hex()}")
    if found.parent is None:
        nodes.put(output, f" ... path {shown(found.path)}")
    else:
        nodes.put(output, f" ... in file {shown(found.path)}")
        nodes.put(output, f"     (tree {found.parent.hex()})")
    nodes.put(output, f" ... in snapshot {stored.short} ({local_text(stored.snapshot.time_nanos)})")
