"""What becomes of a file that is there already when a snapshot is restored over it."""

import enum
import os
import stat

from becalm_engine.format.tree import FILE, Node


class Overwrite(enum.StrEnum):
    """restic's rules: which files that are there are brought to the state of the snapshot."""

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"


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
    """Decide by what is found at the place of a node that is no directory."""
    if found is None:
        return Verdict.NEW
    if rule is Overwrite.NEVER or (rule is Overwrite.IF_NEWER and found.st_mtime_ns >= node.mtime):
        return Verdict.KEEP
    if node.type != FILE or not stat.S_ISREG(found.st_mode) or found.st_nlink > max(1, node.links):
        return Verdict.REPLACE
    if rule is Overwrite.IF_CHANGED and (found.st_mtime_ns, found.st_size) == (node.mtime, node.size):
        return Verdict.TRUST
    return Verdict.COMPARE
