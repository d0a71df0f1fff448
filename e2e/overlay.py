"""Whether folders can be laid over one another here: not on every file system, nor in every container."""

import tempfile
from pathlib import Path

from e2e.shell import succeeds


def works(below: Path) -> bool:
    """Say whether an overlay can be mounted on the file system of a folder."""
    below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=below, prefix="overlay-") as scratch:
        for name in ("lower", "upper", "work", "merged"):
            (Path(scratch) / name).mkdir()
        layers = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
        mounted = succeeds(["mount", "-t", "overlay", "overlay", "-o", layers, f"{scratch}/merged"])
        return mounted and succeeds(["umount", f"{scratch}/merged"])
