import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.lock_file import Lock
from becalm_engine.policy.locks import conflicts, is_stale, is_stored_long, is_void

MINUTE = 60 * 1_000_000_000


def lock(time_nanos: int = 0, *, exclusive: bool = False) -> Lock:
    return Lock(time_nanos, exclusive, "rose", "ann", 1)


@pytest.mark.parametrize(
    ("held_exclusively", "wanted_exclusively", "in_the_way"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_only_two_shared_locks_go_together(
    held_exclusively: bool, wanted_exclusively: bool, in_the_way: bool
) -> None:
    held = lock(exclusive=held_exclusively)

    assert conflicts(held, exclusive=wanted_exclusively) is in_the_way


@pytest.mark.parametrize(("age_minutes", "stale"), [(-60, False), (0, False), (30, False), (31, True)])
def test_a_lock_is_stale_after_half_an_hour(age_minutes: int, stale: bool) -> None:
    assert is_stale(lock(0), now_nanos=age_minutes * MINUTE) is stale


@given(st.integers(0, 10**18), st.integers(0, 22 * MINUTE))
def test_a_holder_that_has_not_given_up_is_never_stale(time_nanos: int, age_nanos: int) -> None:
    assert not is_stale(lock(time_nanos), now_nanos=time_nanos + age_nanos)


@given(st.integers(0, 60 * MINUTE), st.frozensets(st.sampled_from(["rose", "tulip"])))
def test_a_lock_is_void_if_it_is_stale_or_its_host_is_gone(age_nanos: int, gone: frozenset[str]) -> None:
    found = is_void(lock(0), now_nanos=age_nanos, gone_hosts=gone, own_host="daisy")

    assert found is ("rose" in gone or is_stale(lock(0), now_nanos=age_nanos))


@pytest.mark.parametrize(
    ("written", "newest", "long"),
    [
        (None, None, True),
        (None, 5000.0, True),
        (5000.0, None, False),
        (5000.0, 4000.0, False),
        (5000.0, 6800.0, False),
        (5000.0, 6801.0, True),
    ],
)
def test_a_place_tells_how_long_it_has_had_a_lock(
    written: float | None, newest: float | None, long: bool
) -> None:
    assert is_stored_long(written, newest) is long


def test_this_host_is_never_gone() -> None:
    assert not is_void(lock(0), now_nanos=0, gone_hosts=frozenset({"rose"}), own_host="rose")
