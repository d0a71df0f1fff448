"""Trees that unfold: a directory that is stored once may occur many times, and those in it again.

Forty small trees can stand for a trillion files. Honest snapshots repeat themselves too, as hard links do
that keep generations of a folder, but not a thousand times over.
"""

from dataclasses import dataclass

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import DamagedError
from becalm_engine.format.tree import DIR
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository

_MOST_REPEATED = 20_000
"""So many entries may come again before anybody counts."""
_MOST_ENTRIES = 10_000_000
_MOST_TIMES = 1000


@dataclass(frozen=True, slots=True)
class Extent:
    """How many entries a tree has: those that are stored, and those that a restore would make."""

    stored: int
    unfolded: int

    @property
    def is_absurd(self) -> bool:
        """Whether no honest snapshot is like this."""
        return self.unfolded > _MOST_ENTRIES and self.unfolded > _MOST_TIMES * self.stored


def extent_of(repository: Repository, root: BlobID, progress: Progress) -> Extent:
    """Count the entries below a tree; each directory is read once, and one that cannot be read counts as empty."""
    known: dict[BlobID, int] = {}
    stored = 0
    levels = [(root, 0)]
    walk = Walk(repository, root, broken=lambda *_: None)

    def leave(depth: int) -> None:
        while len(levels) > depth:
            tree, known[tree] = levels.pop()
            above, count = levels[-1]
            levels[-1] = above, count + known[tree]

    for node in walk:
        progress.check()
        leave(walk.depth)
        stored += 1
        tree, count = levels[-1]
        levels[-1] = tree, count + 1
        if node.type != DIR or node.subtree is None:
            continue
        if node.subtree in known:
            levels[-1] = tree, count + 1 + known[node.subtree]
            walk.skip()
        else:
            levels.append((node.subtree, 0))
    leave(1)
    return Extent(stored, levels[0][1])


class UnfoldingGuard:
    """Watches a walk over a tree, and ends it where it would be without end."""

    def __init__(self, repository: Repository, root: BlobID, progress: Progress) -> None:
        self._repository = repository
        self._root = root
        self._progress = progress
        self._seen: set[BlobID] = set()
        self._repeated: int | None = 0

    def enter(self, tree: BlobID, entries: int) -> None:
        """Note that the walk has come to a directory.

        Raises:
            DamagedError: What is walked unfolds to absurdly more than is stored.
        """
        if self._repeated is None:
            return
        if tree not in self._seen:
            self._seen.add(tree)
            return
        self._repeated += entries
        if self._repeated > _MOST_REPEATED:
            self._repeated = None
            self._judge()

    def _judge(self) -> None:
        extent = extent_of(self._repository, self._root, self._progress)
        if extent.is_absurd:
            raise DamagedError(
                f"the snapshot has {extent.stored} entries that unfold to {extent.unfolded}: no backup is like that. "
                "Parts of it can be restored as ID:FOLDER"
            )
