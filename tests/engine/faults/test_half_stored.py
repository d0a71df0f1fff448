"""A store that keeps half of what it is given and says that all is well: no command deletes on the word of that."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.errors import DamagedError, StorageError
from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind
from tests.engine.crash import edits, plays
from tests.engine.crash.plays import Play
from tests.engine.crash.states import content_of, finished, lost
from tests.engine.storage.memory import MemoryStorage

Make = Callable[[Path], Play]

PACKS_THEN_DELETES = (
    plays.pruning, edits.rewriting_and_forgetting, edits.repairing_packs, edits.repairing_snapshots,
)  # fmt: skip
INDEXES_THEN_DELETES = (*PACKS_THEN_DELETES, plays.mending_index)


class HalvingStorage(MemoryStorage):
    """Keeps half of each file of a kind."""

    def __init__(self, play: Play, kind: FileKind) -> None:
        super().__init__()
        self.files.update(play.files)
        self._halved = kind

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        kept = bytes(data)[: len(data) // 2] if kind is self._halved else data
        super().save(kind, name, kept, only_if_absent=only_if_absent)


def left_after(play: Play, kind: FileKind, error: type[Exception], words: str) -> plays.Files:
    """Return what a command leaves on such a store, after it has ended with an error."""
    storage = HalvingStorage(play, kind)
    with pytest.raises(error, match=words):
        play.run(storage)
    return {key: data for key, data in storage.files.items() if key[0] is not FileKind.LOCK}


@pytest.mark.parametrize("make", PACKS_THEN_DELETES, ids=lambda make: make.__name__)
def test_half_of_a_pack_replaces_nothing(make: Make, tmp_path: Path) -> None:
    play = make(tmp_path / "source")
    before, clean = content_of(play.files), content_of(finished(play, play.files))

    files = left_after(
        play, FileKind.PACK, StorageError, "not there as a whole|not listed as they were or were written"
    )

    assert lost(before, content_of(files), clean, play) == []
    old = {key for key in play.files if key[0] in (FileKind.INDEX, FileKind.SNAPSHOT)}
    assert old <= files.keys()


@pytest.mark.parametrize("make", INDEXES_THEN_DELETES, ids=lambda make: make.__name__)
def test_half_of_an_index_replaces_nothing(make: Make, tmp_path: Path) -> None:
    play = make(tmp_path / "source")

    files = left_after(play, FileKind.INDEX, DamagedError, "read back as another one")

    old = {key for key in play.files if key[0] in (FileKind.INDEX, FileKind.SNAPSHOT)}
    assert old <= files.keys()


def test_the_pack_that_is_cut_short_is_named(tmp_path: Path) -> None:
    play = plays.pruning(tmp_path / "source")
    storage = HalvingStorage(play, FileKind.PACK)

    with pytest.raises(StorageError) as raised:
        play.run(storage)

    [name] = re.findall("[0-9a-f]{64}", str(raised.value))
    assert (FileKind.PACK, name) in storage.files.keys() - play.files.keys()
