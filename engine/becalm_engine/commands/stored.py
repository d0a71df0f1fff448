"""What is to be stored of a backup, directory by directory, and what became of it."""

from dataclasses import dataclass, field

from becalm_engine.ids import BlobID


@dataclass(slots=True)
class Tally:
    """What a backup has seen."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    bytes_processed: int = 0

    def add(self, other: "Tally") -> None:
        """Add what another has seen."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class FolderTask:
    """A directory to store.

    `before` is the tree that contents are taken from; `counted` the one that the parent snapshot has, by which
    files count as new or changed. They differ if there was a pass ahead. `followed`: links may lead to it.
    """

    path: bytes
    before: BlobID | None
    counted: BlobID | None
    followed: bool = False


@dataclass(slots=True)
class Subfolder:
    """A directory in a directory. `text` is the JSON of its node, but for the subtree and the last brace."""

    position: int
    name: bytes
    text: str
    before: BlobID | None
    counted: BlobID | None = None
    is_mount_point: bool = False

    def node_text(self, tree: BlobID) -> str:
        """Return the JSON of its node."""
        return f'{self.text},"subtree":"{tree.hex()}"}}'


@dataclass(slots=True)
class StoredFolder:
    """What became of a directory: its tree, or if there are directories in it, what its tree will consist of."""

    tree: BlobID | None = None
    texts: list[str] = field(default_factory=list)
    folders: list[Subfolder] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    unreadable: list[tuple[bytes, str, str]] = field(default_factory=list)
    """Paths, what was being done, and why it failed."""
    files: list[tuple[str, bytes, int]] = field(default_factory=list)
    """What became of files, their paths and lengths in bytes; kept only for those who list them."""
