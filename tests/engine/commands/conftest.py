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
