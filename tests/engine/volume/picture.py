"""What a folder looks like: all that a restore must bring back, as a value that can be compared."""

import errno
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1024 * 1024
_SPARSE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `links` are the paths below the folder that are the same file; `has_holes` is None for small files."""

    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int
    content: str
    device: int
    links: tuple[bytes, ...]
    xattrs: tuple[tuple[str, bytes], ...]
    has_holes: bool | None


def below(folder: Path) -> set[str]:
    """Return the paths of all that is below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def picture(folder: Path, *, holes: bool = True) -> dict[bytes, Entry]:
    """Return every file below a folder by its path, without sockets, which no backup takes."""
    found: dict[bytes, os.stat_result] = {}
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = parent + b"/" + name
            found[path] = os.lstat(path)
    found = {path: about for path, about in found.items() if not stat.S_ISSOCK(about.st_mode)}
    same: dict[tuple[int, int], list[bytes]] = {}
    for path, about in found.items():
        same.setdefault((about.st_dev, about.st_ino), []).append(path[len(root) + 1 :])
    return {
        path[len(root) + 1 :]: _entry(path, about, sorted(same[about.st_dev, about.st_ino]), holes=holes)
        for path, about in sorted(found.items())
    }


def differences(expected: dict[bytes, Entry], actual: dict[bytes, Entry]) -> list[str]:
    """Say in what two pictures differ."""
    lines = [f"{path!r} is missing" for path in expected.keys() - actual.keys()]
    lines += [f"{path!r} is too many" for path in actual.keys() - expected.keys()]
    for path in expected.keys() & actual.keys():
        lines += [
            f"{path!r}: {field} is {getattr(actual[path], field)!r:.80}, not {getattr(expected[path], field)!r:.80}"
            for field in Entry.__slots__
            if getattr(actual[path], field) != getattr(expected[path], field)
        ]
    return sorted(lines)


def without(pictured: dict[bytes, Entry], *paths: bytes) -> dict[bytes, Entry]:
    """Return a picture without some files."""
    return {path: entry for path, entry in pictured.items() if path not in paths}


def _entry(path: bytes, about: os.stat_result, links: list[bytes], *, holes: bool) -> Entry:
    regular = stat.S_ISREG(about.st_mode)
    special = stat.S_ISBLK(about.st_mode) or stat.S_ISCHR(about.st_mode)
    names = os.listxattr(path, follow_symlinks=False)
    return Entry(
        mode=about.st_mode,
        owner=(about.st_uid, about.st_gid),
        mtime=about.st_mtime_ns,
        size=about.st_size if regular else 0,
        content=_content(path, about),
        device=about.st_rdev if special else 0,
        links=tuple(links),
        xattrs=tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)),
        has_holes=about.st_blocks * 512 < about.st_size // 2
        if holes and regular and about.st_size >= _SPARSE_BYTES
        else None,
    )


def _content(path: bytes, about: os.stat_result) -> str:
    """Return a digest of the content that is the same wherever the holes are."""
    if stat.S_ISLNK(about.st_mode):
        return repr(os.readlink(path))  # noqa: PTH115  raw bytes, which pathlib does not hold
    if not stat.S_ISREG(about.st_mode):
        return ""
    digest = hashlib.sha256()
    with Path(os.fsdecode(path)).open("rb", buffering=0) as file:
        at = _next_data(file.fileno(), 0)
        while at < about.st_size:
            block = os.pread(file.fileno(), _BLOCK_BYTES, at)
            if block.strip(b"\0"):
                digest.update(b"%d:" % at + block)
            at = _next_data(file.fileno(), at + _BLOCK_BYTES)
    return digest.hexdigest()


def _next_data(handle: int, at: int) -> int:
    """Return where the next block begins that is not all hole."""
    try:
        data = os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return sys.maxsize  # nothing but hole up to the end
    return data - data % _BLOCK_BYTES
