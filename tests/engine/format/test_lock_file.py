from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from tests.engine import strategies
from tests.engine.format import hostile

LOCK = Lock(0, exclusive=True, hostname="ro<se", username="ann", pid=12, uid=1000, gid=100)
VALID = lock_file.encode(LOCK)
locks = st.builds(
    Lock,
    time_nanos=strategies.times,
    exclusive=st.booleans(),
    hostname=strategies.texts,
    username=strategies.texts,
    pid=st.integers(0, 2**31),
    uid=strategies.uint32,
    gid=strategies.uint32,
)


def test_a_lock_is_written_as_restic_writes_it() -> None:
    assert VALID.decode() == (
        '{"time":"1970-01-01T00:00:00Z","exclusive":true,"hostname":"ro\\u003cse","username":"ann",'
        '"pid":12,"uid":1000,"gid":100}'
    )


def test_root_s_ids_are_left_out() -> None:
    text = lock_file.encode(Lock(0, exclusive=False, hostname="", username="", pid=1))

    assert b"uid" not in text
    assert b"gid" not in text


@given(locks)
def test_a_lock_reads_back_as_it_was(lock: Lock) -> None:
    assert lock_file.decode(lock_file.encode(lock)) == lock


def test_a_lock_says_who_holds_it() -> None:
    assert LOCK.describe() == "exclusively locked by PID 12 on ro<se by ann at 1970-01-01T00:00:00Z"


def test_who_holds_a_lock_cannot_steer_the_terminal() -> None:
    lock = replace(LOCK, hostname="ro\x1b[2Jse", username="ann\nFatal: pay")

    assert lock.describe() == (
        r'exclusively locked by PID 12 on "ro\x1b[2Jse" by "ann\nFatal: pay" at 1970-01-01T00:00:00Z'
    )


def test_a_lock_without_a_time_is_damage() -> None:
    with pytest.raises(DamagedError):
        lock_file.decode(hostile.changed(VALID, {"time": None}))


@pytest.mark.parametrize("exclusive", [None, 1, "true"])
def test_a_lock_that_does_not_say_whether_it_is_exclusive_is_damage(exclusive: object) -> None:
    with pytest.raises(DamagedError, match="exclusive"):
        lock_file.decode(hostile.changed(VALID, {"exclusive": exclusive}))


@given(strategies.replaced_fields("time", "exclusive", "hostname", "username", "pid", "uid", "gid"))
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object]) -> None:
    assert hostile.is_read_or_refused(lock_file.decode, hostile.changed(VALID, changes))


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(lock_file.decode, data)
