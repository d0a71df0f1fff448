from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format import gotime
from tests.engine import strategies

NANOS = gotime.NANOS


@given(strategies.times)
def test_a_time_reads_back_as_it_was(nanos: int) -> None:
    assert gotime.decode(gotime.encode(nanos)) == nanos


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_700_000_000 * NANOS + 120_000_000, "2023-11-14T22:13:20.12Z"),
        (951_782_400 * NANOS, "2000-02-29T00:00:00Z"),
        (-62_135_596_800 * NANOS, "0001-01-01T00:00:00Z"),
        (-62_167_219_200 * NANOS, "0000-01-01T00:00:00Z"),
    ],
)
def test_times_are_written_as_go_writes_them(nanos: int, text: str) -> None:
    assert gotime.encode(nanos) == text
    assert gotime.decode(text) == nanos


@given(strategies.times, strategies.zones)
def test_a_time_in_a_zone_reads_back_with_it(nanos: int, zone: timezone) -> None:
    inside = min(max(nanos, strategies.FIRST_NANOS + strategies.DAY), strategies.LAST_NANOS - strategies.DAY)

    assert gotime.decode_with_zone(gotime.encode_in(inside, zone)) == (inside, zone)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "2023-11-14T22:13:20.5Z"),
        (7200, "2023-11-15T00:13:20.5+02:00"),
        (-12_600, "2023-11-14T18:43:20.5-03:30"),
        (20_700, "2023-11-15T03:58:20.5+05:45"),
        (-1800, "2023-11-14T21:43:20.5-00:30"),
        (3208, "2023-11-14T23:06:20.5+00:53"),
        (-2670, "2023-11-14T21:29:20.5-00:44"),
    ],
)
def test_the_offset_of_a_zone_is_written_as_go_writes_it(seconds: int, text: str) -> None:
    zone = timezone(timedelta(seconds=seconds))

    assert gotime.encode_in(1_700_000_000 * NANOS + NANOS // 2, zone) == text
    assert gotime.decode(text) == 1_700_000_000 * NANOS + NANOS // 2


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "hours"), [("2026-03-29T00:59:59Z", 1), ("2026-03-29T01:00:00Z", 2), ("2026-10-25T01:00:00Z", 1)]
)
def test_the_local_zone_is_that_of_the_moment(text: str, hours: int) -> None:
    assert gotime.local_zone(gotime.decode(text)) == timezone(timedelta(hours=hours))


@pytest.mark.parametrize(
    ("nanos", "year"), [(-(10**21), "0000-01-01T00:00:00"), (10**21, "9999-12-31T23:59:59")]
)
def test_years_that_go_cannot_write_are_brought_inside(nanos: int, year: str) -> None:
    assert gotime.encode(nanos).startswith(year)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)), strategies.zones)  # noqa: DTZ001
def test_any_zone_is_read_as_python_reads_it(time: datetime, zone: timezone) -> None:
    local = time.astimezone(zone)

    nanos, read_zone = gotime.decode_with_zone(local.isoformat())

    assert nanos // 1000 == (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert read_zone.utcoffset(None) == local.utcoffset()


def test_digits_beyond_nanoseconds_are_cut() -> None:
    assert gotime.decode("1970-01-01T00:00:00.123456789999Z") == 123_456_789


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        [],
        {},
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02t03:04:05z",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05.Z",
        "2026-02-29T03:04:05Z",
        "2026-13-01T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:00Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05+24:00",
        "10000-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "\u0662026-01-02T03:04:05Z",
    ],
)
def test_what_is_no_time_is_damage(text: object) -> None:
    with pytest.raises(DamagedError):
        gotime.decode(text)


@given(st.text("0123456789-:TZ.+", max_size=30))
def test_odd_texts_are_read_or_called_damage(text: str) -> None:
    try:
        nanos = gotime.decode(text)
    except DamagedError:
        return

    assert isinstance(nanos, int)
