import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.crew import Crew
from becalm_engine.errors import StorageUnavailableError
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage
from becalm_engine.storage.limits import Limit, Limits, TokenBucket
from becalm_engine.storage.local import LocalStorage
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from tests.engine.storage.contract import NAME, StorageContract
from tests.engine.storage.http_server import Answer, serving_http
from tests.engine.storage.s3_server import S3Server

KIB = 1024
takes = st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0, 100)), max_size=50)
rates = st.floats(1, 1e9)
bursts = st.floats(1, 1e6)


class Time(threading.Event):
    """A clock, and the signal to stop: time passes only while somebody waits for the signal."""

    def __init__(self, stops_after: float = float("inf")) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []
        self._stops_after = stops_after

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        if timeout and not self.is_set():
            self.waits.append(timeout)
            self.now += timeout
        if self.now >= self._stops_after:
            self.set()
        return self.is_set()


class Unwaiting(threading.Event):
    """A signal that notes how long somebody would have waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def limited(kib: int, time: Time) -> Limit:
    return Limit(kib, stop=time, clock=time)


@given(rates, bursts, takes)
def test_never_does_more_pass_than_rate_and_burst_allow(
    rate: float, burst: float, wanted: list[tuple[int, float]]
) -> None:
    bucket, now, passed = TokenBucket(rate, burst, level=burst), 0.0, []
    for count, pause in wanted:
        now += pause
        bucket, seconds = bucket.take(count, now)
        passed.append((now + seconds, count))

    for start in range(len(passed)):
        since = passed[start][0]
        total = 0
        for when, count in passed[start + 1 :]:
            total += count
            # what passes in the span after a moment is what was saved up at most, and what the span gives
            assert total <= (burst + rate * (when - since)) * (1 + 1e-6) + 1


@given(rates, bursts, takes)
def test_nobody_waits_longer_than_the_rate_wants(
    rate: float, burst: float, wanted: list[tuple[int, float]]
) -> None:
    """Where nobody pauses, the last has waited for exactly what exceeds the burst."""
    bucket, total = TokenBucket(rate, burst, level=burst), 0
    for count, _ in wanted:
        bucket, seconds = bucket.take(count, 0.0)
        total += count
        assert seconds == pytest.approx(max(0.0, total - burst) / rate, rel=1e-6, abs=1e-6)


@given(rates, bursts, st.integers(1, 1 << 20))
def test_a_clock_that_goes_back_gives_nothing(rate: float, burst: float, count: int) -> None:
    bucket, before = TokenBucket(rate, burst, at=100.0).take(count, 100.0)

    _, after = bucket.take(count, 50.0)

    assert after >= before


@given(st.integers(1, 1 << 20), st.integers(0, 1 << 22))
def test_a_body_passes_whole_in_pieces_and_in_its_time(kib: int, length: int) -> None:
    time = Time()

    pieces = list(limited(kib, time).pieces(bytes(length)))

    assert sum(map(len, pieces)) == length
    assert all(0 < len(piece) <= 64 * KIB for piece in pieces)
    assert time.now == pytest.approx(length / (kib * KIB), rel=1e-6, abs=1e-6)


@given(st.integers(8, 1 << 20), st.integers(0, 1 << 22))
def test_a_body_flows_evenly(kib: int, length: int) -> None:
    time = Time()

    list(limited(kib, time).pieces(bytes(length)))

    assert all(wait <= 1 / 8 + 1e-9 for wait in time.waits)


def test_the_slowest_rate_still_flows_each_second() -> None:
    time = Time()

    list(limited(1, time).pieces(bytes(5 * KIB)))

    assert time.waits == [1.0] * 5


@given(st.binary(max_size=200_000), st.integers(1, 1 << 20))
def test_what_is_gathered_is_what_was_read_and_took_its_time(data: bytes, kib: int) -> None:
    time, at = Time(), 0

    def read(longest: int) -> bytes:
        nonlocal at
        part = data[at : at + max(1, longest // 2)]
        at += len(part)
        return part

    assert limited(kib, time).gathered(read) == data
    assert time.now == pytest.approx(len(data) / (kib * KIB), rel=1e-6, abs=1e-6)


def test_without_a_limit_nothing_waits() -> None:
    time = Time()

    pieces = list(limited(0, time).pieces(bytes(1 << 20)))

    assert not limited(0, time)
    assert ([len(piece) for piece in pieces], time.waits) == ([1 << 20], [])


def test_threads_share_a_limit() -> None:
    """Each alone would need one second. Together the debt of the last to come is that of all."""
    stop = Unwaiting()
    limit = Limit(64, stop=stop, clock=lambda: 0.0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: limit.take(64 * KIB), range(4)))

    assert sorted(stop.waits) == [1.0, 2.0, 3.0, 4.0]


class Taker:
    """Takes from a limit in a process of its own."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit

    def work(self, task: int) -> None:
        for _ in range(task):
            self._limit.take(KIB)

    def last(self) -> None:
        """Nothing is left to tell."""


def test_processes_share_a_limit() -> None:
    """They take at the same moment, and nothing of it is lost: who comes after them waits for all of it."""
    stop = Unwaiting()
    limit = Limit(64, stop=stop, clock=lambda: 0.0)

    @contextlib.contextmanager
    def member(_stop: threading.Event, _tell: object) -> Iterator[Taker]:
        yield Taker(limit.forked(Unwaiting()))

    with Crew(2, member) as crew:
        assert len(list(crew.map([500] * 8))) == 8
    limit.take(KIB)

    assert stop.waits == [pytest.approx(4001 / 64)]


def test_a_forked_limit_hears_its_own_signal() -> None:
    ours, theirs = Time(), Time()
    theirs.set()
    limit = limited(1, ours)

    with pytest.raises(StorageUnavailableError):
        limit.forked(theirs).take(KIB, breakable=True)
    limit.take(KIB, breakable=True)


def test_a_forked_storage_keeps_to_the_same_limits(tmp_path: Path) -> None:
    stop = Unwaiting()
    limits = Limits(Limit(1, stop=stop, clock=lambda: 0.0), Limit())
    storage = local(tmp_path, limits)

    storage.forked(Unwaiting()).save(FileKind.KEY, NAME, bytes(KIB))
    storage.save(FileKind.KEY, NAME, bytes(KIB))

    assert stop.waits == [2.0]


def test_a_stop_breaks_off_a_pack_within_a_piece() -> None:
    time = Time(stops_after=1.0)
    sent: list[memoryview] = []

    with pytest.raises(StorageUnavailableError, match="broken off"):
        sent.extend(limited(1024, time).pieces(bytes(128 << 20), breakable=True))

    assert time.now <= 1.2


def test_a_stop_lets_what_is_small_pass_at_once() -> None:
    time = Time()
    time.set()

    pieces = list(limited(1, time).pieces(bytes(100 * KIB)))

    assert sum(map(len, pieces)) == 100 * KIB


FAST = 1 << 20


class TestLimitedLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        storage = LocalStorage(tmp_path / "repository", Limits(Limit(FAST), Limit(FAST)))
        storage.create()
        return storage


@pytest.mark.s3
class TestLimitedS3Storage(StorageContract):
    @pytest.fixture
    def storage(self, s3: S3Server, tmp_path: Path) -> Storage:
        limits = Limits(Limit(FAST), Limit(FAST))
        storage = S3Storage(S3Location(s3.url, "limited", tmp_path.name), StorageOptions(), limits)
        storage.create()
        return storage


def local(folder: Path, limits: Limits) -> Storage:
    storage = LocalStorage(folder, limits)
    storage.create()
    return storage


def save_pack(storage: Storage) -> None:
    storage.save(FileKind.PACK, NAME, bytes(256 * KIB))


def save_config(storage: Storage) -> None:
    storage.save(FileKind.CONFIG, CONFIG_NAME, bytes(KIB), only_if_absent=True)


def load(storage: Storage) -> None:
    storage.load(FileKind.PACK, NAME)


def load_range(storage: Storage) -> None:
    storage.load_range(FileKind.PACK, NAME, offset=KIB, length=128 * KIB)


def load_pieces(storage: Storage) -> None:
    with contextlib.closing(storage.load_pieces(FileKind.PACK, NAME, [KIB, 191 * KIB, KIB])) as pieces:
        next(pieces)
        next(pieces)


CALLS = [
    (save_pack, 2.0, 0.0),
    (save_config, 1 / 128, 0.0),
    (load, 0.0, 1.0),
    (load_range, 0.0, 0.5),
    (load_pieces, 0.0, 0.75),
]


@pytest.mark.parametrize(("call", "up", "down"), CALLS)
def test_a_folder_keeps_to_both_limits(
    tmp_path: Path, call: Callable[[Storage], None], up: float, down: float
) -> None:
    save_pack(local(tmp_path, Limits(Limit(), Limit())))
    upwards, downwards = Time(), Time()

    call(LocalStorage(tmp_path, Limits(limited(128, upwards), limited(256, downwards))))

    assert [upwards.now, downwards.now] == pytest.approx([up, down])


@pytest.mark.s3
@pytest.mark.parametrize(("call", "up", "down"), CALLS)
def test_a_bucket_keeps_to_both_limits(
    s3: S3Server, tmp_path: Path, call: Callable[[Storage], None], up: float, down: float
) -> None:
    upwards, downwards = Time(), Time()
    location = S3Location(s3.url, "limits", tmp_path.name)
    storage = S3Storage(location, StorageOptions())
    storage.create()
    save_pack(storage)

    call(S3Storage(location, StorageOptions(), Limits(limited(128, upwards), limited(256, downwards))))

    assert [upwards.now, downwards.now] == pytest.approx([up, down])


@pytest.mark.usefixtures("some_credentials")
def test_a_listing_counts_as_a_download() -> None:
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" + b" " * 100_000
    downwards = Time()
    with serving_http(lambda _: Answer(200, page)) as server:
        location = S3Location(server.url, "bucket", "")
        storage = S3Storage(location, StorageOptions(), Limits(Limit(), limited(1, downwards)))
        list(storage.list(FileKind.SNAPSHOT))

    assert downwards.now == pytest.approx(len(page) / KIB)


@pytest.mark.usefixtures("some_credentials")
@pytest.mark.parametrize("kind", [FileKind.PACK, FileKind.INDEX])
def test_a_stop_breaks_off_packs_on_their_way_to_a_bucket_and_nothing_else(kind: FileKind) -> None:
    time = Time(stops_after=1.0)
    with serving_http(lambda _: Answer()) as server:
        limits = Limits(limited(64, time), Limit())
        storage = S3Storage(S3Location(server.url, "bucket", "a"), StorageOptions(), limits)
        if kind is FileKind.PACK:
            with pytest.raises(StorageUnavailableError, match=r"save .*: broken off"):
                storage.save(kind, NAME, bytes(1 << 20))
        else:
            storage.save(kind, NAME, bytes(1 << 20))

    whole = [len(request.body) for request in server.requests if len(request.body) == 1 << 20]
    assert whole == ([] if kind is FileKind.PACK else [1 << 20])
    assert time.now < 2


@pytest.mark.parametrize("kind", [FileKind.PACK, FileKind.INDEX])
def test_a_stop_breaks_off_packs_on_their_way_to_a_folder_and_leaves_nothing_of_them(
    tmp_path: Path, kind: FileKind
) -> None:
    storage = local(tmp_path, Limits(limited(64, Time(stops_after=1.0)), Limit()))
    stored: Any = [1 << 20]

    if kind is FileKind.PACK:
        stored = []
        with pytest.raises(StorageUnavailableError):
            storage.save(kind, NAME, bytes(1 << 20))
    else:
        storage.save(kind, NAME, bytes(1 << 20))

    files = [path.stat().st_size for path in (tmp_path / kind.value).rglob("*") if path.is_file()]
    assert files == stored
