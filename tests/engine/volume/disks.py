"""A real disk file system for tests: the one at hand, or one in a file."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from becalm_engine.volume.clocks import file_system_of


def kind_of(folder: Path) -> str:
    """Return the type of the file system that a folder lies on."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return file_system_of(handle)
    finally:
        os.close(handle)


@contextmanager
def disk(place: Path) -> Iterator[Path]:
    """Give a folder on ext4 or xfs: below `place`, if that is one, or on an ext4 in a file."""
    if kind_of(place) in ("ext4", "xfs"):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)
        return
    with mounted(made_image(place / "image"), place / "mount") as mount:
        yield mount


def made_image(image: Path) -> Path:
    """Make an ext4 in a file."""
    image.touch()
    os.truncate(image, 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    return image


@contextmanager
def mounted(image: Path, mount: Path) -> Iterator[Path]:
    """Mount an ext4 that lies in a file, for the block."""
    mount.mkdir()
    mounting = subprocess.run(
        ["mount", "-o", "loop", image, mount], check=False, capture_output=True, text=True
    )
    if mounting.returncode:
        pytest.skip(f"the disk that this needs may not be mounted from a file: {mounting.stderr}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
