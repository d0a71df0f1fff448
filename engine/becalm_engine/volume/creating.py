"""New files in one folder: what a file has from the start need not be given to it.

Owner, mode and attributes of a new file come from who makes it, from the folder (set-group-id, default ACLs) and from
the file system (labels, servers that map owners). So nothing is foretold: the first file in a folder is looked at, and
the first of each mode. None of that changes while a folder is written: its own metadata is set last.
"""

import os
import stat

from becalm_engine.volume import target

_PERMISSION_BITS = 0o777


class NewFiles:
    """Creates files in an open folder. With `marked`, each is known as unfinished until it gets its mode."""

    def __init__(self, folder: int, *, marked: bool = False) -> None:
        self._folder = folder
        self._marked = marked
        self._owner: tuple[int, int] | None = None
        self._looked = False
        self._given: dict[int, bool] = {}
        """Modes, and whether a file that is made with one has it."""

    def create(
        self, name: bytes, mode: int, uid: int, gid: int, *, replaces: bool = True
    ) -> tuple[int, bool]:
        """Create a file. What has its name is replaced only if it `replaces` something.

        Returns its descriptor, and whether it has this mode and owner already, and no attributes. If not, nobody else
        may open it until it has.
        """
        if self._marked:
            return target.create_file(self._folder, name, replaces=replaces), False
        if (uid, gid) != self._owner or not self._given.get(mode, not mode & ~_PERMISSION_BITS):
            handle = target.create_file(self._folder, name, replaces=replaces)
            if not self._looked:
                self._owner, self._looked = _owner_of(handle), True
            return handle, False
        handle = target.create_file(self._folder, name, mode, replaces=replaces)
        if mode not in self._given:
            self._given[mode] = stat.S_IMODE(os.fstat(handle).st_mode) == mode
        return handle, self._given[mode]


def _owner_of(handle: int) -> tuple[int, int] | None:
    """Return the owner of a new file; None if it has attributes, which must be looked at file by file."""
    try:
        if os.listxattr(handle):
            return None
    except OSError:  # a place without attributes
        pass
    found = os.fstat(handle)
    return found.st_uid, found.st_gid
