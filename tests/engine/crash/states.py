"""What a crash leaves of a repository, and what there is to say about it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from becalm_engine.commands.check import check
from becalm_engine.commands.edit import first_id
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import EngineError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_blob
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.commands.world import restore
from tests.engine.crash.crashing import CrashingStorage, Killed
from tests.engine.crash.plays import Files, Play, opened
from tests.engine.storage.memory import MemoryStorage
from tests.engine.volume.picture import Entry, picture

Shape = tuple[frozenset[object], frozenset[tuple[FileKind, int]]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a snapshot holds. `first` is the name that it was first stored under; `content` is by path."""

    first: str
    tags: tuple[str, ...]
    content: dict[bytes, tuple[str, bytes]]


def stored_in(files: Files) -> MemoryStorage:
    storage = MemoryStorage()
    storage.files.update(files)
    return storage


def crashes(play: Play) -> Iterator[tuple[str, Files]]:
    """Yield what every crash leaves, without the locks, which people remove."""
    for after in (False, True):
        at, survived = 0, False
        while not survived:
            at += 1
            storage = stored_in(play.files)
            dying = CrashingStorage(storage, at=at, after=after)
            try:
                play.run(dying)
            except (Killed, EngineError):
                assert dying.dead
            survived = not dying.dead
            files = {key: data for key, data in storage.files.items() if key[0] is not FileKind.LOCK}
            yield f"killed {'after' if after else 'before'} call {at}", files


def content_of(files: Files) -> dict[str, Held]:
    """Return all that each snapshot holds, by its name; what it lacks is empty."""
    repository = opened(stored_in(files))
    every = snapshots.list_snapshots(repository)
    repository.load_index()

    def content(node: Node) -> bytes:
        known = [blob for blob in node.content if blob in repository.index]
        return b"".join(load_blob(repository, blob) for blob in known)

    def held(tree: BlobID) -> dict[bytes, tuple[str, bytes]]:
        found, walk = {}, Walk(repository, tree)
        for node in walk:
            found[walk.path] = (node.type, content(node))
        return found

    return {
        stored.name: Held(first_id(stored), stored.snapshot.tags, held(stored.snapshot.tree))
        for stored in every
    }


def faults_of(files: Files) -> list[str]:
    repository = opened(stored_in(files))
    return check(repository, read_data=True, progress=Progress(), say=lambda _: None).errors


def shape_of(files: Files, play: Play) -> Shape:
    """Return what tells states apart: which old files are gone, and how many new ones of each kind there are."""
    added = Counter(kind for kind, _ in files.keys() - play.files.keys())
    return frozenset(play.files.keys() - files.keys()), frozenset(added.items())


def finished(play: Play, files: Files) -> Files:
    """Run the command again, to its end."""
    storage = stored_in(files)
    play.run(storage)
    return storage.files


def lost(before: dict[str, Held], actual: dict[str, Held], clean: dict[str, Held], play: Play) -> list[str]:
    """Name snapshots that are gone, or that are neither as they were nor as they are to become."""
    there = {held.first for held in actual.values()}
    gone = [
        held.first for name, held in before.items() if held.first not in there and name not in play.may_go
    ]
    right = [*before.values(), *clean.values()]
    # a backup makes other names with each run
    known = {held.first for held in right}
    return gone + [
        name
        for name, held in actual.items()
        if not any(
            held.content == one.content
            and held.tags == one.tags
            and (held.first == one.first or held.first not in known)
            for one in right
        )
    ]


def restored(files: Files, into: Path) -> dict[str, dict[bytes, Entry]]:
    """Restore every snapshot, and return what each looks like."""
    repository = opened(stored_in(files))
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    for stored in every:
        (into / stored.name).mkdir(parents=True)
        assert restore(repository, stored.snapshot.tree, into / stored.name).failed == []
    return {stored.name: picture(into / stored.name) for stored in every}


def write(files: Files, folder: Path) -> None:
    """Lay a repository out as a folder."""
    LocalStorage(folder).create()
    for (kind, name), data in files.items():
        path = Path(folder, kind.value)
        if kind is FileKind.PACK:
            path /= name[:2]
        (path / name if name else path).write_bytes(data)
