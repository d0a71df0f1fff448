"""Which snapshot a backup compares with, and which files count as unchanged."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from becalm_engine.errors import DamagedError
from becalm_engine.format import gotime
from becalm_engine.format.gotime import NANOS
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node
from becalm_engine.policy.grouping import Grouping, Key

K = TypeVar("K")

_SETTLED_NANOS = 60 * NANOS
"""So much older than a hot read's beginning (T0) are the times of a file that it is trusted for.

Clocks would do with milliseconds. But one call of write(2) sets the times once, as it begins, and changes pages until
it ends: where the kernel slows writers down to the pace of a disk that has fallen behind, that is seconds later, or
tens of seconds for a call of hundreds of megabytes. What such a call changes after the read shows nowhere. The price
is small: what changed in the last minute before T0 is read again. Where nothing was synced at T0, it has to be more
than the 35 seconds after which Linux writes a dirty page back, and protects it.
"""


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """What may differ without a file counting as changed.

    `hot_since_nanos`: the parent was read while its source could be written, from that time on. Then only files
    whose times lie well before it are trusted: a page dirtied before the read and stored again after it changes
    no time.
    """

    ignore_inode: bool = False
    ignore_ctime: bool = False
    hot_since_nanos: int | None = None


def is_unchanged(node: Node, before: Node, rules: ChangeRules) -> bool:
    """Say whether a file's content can be taken from `before`, its node in the parent, without reading it."""
    if node.type != FILE or before.type != FILE:
        return False
    same = (
        node.size == before.size
        and node.mtime == before.mtime
        and (rules.ignore_ctime or node.ctime == before.ctime)
        and (rules.ignore_inode or node.inode == before.inode)
    )
    return same and is_settled(node.mtime, node.ctime, rules)


def is_settled(mtime: int, ctime: int, rules: ChangeRules) -> bool:
    """Say whether a file that has these times in the parent, too, cannot have changed since it was read for that."""
    changed = mtime if rules.ignore_ctime else max(mtime, ctime)
    return rules.hot_since_nanos is None or changed + _SETTLED_NANOS < rules.hot_since_nanos


def read_since_nanos(parent: Snapshot) -> int:
    """Say from when on a snapshot's source was read: as its summary has it, or the snapshot's own time."""
    try:
        return gotime.decode(str(parent.summary.get("backup_start")))
    except DamagedError:
        return parent.time_nanos


def choose_parent(
    snapshots: Iterable[tuple[K, Snapshot]], *, group: Key, grouping: Grouping, now_nanos: int
) -> tuple[K, Snapshot] | None:
    """Return the newest snapshot of a group, not newer than now."""
    fitting = [
        (key, snapshot)
        for key, snapshot in snapshots
        if grouping.key_of(snapshot) == group and snapshot.time_nanos <= now_nanos
    ]
    return max(fitting, key=lambda pair: pair[1].time_nanos, default=None)
