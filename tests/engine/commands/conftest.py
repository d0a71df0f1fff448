import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.commands.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path: a deep tree needs all that a path may have."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def source(place: Path) -> Path:
    folder = place / "source"
    for name in ("a/one", "a/two.log", "b/three", "b/CACHEDIR.TAG", "b/.nobackup"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "b" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (folder / "large").write_bytes(bytes(5000))
    return folder
