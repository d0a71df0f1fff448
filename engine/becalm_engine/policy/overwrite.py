"""What becomes of a file that is there already when a snapshot is restored over it."""

import enum
import os
import stat

from becalm_engine.format.tree import CHARDEV, DEV, FIFO, FILE, SYMLINK, Node

UNFINISHED = 0o200
"""The mode of a file that a restore has begun, until it is whole: then it gets its own as the last thing.

So what a restore has left behind is known, whatever ended it: times move with each write, a mode does not. And
nobody but root can take it for whole and read it.
"""
UNFINISHED_FOLDER = 0o1700
"""The same for a directory that a restore has made: one must be able to enter it."""

_KINDS = {
    FILE: stat.S_IFREG,
    SYMLINK: stat.S_IFLNK,
    DEV: stat.S_IFBLK,
    CHARDEV: stat.S_IFCHR,
    FIFO: stat.S_IFIFO,
}


class Overwrite(enum.StrEnum):
    """restic's rules: which files that are there are brought to the state of the snapshot."""

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"

    @property
    def keeps_unread(self) -> bool:
        """Whether a file may stay though its content is not that of the snapshot."""
        return self in (Overwrite.IF_NEWER, Overwrite.NEVER)


class Verdict(enum.Enum):
    """What to do about one file."""

    NEW = enum.auto()
    """Nothing is there."""
    REPLACE = enum.auto()
    """What is there is removed: it is of another type, or has more names, which must not change with it."""
    COMPARE = enum.auto()
    """Its content is read, and only what differs is written."""
    TRUST = enum.auto()
    """Its content is taken to be that of the snapshot; its metadata is set."""
    KEEP = enum.auto()
    """It stays as it is."""


def judge(rule: Overwrite, node: Node, found: os.stat_result | None) -> Verdict:
    """Decide by what is found at the place of a node that is no directory.

    What another restore has begun and not finished is nobody's file: no rule keeps it.
    """
    if found is None:
        return Verdict.NEW
    is_newer = found.st_mtime_ns >= node.mtime
    if (rule is Overwrite.NEVER or (rule is Overwrite.IF_NEWER and is_newer)) and not _is_begun(node, found):
        return Verdict.KEEP
    if node.type != FILE or not stat.S_ISREG(found.st_mode) or found.st_nlink > max(1, node.links):
        return Verdict.REPLACE
    if rule is Overwrite.IF_CHANGED and seems_same(node, found):
        return Verdict.TRUST
    return Verdict.COMPARE


def seems_same(node: Node, found: os.stat_result) -> bool:
    """Say whether what is there has the type, the time and the length of a node: then it most likely is the same."""
    lengths = {FILE: node.size, SYMLINK: len(node.link_target)}
    is_like = stat.S_IFMT(found.st_mode) == _KINDS.get(node.type) and found.st_mtime_ns == node.mtime
    return is_like and found.st_size == lengths.get(node.type, found.st_size)


def _is_begun(node: Node, found: os.stat_result) -> bool:
    """Say whether a restore has left a file unfinished. One that is to have that mode may be whole."""
    mode = stat.S_IMODE(found.st_mode)
    return stat.S_ISREG(found.st_mode) and mode == UNFINISHED != stat.S_IMODE(node.mode)


def is_begun_folder(node: Node | None, found: os.stat_result) -> bool:
    """Say whether a restore has made a directory and not given it its metadata."""
    mode = stat.S_IMODE(found.st_mode) & ~stat.S_ISGID  # which it may have from the one above it
    return mode == UNFINISHED_FOLDER and (node is None or stat.S_IMODE(node.mode) != UNFINISHED_FOLDER)
