"""Files of one blob are written in batches; several processes must do what one does."""

import copy
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from becalm_engine.commands.restored import Outcome
from becalm_engine.errors import WorkerLostError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import target
from tests.engine.commands.world import World
from tests.engine.volume import sources
from tests.engine.volume.picture import differences, picture

FILES = 1200


@dataclass(frozen=True)
class Stored:
    """A folder, and the tree of it in a repository."""

    source: Path
    world: World
    tree: BlobID
    node: Node | None


@pytest.fixture(scope="module")
def stored() -> Iterator[Stored]:
    """Written once: no test changes it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        write(source)
        world = World(LocalStorage(Path(folder, "repository")))
        captured = world.capture(source, pack_bytes=100_000)
        yield Stored(source, world, *world.tree_at(captured, source))


def write(folder: Path) -> None:
    content = random.Random(5)
    for number in range(FILES):
        path = folder / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(content.randrange(3)) * content.randrange(900))
    (folder / "large").write_bytes(content.randbytes(3_000_000))
    sources.write_odd(folder / "odd")


def restored(stored: Stored, into: Path, processes: int = 3, world: World | None = None) -> Outcome:
    return (world or stored.world).restore(stored.tree, into, stored.node, processes=processes)


@pytest.mark.parametrize("processes", [1, 3])
def test_everything_comes_back_as_it_was(stored: Stored, place: Path, processes: int) -> None:
    outcome = restored(stored, place / "back", processes)

    assert differences(picture(stored.source, holes=False), picture(place / "back", holes=False)) == []
    assert outcome.failed == []
    assert outcome.problems.counts == {}
    assert outcome.files_restored > FILES
    assert outcome.bytes_restored > 3_000_000


def test_one_process_and_several_keep_the_same_books(stored: Stored, place: Path) -> None:
    alone = restored(stored, place / "one", 1)
    together = restored(stored, place / "three", 3)

    assert (alone.files_restored, alone.bytes_restored) == (together.files_restored, together.bytes_restored)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_pack_that_is_gone_costs_its_files_and_no_others(
    stored: Stored, place: Path, processes: int
) -> None:
    shutil.copytree(stored.world.storage.location, place / "repository")
    world = copy.copy(stored.world)
    world.storage = LocalStorage(place / "repository")
    packs = world.opened().index.by_pack()
    lost = next(pack for pack, blobs in packs.items() if len(blobs) > 50 and blobs[0].kind.name == "DATA")
    world.storage.delete(FileKind.PACK, lost.hex())

    outcome = restored(stored, place / "back", processes, world)

    assert len(packs[lost]) <= len(outcome.failed) < FILES
    before, after = picture(stored.source), picture(place / "back")
    missing = {os.fsdecode(b"/" + path) for path in before if path not in after and b"/f" in path}
    failed = {text.split(":")[0] for text in outcome.failed}
    assert missing == {path for path in failed if "/f" in path}


@pytest.mark.parametrize("processes", [1, 3])
def test_a_refusal_is_one_file_s_failure_and_metadata_is_counted(
    stored: Stored,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    create = target.create_file

    def refuse(folder: int, name: bytes, mode: int = 0o600, *, replaces: bool) -> int:
        if name == b"f7":
            raise PermissionError(13, "Permission denied")
        return create(folder, name, mode, replaces=replaces)

    def refuse_times(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(target, "create_file", refuse)
    monkeypatch.setattr(os, "utime", refuse_times)

    outcome = restored(stored, place / "back", processes)

    assert outcome.failed == ["/d0/f7: Permission denied"]
    assert outcome.problems.counts["times"] > FILES - 1


def test_a_full_disk_names_one_file_a_process_and_counts_the_others(
    stored: Stored,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("becalm_engine.volume.target.write_all", full)

    outcome = restored(stored, place / "back", processes=3)

    assert 1 <= sum("No space left" in text for text in outcome.failed) <= 4
    assert sum("others: no room is left" in text for text in outcome.failed) == 1


def test_a_process_that_is_killed_fails_the_restore(
    stored: Stored,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create, leader = target.create_file, os.getpid()

    def dies(folder: int, name: bytes, mode: int = 0o600, *, replaces: bool) -> int:
        if name == b"f7":
            assert os.getpid() != leader
            os.kill(os.getpid(), signal.SIGKILL)
        return create(folder, name, mode, replaces=replaces)

    monkeypatch.setattr(target, "create_file", dies)

    with pytest.raises(WorkerLostError):
        restored(stored, place / "back", processes=3)


@pytest.mark.parametrize("rule", [Overwrite.IF_NEWER, Overwrite.NEVER])
def test_what_a_killed_process_has_begun_is_finished_by_the_same_command(
    stored: Stored,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    rule: Overwrite,
) -> None:
    leader = os.getpid()

    def dies(handle: int, content: bytes, offset: int) -> None:
        if os.getpid() != leader and len(content) > 1500:
            os.pwrite(handle, content[:700], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(handle, content, offset)

    with monkeypatch.context() as patch:
        patch.setattr(target, "write_all", dies)
        with pytest.raises(WorkerLostError):
            stored.world.restore(stored.tree, place / "back", stored.node, processes=3, overwrite=rule)

    outcome = stored.world.restore(stored.tree, place / "back", stored.node, processes=3, overwrite=rule)

    assert outcome.failed == []
    assert differences(picture(stored.source, holes=False), picture(place / "back", holes=False)) == []
