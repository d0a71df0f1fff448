"""What snapshots are grouped by: the value of `--group-by`."""

from dataclasses import dataclass

from becalm_engine.errors import UsageError
from becalm_engine.format.snapshot import Snapshot

Key = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Host, paths and tags of a group; what is not grouped by is empty."""

_PARTS = {"host": "host", "hosts": "host", "path": "paths", "paths": "paths", "tag": "tags", "tags": "tags"}


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which of host, paths and tags are compared; the order of paths and tags does not matter."""

    host: bool = True
    paths: bool = True
    tags: bool = False

    @classmethod
    def parse(cls, text: str) -> "Grouping":
        """Read a list of names with commas; an empty one makes one group of all.

        Raises:
            UsageError: One of them is no such name.
        """
        names = {_PARTS.get(part) for part in text.split(",") if part}
        if None in names:
            raise UsageError(f"--group-by {text!r}: not host, paths or tags")
        return cls(host="host" in names, paths="paths" in names, tags="tags" in names)

    def key(self, hostname: str, paths: tuple[str, ...], tags: tuple[str, ...]) -> Key:
        """Return the group of a snapshot that has these."""
        return (
            hostname if self.host else "",
            tuple(sorted(paths)) if self.paths else (),
            tuple(sorted(tags)) if self.tags else (),
        )

    def key_of(self, snapshot: Snapshot) -> Key:
        """Return the group of a snapshot."""
        return self.key(snapshot.hostname, snapshot.paths, snapshot.tags)
