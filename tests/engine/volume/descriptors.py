"""The files and folders that this process has open.

Other tests of the process leave descriptors to the garbage collector, so that all of them cannot be counted.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def open_below(root: Path) -> list[Path]:
    """Return where each descriptor leads that leads to a folder or into it, links not followed."""
    return [path for path in _opened() if path.is_relative_to(root)]


def _opened() -> Iterator[Path]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them, or another thread's
            yield descriptor.readlink()
