import mmap
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becalm_engine.errors import (
    DamagedError,
    EngineError,
    MachineError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
)
from becalm_engine.format import index_file
from becalm_engine.format.compression import Compression
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import Buffer, PackID, blob_id, stored_id
from becalm_engine.repository import packer as packer_module
from becalm_engine.repository import writer as writer_module
from becalm_engine.repository.claims import Claims
from becalm_engine.repository.packer import OpenPack
from becalm_engine.repository.reader import load_blob, open_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.repositories import contents, made, packs, reopened
from tests.engine.storage.memory import MemoryStorage

DATA, TREE = BlobKind.DATA, BlobKind.TREE


def save_all(repository: Repository, blobs: list[bytes]) -> None:
    with Writer(repository, pack_bytes=3000) as writer:
        for content in blobs:
            writer.save(DATA, content)


def indexed(repository: Repository) -> set[str]:
    listed = repository.each_document(FileKind.INDEX, index_file.decode)
    return {pack.hex() for _, packs in listed for pack, _ in packs}


@given(
    st.lists(st.tuples(st.sampled_from(BlobKind), st.binary(max_size=300)), max_size=20),
    st.sampled_from(Compression),
    st.sampled_from((1, 2)),
)
@settings(max_examples=25)
def test_what_is_saved_can_be_loaded_by_the_next_process(
    blobs: list[tuple[BlobKind, bytes]], compression: Compression, version: int
) -> None:
    repository = made(compression=compression, version=version)

    with Writer(repository, pack_bytes=500) as writer:
        ids = [writer.save(kind, content) for kind, content in blobs]

    again = reopened(repository)
    assert ids == [blob_id(content) for _, content in blobs]
    assert [load_blob(again, blob) for blob in ids] == [content for _, content in blobs]
    assert len(again.index) == len({(kind, blob) for (kind, _), blob in zip(blobs, ids, strict=True)})
    assert indexed(again) == packs(again)


@given(
    st.lists(st.lists(st.binary(max_size=3), max_size=8), max_size=8),
    st.sampled_from(Compression),
    st.sampled_from([None, 64]),
)
@settings(max_examples=50)
def test_blobs_saved_together_are_as_those_saved_one_by_one(
    batches: list[list[bytes]], compression: Compression, slots: int | None
) -> None:
    repository, other = made(compression=compression), made(compression=compression)

    with Writer(repository, pack_bytes=300, claims=Claims(slots) if slots else None) as writer:
        ids = [writer.save_all(DATA, batch) for batch in batches]
    with Writer(other) as alone:
        assert ids == [[alone.save(DATA, content) for content in batch] for batch in batches]

    again = reopened(repository)
    assert writer.added == alone.added
    assert len(again.index) == len({content for batch in batches for content in batch})
    assert [[load_blob(again, blob) for blob in some] for some in ids] == batches


@pytest.mark.parametrize(("slots", "known"), [(4096, False), (1, True)])
def test_what_claims_tell_the_index_need_not_know(slots: int, known: bool) -> None:
    repository, many = made(), contents(200)

    with Writer(repository, pack_bytes=5000, claims=Claims(slots)) as writer:
        writer.save_all(DATA, many)
        writer.flush()
        again = [writer.save_as(blob_id(content), DATA, content) for content in many]

    assert not any(again)
    assert bool(len(repository.index)) is known
    assert len(reopened(repository).index) == writer.added.data_blobs == len(many)


def test_what_claims_refuse_is_not_noted_as_under_way() -> None:
    repository, many = made(), contents(50)

    with Writer(repository, claims=Claims(4096)) as writer:
        writer.save_all(DATA, many)
        writer.flush()
        writer.save_all(DATA, many)
        for content in many:
            writer.save(DATA, content)
        assert writer._pending == set()


class _Interrupt:
    """Interrupts this thread after so many calls in writer, packer and cipher: Python looks for signals at calls."""

    _FILES = ("writer.py", "packer.py", "crypto.py")

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(self._FILES):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def _interrupted(repository: Repository, many: list[bytes], calls: int) -> bool:
    """Store contents, and be interrupted on the way; say whether that was before the end."""
    interrupt = _Interrupt(calls)
    with suppress(KeyboardInterrupt), Writer(repository, pack_bytes=1000) as writer:
        sys.setprofile(interrupt)
        try:
            writer.save_all(DATA, many[:4])
            writer.save(TREE, many[4])
            writer.put(blob_id(many[5]), DATA, many[5])
        finally:
            sys.setprofile(None)
    return interrupt.left <= 0


def test_an_interrupt_at_any_call_leaves_nothing_indexed_that_is_not_there() -> None:
    many = contents(6, size=400)
    calls, early = 0, True
    while early:
        calls += 1
        repository = made()
        early = _interrupted(repository, many, calls)

        found = reopened(repository)
        for pack, blobs in found.index.by_pack().items():
            for packed in blobs:
                stored = found.storage.load(FileKind.PACK, pack.hex())
                open_blob(found, packed, stored[packed.offset : packed.offset + packed.stored_bytes])
        save_all(found, many)
        assert {load_blob(reopened(found), blob_id(content)) for content in many} == set(many)
    assert calls > 50


@pytest.mark.parametrize("together", [False, True])
def test_a_blob_that_could_not_be_stored_does_not_pass_for_stored(
    monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    def no_memory(size: int) -> mmap.mmap:
        raise MachineError("no memory for a pack")

    repository, content = made(), b"of two files"
    writer = Writer(repository)
    save = partial(writer.save_all, DATA, [content]) if together else partial(writer.save, DATA, content)
    with monkeypatch.context() as patched:
        patched.setattr(packer_module, "_new_buffer", no_memory)
        with pytest.raises(MachineError):
            save()

    # there is memory again, but others may have been told that it is stored
    with pytest.raises(MachineError):
        save()
    with pytest.raises(MachineError):
        writer.flush()


def test_a_pack_is_named_by_its_hash_and_holds_one_kind_of_blob() -> None:
    repository = made()

    with Writer(repository, pack_bytes=5000) as writer:
        for kind in BlobKind:
            for content in contents(10, seed=kind):
                writer.save(kind, content)

    assert all(
        stored_id(repository.storage.load(FileKind.PACK, name)).hex() == name for name in packs(repository)
    )
    for blobs in reopened(repository).index.by_pack().values():
        assert len({blob.kind for blob in blobs}) == 1


def test_a_blob_is_stored_once_however_often_it_is_saved() -> None:
    repository = made()

    with Writer(repository) as writer:
        news = [writer.save_as(blob_id(b"x"), DATA, b"x") for _ in range(3)]

    assert news == [True, False, False]
    assert writer.added.data_blobs == 1
    assert len(reopened(repository).index.find_all(blob_id(b"x"))) == 1


def test_a_blob_of_an_earlier_run_is_not_stored_again() -> None:
    repository = made()
    with Writer(repository) as writer:
        writer.save(DATA, b"x")
    again = reopened(repository)

    with Writer(again) as writer:
        new = writer.save_as(blob_id(b"x"), DATA, b"x")

    assert not new
    assert writer.added == writer_module.Added()
    assert len(packs(again)) == 1


def test_threads_that_save_the_same_store_it_once() -> None:
    repository = made()
    blobs = contents(30)
    together = threading.Barrier(4)

    def work(_: int) -> int:
        together.wait()
        return sum(writer.save_as(blob_id(content), DATA, content) for content in blobs)

    with Writer(repository, pack_bytes=10_000) as writer, ThreadPoolExecutor(4) as pool:
        new = sum(pool.map(work, range(4)))

    assert new == len(blobs) == writer.added.data_blobs
    again = reopened(repository)
    assert len(again.index) == len(blobs)
    assert all(load_blob(again, blob_id(content)) == content for content in blobs)


def test_what_was_added_is_counted() -> None:
    repository = made()

    with Writer(repository) as writer:
        writer.save(DATA, bytes(100_000))
        writer.save(TREE, b'{"nodes":[]}\n')

    added = writer.added
    assert (added.data_blobs, added.tree_blobs, added.plain_bytes) == (1, 1, 100_013)
    locations = list(reopened(repository).index)
    assert added.stored_bytes == sum(location.blob.stored_bytes for location in locations) < 1000


def test_without_compression_blobs_are_stored_as_they_are() -> None:
    repository = made(compression=Compression.OFF)

    with Writer(repository) as writer:
        writer.save(DATA, bytes(1000))

    (location,) = reopened(repository).index
    assert (location.blob.plain_bytes, location.blob.stored_bytes) == (0, 1032)


@pytest.mark.parametrize(
    ("compression", "stated"),
    [
        (Compression.AUTO, 0),
        (Compression.FASTEST, 0),
        (Compression.BETTER, 1 << 20),
        (Compression.MAX, 1 << 20),
    ],
)
def test_what_gains_nothing_is_compressed_only_for_those_who_want_all_there_is(
    compression: Compression, stated: int
) -> None:
    repository, content = made(compression=compression), random.Random(1).randbytes(1 << 20)

    with Writer(repository) as writer:
        writer.save(DATA, content)

    again = reopened(repository)
    (location,) = again.index
    assert location.blob.plain_bytes == stated
    assert load_blob(again, blob_id(content)) == content


def test_an_empty_blob_is_never_called_compressed() -> None:
    repository = made()

    with Writer(repository) as writer:
        writer.save(DATA, b"")

    (location,) = reopened(repository).index
    assert (location.blob.plain_bytes, location.blob.stored_bytes) == (0, 32)


def test_a_flush_makes_everything_so_far_durable_and_work_goes_on() -> None:
    repository = made()

    with Writer(repository) as writer:
        writer.save(DATA, b"first")
        writer.flush()
        first = reopened(repository)
        writer.save(DATA, b"second")

    assert blob_id(b"first") in first.index
    assert blob_id(b"second") not in first.index
    assert load_blob(reopened(repository), blob_id(b"second")) == b"second"


def test_packs_are_stored_before_the_index_that_lists_them() -> None:
    class Ordered(MemoryStorage):
        """Refuses an index that lists what is not stored yet."""

        def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
            super().save(kind, name, data, only_if_absent=only_if_absent)
            if kind is FileKind.INDEX:
                assert indexed(repository) <= packs(repository)

    repository = made(Ordered())

    with Writer(repository, pack_bytes=3000) as writer:
        for content in contents(20):
            writer.save(DATA, content)

    assert len(packs(repository)) > 1


def test_an_index_is_written_whenever_enough_blobs_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_FULL_INDEX_BLOBS", 10)
    repository = made()

    with Writer(repository, pack_bytes=4000) as writer:
        for content in contents(50):
            writer.save(DATA, content)

    assert len(list(repository.storage.list(FileKind.INDEX))) > 1
    assert indexed(repository) == packs(repository)


def test_a_failed_upload_ends_the_run_with_its_error() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    storage.on_save = lambda kind, _: StorageFullError("full") if kind is FileKind.PACK else None

    with pytest.raises(StorageFullError):
        save_all(repository, contents(200))

    assert packs(repository) == set()
    assert indexed(repository) == set()


def test_an_upload_that_fails_at_the_very_end_is_not_lost() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    storage.on_save = lambda kind, _: StorageDeniedError("no") if kind is FileKind.PACK else None

    with pytest.raises(StorageDeniedError), Writer(repository) as writer:
        writer.save(DATA, b"the only one")


def test_an_index_that_cannot_be_written_fails_the_run() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    storage.on_save = lambda kind, _: StorageError("no") if kind is FileKind.INDEX else None

    with pytest.raises(StorageError), Writer(repository) as writer:
        writer.save(DATA, b"x")


def test_what_was_uploaded_before_a_failure_serves_the_next_run() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    saved: list[str] = []

    def full_after_three(kind: FileKind, name: str) -> StorageError | None:
        if kind is not FileKind.PACK:
            return None
        if len(saved) >= 3:
            return StorageFullError("full")
        saved.append(name)
        return None

    storage.on_save = full_after_three
    with pytest.raises(StorageFullError):
        save_all(repository, contents(200))

    again = reopened(repository)
    assert {pack.hex() for pack in again.index.packs()} == set(saved) == packs(repository)
    assert all(load_blob(again, location.blob.id) for location in again.index)


def test_an_error_of_the_caller_wins_and_what_is_there_is_still_indexed() -> None:
    repository = made()

    def stumble() -> None:
        with Writer(repository) as writer:
            writer.save(DATA, b"x")
            raise KeyError

    with pytest.raises(KeyError):
        stumble()

    assert load_blob(reopened(repository), blob_id(b"x")) == b"x"


def test_an_error_that_nobody_thought_of_fails_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("surprise")

    monkeypatch.setattr(OpenPack, "finish", broken)

    with pytest.raises(EngineError, match="surprise"), Writer(made()) as writer:
        writer.save(DATA, b"x")


def test_waiting_packs_are_bounded() -> None:
    """However slow the uploads are, no more packs are held than can be under way, and one more."""
    going_on = threading.Event()
    waiting = threading.Semaphore(0)

    class Slow(MemoryStorage):
        """Uploads wait until the test lets them go on."""

        def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
            if kind is FileKind.PACK:
                waiting.release()
                assert going_on.wait(timeout=10)
            super().save(kind, name, data, only_if_absent=only_if_absent)

    repository = made(Slow())
    packs: list[int] = []

    def fill() -> None:
        with Writer(repository, pack_bytes=1000) as writer:
            for content in contents(20):
                writer.save(DATA, content)
                packs.append(1)

    filler = threading.Thread(target=fill)
    filler.start()
    for _ in range(repository.storage.connections):
        assert waiting.acquire(timeout=10)
    held = len(packs)
    going_on.set()
    filler.join()

    assert held <= repository.storage.connections + 1
    assert len(packs) == 20


def test_a_pack_of_another_repository_s_key_does_not_open() -> None:
    repository, other = made(), made()
    with Writer(repository) as writer:
        blob = writer.save(DATA, b"x")
    location = repository.index.find(blob)
    assert location is not None
    stored = repository.storage.load_range(
        FileKind.PACK, location.pack.hex(), offset=0, length=location.blob.stored_bytes
    )

    with pytest.raises(DamagedError):
        open_blob(other, location.blob, stored)
    assert location.pack == PackID(stored_id(repository.storage.load(FileKind.PACK, location.pack.hex())))


def test_what_was_uploaded_is_indexed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_INDEX_SECONDS", -1.0)
    repository = made()

    with Writer(repository, pack_bytes=3000) as writer:
        for content in contents(20):
            writer.save(DATA, content)

    assert len(list(repository.storage.list(FileKind.INDEX))) > 1
    assert indexed(repository) == packs(repository)


def test_small_packs_that_one_writer_hands_over_are_stored_by_another() -> None:
    """Members of a crew each leave a rest; together these make packs worth storing."""
    repository = made()
    blobs = contents(6, size=200)
    members = [Writer(repository, pack_bytes=5000) for _ in range(3)]
    for number, content in enumerate(blobs):
        members[number % 3].save(DATA, content)
    given = [pack for member in members for pack in member.hand_over()]
    for member in members:
        member.flush()
    assert packs(repository) == set()

    with Writer(repository, pack_bytes=5000) as leader:
        leader.take(given)

    again = reopened(repository)
    assert len(given) == 3
    assert [load_blob(again, blob_id(content)) for content in blobs] == blobs
    assert len(packs(repository)) == 1
    assert leader.added == writer_module.Added()  # whoever saved them has counted them


def test_a_rest_that_is_worth_a_pack_is_stored_by_who_has_it() -> None:
    repository = made()

    with Writer(repository, pack_bytes=5000) as writer:
        for content in contents(2, size=1500):
            writer.save(DATA, content)
        assert writer.hand_over() == []

    assert len(packs(repository)) > 0
    assert len(reopened(repository).index) == 2


def test_a_blob_is_put_again_whatever_the_repository_has() -> None:
    repository = made()
    save_all(repository, [b"x"])
    again = reopened(repository)
    [place] = again.index.find_all(blob_id(b"x"))
    sealed = again.storage.load_range(
        FileKind.PACK, place.pack.hex(), offset=place.blob.offset, length=place.blob.stored_bytes
    )

    with Writer(again.without_index()) as writer:
        writer.put(blob_id(b"x"), DATA, b"x")
        writer.put_sealed(place.blob, sealed)

    assert len(reopened(repository).index.find_all(blob_id(b"x"))) == 3
    assert writer.added.data_blobs == 2
