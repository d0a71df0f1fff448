"""`becalm find`: where a name, a blob, a tree or a pack occurs in snapshots."""

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Broken, Walk
from becalm_engine.errors import EngineError, SnapshotMissingError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, Node
from becalm_engine.ids import HEX_CHARS, BlobID, digest, is_name
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository.repository import Repository

_SHORT_CHARS = 8
_MOST_BARREN = 1_000_000
"""Some 100 MiB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which nodes are sought: a name that fits, and a time of change that lies between two (nanoseconds)."""

    patterns: tuple[str, ...]
    ignore_case: bool = False
    oldest_nanos: int | None = None
    newest_nanos: int | None = None

    def fits_time(self, node: Node) -> bool:
        """Say whether a node was changed in the time that is asked for."""
        return (self.oldest_nanos is None or node.mtime >= self.oldest_nanos) and (
            self.newest_nanos is None or node.mtime <= self.newest_nanos
        )


@dataclass(slots=True)
class _Open:
    """A directory that the walk is in: what of its path matters, that and its content, and what was found before."""

    depth: int
    place: bytes
    key: bytes
    hits: int


class _Barren:
    """Remembers directories in which nothing was found, so that nobody looks there again."""

    def __init__(self) -> None:
        self.hits = 0
        self._keys: set[bytes] = set()
        self._open = [_Open(0, b"", b"", 0)]

    @property
    def place(self) -> bytes:
        """What of the path of the directory that the walk is in matters."""
        return self._open[-1].place

    def enter(self, depth: int, place: bytes, tree: BlobID) -> bool:
        """Say whether a directory may hold something, and note that it is entered."""
        key = digest(place + tree)
        if key in self._keys:
            return False
        self._open.append(_Open(depth, place, key, self.hits))
        return True

    def leave(self, depth: int) -> None:
        """Note that the walk is back at a depth."""
        while self._open[-1].depth >= depth:
            left = self._open.pop()
            if left.hits == self.hits:
                if len(self._keys) >= _MOST_BARREN:
                    self._keys.clear()
                self._keys.add(left.key)


class Finder:
    """Finds nodes by name in one snapshot after another.

    What lies below a directory that fits, fits too, as in restic. A directory in which nothing was found is not
    walked again where a later snapshot has the same one at the same place.
    """

    def __init__(self, repository: Repository, wanted: Wanted, progress: Progress) -> None:
        self._repository = repository
        self._wanted = wanted
        self._progress = progress
        self._patterns = Patterns(_positive(wanted.patterns), ignore_case=wanted.ignore_case)
        self._ways = _ways_to(wanted)
        # what is relative fits by its last components, whatever is above them; paths take longer to make and to match
        self._deciding = _deciding(wanted)
        self._barren = _Barren()

    def find(self, root: BlobID, broken: Broken) -> Iterator[tuple[bytes, Node]]:
        """Yield path and node of everything in a snapshot that is sought."""

        def note(tree: BlobID, path: bytes, error: EngineError) -> None:
            self._barren.hits += 1  # what cannot be read is not barren
            broken(tree, path, error)

        walk = Walk(self._repository, root, broken=note)
        fitting_depth = 0
        for node in walk:
            self._progress.check()
            self._barren.leave(walk.depth)
            if walk.depth <= fitting_depth:
                fitting_depth = 0
            if not fitting_depth and self._patterns.match(self._subject(walk)):
                fitting_depth = walk.depth
            if fitting_depth and self._wanted.fits_time(node):
                self._barren.hits += 1
                yield walk.path, node
            if node.type == DIR and not self._opens(walk, node, fits=fitting_depth > 0):
                walk.skip()
        self._barren.leave(1)

    def _subject(self, walk: Walk) -> str:
        return os.fsdecode(walk.path if self._deciding is None else walk.tail(self._deciding))

    def _opens(self, walk: Walk, node: Node, *, fits: bool) -> bool:
        """Say whether something may be found in a directory, and note that it is entered."""
        assert node.subtree is not None
        leads = fits or self._ways is None or self._ways.match(os.fsdecode(walk.path))
        if not leads:
            return False
        return self._barren.enter(walk.depth, self._place(walk, node, fits=fits), node.subtree)

    def _place(self, walk: Walk, node: Node, *, fits: bool) -> bytes:
        """Return what of a directory's path decides what is found in it."""
        if fits:
            return b"//fits"
        if self._deciding is None:
            return digest(self._barren.place + node.name)
        return walk.tail(self._deciding - 1) if self._deciding else b""


def _positive(patterns: Sequence[str]) -> list[str]:
    """Return patterns without the mark that takes back: there is nothing to take back from in a search."""
    return [pattern.removeprefix("!") for pattern in patterns]


def _ways_to(wanted: Wanted) -> Patterns | None:
    """Return patterns of the directories that may hold what fits, or None if all may."""
    prefixes = []
    for pattern in _positive(wanted.patterns):
        if not pattern.startswith("/"):
            return None
        parts = pattern.strip("/").split("/")
        if "**" in parts:
            return None
        prefixes += ["/" + "/".join(parts[:count]) for count in range(1, len(parts))]
    return Patterns(prefixes, ignore_case=wanted.ignore_case)


def _deciding(wanted: Wanted) -> int | None:
    """Return how many names above an entry decide, besides its own, whether it fits; None if all do."""
    patterns = [posixpath.normpath(pattern) for pattern in _positive(wanted.patterns)]
    if any(pattern.startswith("/") or "**" in pattern for pattern in patterns):
        return None
    return max((pattern.count("/") for pattern in patterns), default=0)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A blob or a tree in a snapshot: `kind` is blob or tree; `parent` is the tree that lists the file."""

    kind: str
    id: BlobID
    path: bytes
    parent: BlobID | None = None


@dataclass(slots=True)
class Ids:
    """Ids that are sought, in full or by their first eight digits. None means that the kind is not sought."""

    blobs: set[str] | None = None
    trees: set[str] | None = None
    found: set[BlobID] = field(default_factory=set)

    def has(self, among: set[str] | None, blob: BlobID) -> bool:
        """Say whether an id is sought."""
        if not among:
            return False
        text = blob.hex()
        if text not in among and text[:_SHORT_CHARS] not in among:
            return False
        self.found.add(blob)
        return True


def find_ids(
    repository: Repository, root: BlobID, ids: Ids, broken: Broken, progress: Progress
) -> Iterator[Occurrence]:
    """Yield every place in a snapshot where one of the ids occurs."""
    if ids.has(ids.trees, root):
        yield Occurrence("tree", root, b"/")
    barren = _Barren()

    def note(tree: BlobID, path: bytes, error: EngineError) -> None:
        barren.hits += 1
        broken(tree, path, error)

    walk = Walk(repository, root, broken=note)
    for node in walk:
        progress.check()
        barren.leave(walk.depth)
        for found in _occurrences(walk, node, ids):
            barren.hits += 1
            yield found
        if node.type == DIR and node.subtree is not None and not barren.enter(walk.depth, b"", node.subtree):
            walk.skip()


def _occurrences(walk: Walk, node: Node, ids: Ids) -> Iterator[Occurrence]:
    if node.type == DIR and node.subtree is not None and ids.has(ids.trees, node.subtree):
        yield Occurrence("tree", node.subtree, walk.path)
    elif node.type == FILE and ids.blobs:
        for blob in node.content:
            if ids.has(ids.blobs, blob):
                yield Occurrence("blob", blob, walk.path, walk.tree)


def ids_of_packs(repository: Repository, packs: Sequence[str]) -> Ids:
    """Return what packs hold, by the index.

    Raises:
        SnapshotMissingError: The index has no such pack.
    """
    ids = Ids(set(), set())
    assert ids.blobs is not None
    assert ids.trees is not None
    known = {pack.hex(): pack for pack in repository.index.packs()}
    missing = [text for text in packs if not any(_means(text, name) for name in known)]
    if missing:
        raise SnapshotMissingError(f"the index has no pack {', '.join(missing)}")
    wanted = {pack for name, pack in known.items() if any(_means(text, name) for text in packs)}
    for location in repository.index:
        if location.pack in wanted:
            into = ids.trees if location.blob.kind is BlobKind.TREE else ids.blobs
            into.add(location.blob.id.hex())
    return ids


def _means(text: str, name: str) -> bool:
    return text in (name, name[:_SHORT_CHARS])


def packs_of(repository: Repository, ids: Ids, tell: Callable[[str], None]) -> None:
    """Tell in which pack each sought id lies."""
    full = {blob.hex() for blob in ids.found}
    for kind, texts in ((BlobKind.DATA, ids.blobs), (BlobKind.TREE, ids.trees)):
        named = sorted(text for text in texts or () if len(text) == HEX_CHARS)
        short = sorted(text for text in full if texts and text[:_SHORT_CHARS] in texts)
        for text in dict.fromkeys([*named, *short]):
            _tell_pack(repository, kind, text, tell)


def _tell_pack(repository: Repository, kind: BlobKind, text: str, tell: Callable[[str], None]) -> None:
    name = kind.name.lower()
    location = repository.index.find(BlobID(bytes.fromhex(text))) if is_name(text) else None
    if location is None or location.blob.kind is not kind:
        tell(f"Object {name} with type {text[:_SHORT_CHARS]} not found in the index")
        return
    blob = location.blob
    pack = location.pack.hex()
    tell(f"Object belongs to pack {pack}")
    tell(
        f" ... Pack {pack[:_SHORT_CHARS]}: <Blob ({name}) {text[:_SHORT_CHARS]}, offset {blob.offset}, "
        f"length {blob.stored_bytes}, uncompressed length {blob.plain_bytes}>"
    )
