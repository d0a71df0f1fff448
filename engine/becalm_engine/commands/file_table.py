"""Files of one blob that wait to be restored, by the million: about 200 bytes each, in one buffer.

Objects would be ten times as large. And forked copies share the pages of a buffer; pages with objects on them they
would copy by looking at them, since that counts references.
"""

import marshal
from array import array
from collections.abc import Sequence
from typing import overload

from becalm_engine.commands.restored import Path, RestoredFile
from becalm_engine.format.tree import FILE, Node
from becalm_engine.ids import ID_BYTES, BlobID
from becalm_engine.repository.blob_index import Spot

NO_PACK = 2**32 - 1
EMPTY: Spot = (NO_PACK, 0, 0, 0)
"""Where the content of an empty file lies."""
_NO_BLOB = bytes(ID_BYTES)

Record = tuple[
    str,
    bytes,
    tuple[int, int, int, int, int, int],
    tuple[str, str],
    int,
    tuple[tuple[str, bytes], ...],
    bool,
]
"""Name as shown, name, (mode, mtime, atime, ctime, uid, gid), (user, group), links, attributes: as in a node.

Last, whether it replaces something.
"""


class FileTable(Sequence[RestoredFile]):
    """A sequence of files that is only added to. What it gives are copies: to change them changes nothing in it.

    What is asked of every file, its size and where its blob lies, can be had without the rest.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self.sizes = array("Q")
        self.packs = array("I")
        """The number of each file's pack in the index, or `NO_PACK` for one that is empty."""
        self.offsets = array("I")
        self.stored_bytes = array("I")
        self.plain_bytes = array("I")
        self.blobs = bytearray()
        self.records = bytearray()
        self.ends = array("Q")
        self.folder_numbers = array("I")
        self.folders: list[tuple[Path, str]] = []
        self._last: Path | None = None

    def append(self, file: RestoredFile, spot: Spot) -> None:
        """Add a file, and where its blob lies. Those of a folder come one after the other."""
        node = file.node
        if file.folder is not self._last:
            above = file.path[: len(file.path) - len(file.path.rpartition("/")[2])]
            self.folders.append((file.folder, above))
            self._last = file.folder
        record: Record = (
            file.path[len(self.folders[-1][1]) :],
            node.name,
            (node.mode, node.mtime, node.atime, node.ctime, node.uid, node.gid),
            (node.user, node.group),
            node.links,
            node.xattrs,
            file.replaces,
        )
        self.records += marshal.dumps(record)
        self.ends.append(len(self.records))
        self.folder_numbers.append(len(self.folders) - 1)
        self.blobs += node.content[0] if node.content else _NO_BLOB
        pack, offset, stored, plain = spot
        self.packs.append(pack)
        self.offsets.append(offset)
        self.stored_bytes.append(stored)
        self.plain_bytes.append(plain)
        self.sizes.append(node.size)
        self.total_bytes += node.size

    def extend(self, other: "FileTable") -> None:
        """Add all files of another table, which was filled with the same index."""
        above, folders = len(self.records), len(self.folders)
        self.ends.extend([above + end for end in other.ends])
        self.folder_numbers.extend([folders + number for number in other.folder_numbers])
        self.records += other.records
        self.blobs += other.blobs
        self.folders += other.folders
        self._last = None
        self.total_bytes += other.total_bytes
        for mine, theirs in (
            (self.sizes, other.sizes),
            (self.packs, other.packs),
            (self.offsets, other.offsets),
            (self.stored_bytes, other.stored_bytes),
            (self.plain_bytes, other.plain_bytes),
        ):
            mine.extend(theirs)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, number: int) -> RestoredFile: ...

    @overload
    def __getitem__(self, number: slice) -> list[RestoredFile]: ...

    def __getitem__(self, number: int | slice) -> RestoredFile | list[RestoredFile]:
        """Return a copy of a file, or of some."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        total = len(self.ends)
        if not -total <= number < total:
            raise IndexError(number)
        number %= total
        shown, name, numbers, owner, links, xattrs, replaces = self.record(number)
        folder, above = self.folders[self.folder_numbers[number]]
        node = Node(name, FILE, *numbers, *owner)
        node.size, node.links = self.sizes[number], links
        node.content = () if self.packs[number] == NO_PACK else (self.blob(number),)
        node.xattrs = xattrs
        return RestoredFile(folder, node, above + shown, replaces=replaces)

    def record(self, number: int) -> Record:
        """Return what a file is given, without making an object of it."""
        start = self.ends[number - 1] if number else 0
        found: Record = marshal.loads(memoryview(self.records)[start : self.ends[number]])  # noqa: S302  written above
        return found

    def folder(self, number: int) -> tuple[int, Path]:
        """Return the folder of a file: its number here, and its place."""
        at = self.folder_numbers[number]
        return at, self.folders[at][0]

    def blob(self, number: int) -> BlobID:
        """Return the blob of a file that is not empty."""
        return BlobID(bytes(self.blobs[number * ID_BYTES : (number + 1) * ID_BYTES]))
