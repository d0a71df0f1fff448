import threading
from collections.abc import Callable, Generator, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
)
from becalm_engine.ids import Buffer
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage, StoredFile
from becalm_engine.storage.retry import RetryingStorage
from tests.engine.storage.contract import NAME, OTHER, StorageContract
from tests.engine.storage.memory import MemoryStorage

UNAVAILABLE = StorageUnavailableError("busy")


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FailingStorage(MemoryStorage):
    """Raises the errors in `errors` one by one, before it does anything."""

    def __init__(self, errors: list[StorageError]) -> None:
        super().__init__()
        self.errors = errors
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    def create(self) -> None:
        self._fail()

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        self._fail()
        super().save(kind, name, data, only_if_absent=only_if_absent)

    def load(self, kind: FileKind, name: str) -> bytes:
        self._fail()
        return super().load(kind, name)

    def delete(self, kind: FileKind, name: str) -> None:
        self._fail()
        super().delete(kind, name)

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        """Fail after the first entry: a listing breaks in the middle."""
        for stored in super().list(kind):
            yield stored
            self._fail()


def retrying(storage: Storage, clock: FakeClock, limit_seconds: float = 900.0) -> RetryingStorage:
    return RetryingStorage(storage, limit_seconds=limit_seconds, sleep=clock.sleep, clock=clock)


class TestRetryingStorage(StorageContract):
    tells_times = False

    @pytest.fixture
    def storage(self) -> Storage:
        return retrying(MemoryStorage(), FakeClock())


@pytest.mark.parametrize(
    "call",
    [
        lambda storage: storage.create(),
        lambda storage: storage.save(FileKind.PACK, OTHER, b"x"),
        lambda storage: storage.load(FileKind.PACK, NAME),
        lambda storage: storage.load_range(FileKind.PACK, NAME, offset=0, length=1),
        lambda storage: list(storage.load_pieces(FileKind.PACK, NAME, [1])),
        lambda storage: storage.delete(FileKind.PACK, NAME),
    ],
    ids=["create", "save", "load", "load_range", "load_pieces", "delete"],
)
def test_what_may_succeed_later_is_repeated(call: Callable[[Storage], object]) -> None:
    clock = FakeClock()
    inner = FailingStorage([UNAVAILABLE, UNAVAILABLE])
    inner.files[FileKind.PACK, NAME] = b"content"

    call(retrying(inner, clock))

    assert inner.calls == 3
    assert len(clock.slept) == 2


class Breaking(MemoryStorage):
    """Gives so many pieces of a file and breaks off."""

    def __init__(self, pieces: int, error: StorageError) -> None:
        super().__init__()
        self.files[FileKind.PACK, NAME] = b"0123456789"
        self.pieces = pieces
        self.error = error
        self.ranges: list[tuple[int, int]] = []

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        offset = 0
        for length in lengths[: self.pieces]:
            yield self.load(kind, name)[offset : offset + length]
            offset += length
        raise self.error

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        return super().load_range(kind, name, offset=offset, length=length)


@pytest.mark.parametrize("pieces", range(4))
def test_what_breaks_off_goes_on_where_it_was(pieces: int) -> None:
    clock, told = FakeClock(), list[str]()
    inner = Breaking(pieces, UNAVAILABLE)
    storage = RetryingStorage(inner, sleep=clock.sleep, clock=clock, tell=told.append)

    parts = list(storage.load_pieces(FileKind.PACK, NAME, [2, 3, 1, 4]))

    assert parts == [b"01", b"234", b"5", b"6789"]
    assert inner.ranges == [(0, 2), (2, 3), (5, 1), (6, 4)][pieces:]
    assert (told, len(clock.slept)) == (["busy; trying again"], 1)


def test_what_breaks_off_for_good_ends_there() -> None:
    inner = Breaking(1, StorageError("shorter"))
    parts = RetryingStorage(inner).load_pieces(FileKind.PACK, NAME, [2, 3])

    assert next(parts) == b"01"
    with pytest.raises(StorageError, match="shorter"):
        next(parts)
    assert inner.ranges == []


def test_what_breaks_off_once_the_run_is_to_stop_is_not_asked_for_again() -> None:
    stop = threading.Event()
    stop.set()
    inner = Breaking(1, UNAVAILABLE)
    parts = RetryingStorage(inner, stop=stop).load_pieces(FileKind.PACK, NAME, [2, 3])

    assert next(parts) == b"01"
    with pytest.raises(StorageUnavailableError):
        next(parts)
    assert inner.ranges == []


def test_nothing_is_repeated_once_the_run_is_to_stop() -> None:
    stop = threading.Event()
    inner = FailingStorage([UNAVAILABLE, UNAVAILABLE])
    inner.files[FileKind.PACK, NAME] = b"content"

    def stopped_while_waiting(_: float) -> None:
        stop.set()

    storage = RetryingStorage(inner, stop=stop, sleep=stopped_while_waiting)

    with pytest.raises(StorageUnavailableError):
        storage.load(FileKind.PACK, NAME)
    assert inner.calls == 2


def test_waiting_for_a_retry_ends_with_the_signal_to_stop() -> None:
    waited = []

    class Signal(threading.Event):
        """Comes while the storage waits."""

        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            self.set()
            return True

    inner = FailingStorage([UNAVAILABLE, UNAVAILABLE])
    with pytest.raises(StorageUnavailableError):
        RetryingStorage(inner, stop=Signal()).load(FileKind.PACK, NAME)
    assert len(waited) == 1


def always_away() -> FailingStorage:
    return FailingStorage([UNAVAILABLE] * 1000)


def test_a_store_that_never_answered_is_given_up_within_a_minute() -> None:
    clock = FakeClock()

    with pytest.raises(StorageUnavailableError):
        retrying(always_away(), clock).load(FileKind.CONFIG, "")

    assert 20 < sum(clock.slept) <= 60


def test_a_store_that_has_answered_is_waited_for() -> None:
    clock = FakeClock()
    inner = always_away()
    inner.errors.insert(0, ObjectMissingError("no config yet"))
    storage = retrying(inner, clock)
    with pytest.raises(ObjectMissingError):
        storage.load(FileKind.CONFIG, "")

    with pytest.raises(StorageUnavailableError):
        storage.load(FileKind.CONFIG, "")

    assert 600 < sum(clock.slept) <= 900


def test_somebody_is_told_of_each_retry() -> None:
    told: list[str] = []
    clock = FakeClock()
    inner = FailingStorage([UNAVAILABLE, UNAVAILABLE])
    inner.files[FileKind.PACK, NAME] = b"content"

    RetryingStorage(inner, tell=told.append, sleep=clock.sleep, clock=clock).load(FileKind.PACK, NAME)

    assert told == [f"{UNAVAILABLE}; trying again"] * 2


def test_a_listing_that_breaks_is_begun_anew_so_that_nothing_comes_twice() -> None:
    inner = FailingStorage([UNAVAILABLE])
    inner.files.update({(FileKind.PACK, NAME): b"", (FileKind.PACK, OTHER): b""})

    listed = list(retrying(inner, FakeClock()).list(FileKind.PACK))

    assert sorted(stored.name for stored in listed) == [NAME, OTHER]


def test_a_listing_that_stays_broken_gives_nothing_rather_than_half() -> None:
    inner = FailingStorage([StorageDeniedError("no")])
    inner.files.update({(FileKind.PACK, NAME): b"", (FileKind.PACK, OTHER): b""})

    with pytest.raises(StorageDeniedError):
        retrying(inner, FakeClock()).list(FileKind.PACK)


def test_what_no_retry_mends_is_raised_at_once() -> None:
    clock, inner = FakeClock(), FailingStorage([StorageDeniedError("no"), UNAVAILABLE])

    with pytest.raises(StorageDeniedError):
        retrying(inner, clock).load(FileKind.PACK, NAME)

    assert inner.calls == 1
    assert clock.slept == []


class ForgetfulStorage(MemoryStorage):
    """Stores the first file under a condition and says that it could not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        self.calls += 1
        super().save(kind, name, data, only_if_absent=only_if_absent)
        if self.calls == 1:
            raise UNAVAILABLE


def test_what_a_save_under_a_condition_stored_unseen_is_its_own() -> None:
    inner = ForgetfulStorage()

    retrying(inner, FakeClock()).save(FileKind.CONFIG, CONFIG_NAME, b"ours", only_if_absent=True)

    assert inner.calls == 2
    assert inner.load(FileKind.CONFIG, CONFIG_NAME) == b"ours"


def test_what_somebody_else_stored_between_two_tries_is_not() -> None:
    inner = FailingStorage([UNAVAILABLE])
    inner.files[FileKind.CONFIG, CONFIG_NAME] = b"theirs"

    with pytest.raises(RepositoryExistsError):
        retrying(inner, FakeClock()).save(FileKind.CONFIG, CONFIG_NAME, b"ours", only_if_absent=True)

    assert inner.files[FileKind.CONFIG, CONFIG_NAME] == b"theirs"


@given(st.floats(0.1, 3600))
def test_the_limit_bounds_a_call_and_all_its_repetitions(limit_seconds: float) -> None:
    clock, inner = FakeClock(), FailingStorage([UNAVAILABLE] * 10_000)

    with pytest.raises(StorageUnavailableError):
        retrying(inner, clock, limit_seconds).load(FileKind.PACK, NAME)

    assert sum(clock.slept) <= limit_seconds
    assert inner.calls == len(clock.slept) + 1


def test_delays_grow_up_to_a_minute_and_are_not_all_alike() -> None:
    clock, inner = FakeClock(), FailingStorage([UNAVAILABLE] * 10_000)

    with pytest.raises(StorageUnavailableError):
        retrying(inner, clock, 3600).load(FileKind.PACK, NAME)

    bounds = [min(0.5 * 2**number, 60.0) for number in range(len(clock.slept))]
    assert all(bound / 2 <= slept <= bound for slept, bound in zip(clock.slept, bounds, strict=True))
    assert len(set(clock.slept)) > len(clock.slept) / 2


def test_it_stands_for_the_storage_it_wraps() -> None:
    inner = MemoryStorage()

    outer = retrying(inner, FakeClock())

    assert (outer.location, outer.connections) == (inner.location, inner.connections)
