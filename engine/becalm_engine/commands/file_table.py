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

_NO_BLOB = bytes(ID_BYTES)


class FileTable(Sequence[RestoredFile]):
    """A sequence of files that is only added to. What it gives are copies: to change them changes nothing in it.

    What is asked of every file, its size and its blob, can be had without the rest.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self.sizes = array("Q")
        self._blobs = bytearray()
        self._records = bytearray()
        self._ends = array("Q")
        self._folders: list[tuple[Path, str]] = []
        self._last: Path | None = None

    def append(self, file: RestoredFile) -> None:
        """Add a file. Those of a folder come one after the other."""
        node = file.node
        if file.folder is not self._last:
            above = file.path[: len(file.path) - len(file.path.rpartition("/")[2])]
            self._folders.append((file.folder, above))
            self._last = file.folder
        self._records += marshal.dumps(
            (
                len(self._folders) - 1,
                file.path[len(self._folders[-1][1]) :],
                node.name,
                (node.mode, node.mtime, node.atime, node.ctime, node.uid, node.gid),
                (node.user, node.group),
                node.links,
                len(node.content),
                node.xattrs,
            )
        )
        self._blobs += node.content[0] if node.content else _NO_BLOB
        self.sizes.append(node.size)
        self._ends.append(len(self._records))
        self.total_bytes += node.size

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, number: int) -> RestoredFile: ...

    @overload
    def __getitem__(self, number: slice) -> list[RestoredFile]: ...

    def __getitem__(self, number: int | slice) -> RestoredFile | list[RestoredFile]:
        """Return a copy of a file, or of some."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        total = len(self._ends)
        if not -total <= number < total:
            raise IndexError(number)
        number %= total
        start = self._ends[number - 1] if number else 0
        record = marshal.loads(memoryview(self._records)[start : self._ends[number]])  # noqa: S302  written above
        at, shown, name, numbers, owner, links, count, xattrs = record
        folder, above = self._folders[at]
        node = Node(name, FILE, *numbers, *owner)
        node.size, node.links = self.sizes[number], links
        node.content = (self._blob(number),) if count else ()
        node.xattrs = xattrs
        return RestoredFile(folder, node, above + shown)

    def blob_of(self, number: int) -> BlobID | None:
        """Return the blob of a file, or None if it is empty."""
        blob = self._blob(number)
        return blob if blob != _NO_BLOB else next(iter(self[number].node.content), None)

    def _blob(self, number: int) -> BlobID:
        return BlobID(bytes(self._blobs[number * ID_BYTES : (number + 1) * ID_BYTES]))
