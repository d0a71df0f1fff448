"""Events have names by which they sort."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.cluster.announcements import event_name

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
MICROSECONDS = st.integers(-(10**15), 10**15)


@given(MICROSECONDS, MICROSECONDS)
def test_names_of_events_sort_as_their_times_do(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    # two of the same moment, or within what a float tells apart, may come in either order
    later = max(later, earlier + 2)

    names = [event_name("web", NOON + timedelta(microseconds=offset)) for offset in (earlier, later)]

    assert names == sorted(names)


def test_two_events_of_one_moment_have_two_names() -> None:
    assert len({event_name("web", NOON) for _ in range(3)}) > 1


def test_the_name_is_one_that_the_api_server_takes() -> None:
    name = event_name("web", NOON)

    assert name.startswith("web.")
    assert len(name) == len("web.") + 18
