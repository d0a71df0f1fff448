"""`becalm cat`: an object of the repository as it is, for those who look into one."""

import sys

from becalm_engine.cli import show
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import subtree_at
from becalm_engine.contract import AccessReport, Report
from becalm_engine.errors import UsageError
from becalm_engine.format import key_file
from becalm_engine.format.documents import parse_object
from becalm_engine.format.shown import indented_text
from becalm_engine.ids import BlobID, is_name, parse_id
from becalm_engine.repository import reader, snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

_FILES = {
    "snapshot": FileKind.SNAPSHOT,
    "index": FileKind.INDEX,
    "key": FileKind.KEY,
    "lock": FileKind.LOCK,
}


def cat(session: Session, output: Output, progress: Progress) -> Report:
    """Print an internal object. The master key is never among them."""
    kind, name = session.arguments.kind, session.arguments.id
    repository = session.repository()
    if kind == "config":
        output.out.write(show.config_text(repository.config))
        return AccessReport(repository_id=repository.config.id, version=repository.config.version)
    if not name:
        raise UsageError(f"cat {kind} needs an id")
    content = _internal_object(repository, kind, name)
    output.out.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    return Report()


def _internal_object(repository: Repository, kind: str, name: str) -> bytes:
    if kind in ("tree", "blob"):
        repository.load_index()
        return reader.load_blob(repository, _blob_named(repository, kind, name))
    names = [f.name for f in repository.storage.list(_FILES[kind]) if f.name.startswith(name)]
    if len(names) != 1:
        raise UsageError(f"{len(names)} files of kind {kind} begin with {name!r}")
    if kind == "key":
        return _indented(
            kind, key_file.encode(key_file.decode(repository.storage.load(FileKind.KEY, names[0])))
        )
    document = repository.load_document(_FILES[kind], names[0])
    return document if kind == "index" else _indented(kind, document)


def _blob_named(repository: Repository, kind: str, name: str) -> BlobID:
    """Return the blob of an id; a tree may also be named by its snapshot, or by that and a folder in it."""
    if kind == "blob" or is_name(name):
        return BlobID(parse_id(name))
    snapshot, _, folder = name.partition(":")
    tree, _ = subtree_at(repository, snapshots.find_snapshot(repository, snapshot).snapshot.tree, folder)
    if tree is None:
        raise UsageError(f"{folder} is no folder")
    return tree


def _indented(kind: str, document: bytes) -> bytes:
    return indented_text(parse_object(document, kind)).encode() + b"\n"
