"""Whether a file system says when a file was changed through a shared mapping, so that a hot read may be trusted.

Such a store changes a file's times at its first fault only. What has been written back is protected anew, and the
next store faults again; so after a sync no change stays hidden. A file system that never writes back never protects.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_TRUSTED = frozenset(("ext3", "ext4", "xfs", "btrfs"))
"""Disks of the node. Others keep no page protected (tmpfs), have the clock of a server, or were not looked at."""

_MOUNT_POINT = 4
_ESCAPED = re.compile(r"\\([0-7]{3})")
"""How a blank or a line break stands in a mount point."""


def tells_of_stores(handle: int) -> bool:
    """Say whether every store after a sync changes the times of a file; `handle` is any file or folder there."""
    return file_system_of(handle) in _TRUSTED


def file_system_of(handle: int) -> str:
    """Return the type of the file system that an open file lies on, as the kernel calls it; empty if it is unknown.

    The mount is asked for, not the device: btrfs gives its files numbers that no mount has.
    """
    try:
        mount = _field(Path(f"/proc/self/fdinfo/{handle}").read_text(), "mnt_id:")
        mounts = _mounts()
    except OSError:
        return ""
    return next((kind for number, kind in _types(mounts) if number == mount), "")


def mounts_below(path: bytes) -> Iterator[bytes]:
    """Yield where other file systems are mounted below a path."""
    above = os.path.join(os.fsdecode(os.path.realpath(path)), "")
    for line in _mounts().splitlines():
        fields = line.split()
        if len(fields) > _MOUNT_POINT:
            place = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[_MOUNT_POINT])
            if place.startswith(above) and place != above:
                yield os.fsencode(place)


def _mounts() -> str:
    return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")


def _field(text: str, name: str) -> str:
    return next((line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(name)), "")


def _types(mounts: str) -> list[tuple[str, str]]:
    """Return number and type of each mount: `36 35 98:0 / /mnt rw shared:1 - ext4 /dev/sda rw`."""
    found = []
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        if dash and before and after:
            found.append((before.split()[0], after.split()[0]))
    return found
