"""Which files a backup takes: the named sources, and what is excluded below them."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from becalm_engine.digits import whole_number
from becalm_engine.errors import SourceMissingError, UsageError
from becalm_engine.policy.patterns import Patterns
from becalm_engine.volume.scan import CACHE_TAG, has_marker


@dataclass(slots=True)
class Folder:
    """A directory on the way to the sources. A leaf is a source itself: all of it is taken.

    `is_way`: something below it is named, so that links are followed here; a leaf may be that, too.
    """

    path: bytes
    leaf: bool = False
    children: "dict[bytes, Folder]" = field(default_factory=dict)
    is_way: bool = False


def present_and_missing(sources: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sources that are there, and those that are not.

    Raises:
        SourceMissingError: None is there.
        UsageError: None is named.
    """
    if not sources:
        raise UsageError("nothing to back up: name at least one file or folder")
    present = tuple(source for source in sources if os.path.lexists(source))
    missing = tuple(source for source in sources if source not in set(present))
    if not present:
        raise SourceMissingError(f"{', '.join(missing)}: nothing of this exists")
    return present, missing


def arrange(sources: Sequence[str]) -> Folder:
    """Return the directories that lead to the sources: from `/` for absolute ones, as restic stores them.

    Raises:
        UsageError: They cannot be in one snapshot.
    """
    root = Folder(b"/")
    for source in sources:
        _add(root, os.fsencode(os.path.normpath(source)))
    if root.leaf and root.path != b"/" and len(sources) > 1:
        raise UsageError(
            f"{os.fsdecode(root.path)} can only be backed up alone; name the others by another run"
        )
    return root


def _add(root: Folder, source: bytes) -> None:
    """Add one source. What lies below another source is taken with that."""
    folder = root
    path = b"/" if source.startswith(b"/") else b""
    for component in source.split(b"/"):
        if component in (b"", b"."):
            continue
        folder.is_way = True
        if folder.leaf:
            return
        path = os.path.join(path, component)
        if component == b"..":  # leads to the source, and stands in no tree
            continue
        folder = folder.children.setdefault(component, Folder(path))
        if folder.path != path:
            raise UsageError(
                f"{os.fsdecode(folder.path)} and {os.fsdecode(path)} would have one place in the snapshot; "
                "name them by their absolute paths"
            )
    folder.leaf = True
    folder.children.clear()
    if folder is root:
        folder.path = path or b"."


def leaves(root: Folder) -> Iterator[bytes]:
    """Yield the paths of the sources themselves."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        waiting += folder.children.values()
        if folder.leaf:
            yield folder.path


def stored_paths(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the absolute paths that a snapshot names."""
    absolute = (_one_slash(os.path.abspath(os.fsencode(source))) for source in sources)
    return tuple(sorted({os.fsdecode(path) for path in absolute}))


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What is left out below a source; false if that is nothing. `one_file_system` leaves mount points empty."""

    patterns: Patterns = field(default_factory=lambda: Patterns(()))
    ignoring_case: Patterns = field(default_factory=lambda: Patterns(()))
    caches: bool = False
    markers: tuple[tuple[bytes, bytes], ...] = ()
    larger_than_bytes: int | None = None
    one_file_system: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.patterns
            or self.ignoring_case
            or self.caches
            or self.markers
            or self.larger_than_bytes is not None
        )

    def excludes(self, path: bytes, found: os.stat_result) -> bool:
        """Say whether an entry is left out of a directory that holds no marker."""
        if (self.patterns or self.ignoring_case) and self._fits(path):
            return True
        limit = self.larger_than_bytes
        return limit is not None and stat.S_ISREG(found.st_mode) and found.st_size > limit

    def only(self, folder: bytes) -> frozenset[bytes] | None:
        """Return the names that alone are taken of a directory which holds a marker; None if all are.

        Of one with a marker that is the marker itself, as restic has it: the directory is known by it once it is
        restored. Of one with two kinds nothing is: each keeps the other out.
        """
        if not (self.caches or self.markers):
            return None
        wanted = (*((CACHE_TAG,) if self.caches else ()), *self.markers)
        names = {name for name, header in wanted if has_marker(folder, name, header)}
        if not names:
            return None
        return frozenset(names if len(names) == 1 else ())

    def _fits(self, path: bytes) -> bool:
        """Say whether a pattern fits a path: patterns are of absolute paths, also where a source is a relative one."""
        text = os.fsdecode(path if path.startswith(b"/") else os.path.abspath(path))
        return self.patterns.match(text) or self.ignoring_case.match(text)


def refuse_left_out(sources: Sequence[str], exclusion: Exclusion) -> None:
    """Refuse a source below another one that would not be taken with that.

    Raises:
        UsageError: With the first of them, and why.
    """
    named = {_one_slash(os.path.normpath(os.fsencode(source))) for source in sources}
    for inner in sorted(named):
        on_the_way = []
        above = inner
        while (parent := os.path.dirname(above)) != above:
            on_the_way.append(above)
            above = parent
            if above in named:
                _refuse_lost(inner, above, reversed(on_the_way), exclusion)
                break


def _one_slash(path: bytes) -> bytes:
    """Return a path without the second slash that `normpath` leaves at its beginning."""
    return path[1:] if path.startswith(b"//") else path


def _refuse_lost(inner: bytes, outer: bytes, on_the_way: Iterable[bytes], exclusion: Exclusion) -> None:
    for path in on_the_way:
        why = _why_lost(path, inner, outer, exclusion)
        if why:
            raise UsageError(
                f"{os.fsdecode(inner)} would be left out of {os.fsdecode(outer)}, which is named as well: {why}; "
                "back it up by another command"
            )


def _why_lost(path: bytes, inner: bytes, outer: bytes, exclusion: Exclusion) -> str:
    """Return why nothing is taken of what lies below a path, on the way from one source to another below it."""
    try:
        found, first = os.lstat(path), os.stat(outer)
    except OSError:
        return ""  # reading it will say why
    if stat.S_ISLNK(found.st_mode) and path != inner:
        return f"{os.fsdecode(path)} is a link, which is stored as such"
    if exclusion and _is_excluded(path, found, exclusion):
        return f"{os.fsdecode(path)} is excluded"
    # a file is taken whatever its device: on an overlay it need not be that of its folder
    if exclusion.one_file_system and stat.S_ISDIR(found.st_mode) and found.st_dev != first.st_dev:
        return f"{os.fsdecode(path)} is another file system"
    return ""


def _is_excluded(path: bytes, found: os.stat_result, exclusion: Exclusion) -> bool:
    only = exclusion.only(os.path.dirname(path))
    return exclusion.excludes(path, found) or (only is not None and os.path.basename(path) not in only)


def parse_marker(text: str) -> tuple[bytes, bytes]:
    """Read the value of `--exclude-if-present FILE[:HEADER]`."""
    name, _, header = text.partition(":")
    if not name or "/" in name:
        raise UsageError(f"--exclude-if-present {text!r}: not a file name")
    return os.fsencode(name), os.fsencode(header)


_SIZE = re.compile(r"([0-9]+)(?:b|([kmgt])b?)?")
_UNITS = {None: 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """Read a size like `10M`; units are powers of 1024.

    Raises:
        UsageError: It is not one.
    """
    match = _SIZE.fullmatch(text.lower())
    number = whole_number(match[1]) if match else None
    if match is None or number is None:
        raise UsageError(f"{text!r} is not a size like 512K, 10M or 2G")
    return number * _UNITS[match[2]]
