from datetime import timedelta, timezone

import pytest

from becalm_engine.cli.times import local_text, parse_time, parse_zoned, zoned_text
from becalm_engine.errors import UsageError
from becalm_engine.format.gotime import NANOS, encode_in
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID

NOON = 1_767_351_600 * NANOS  # 2026-01-02 12:00 in Berlin


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02 12:00",
        "2026-01-02 12:00:00",
        "2026-01-02T11:00:00Z",
        "2026-01-02 12:00:00 +0100",
        "02.01.2026 12:00",
        "02.01.2026 12:00:00",
        "02.01.2026 12:00:00 +0100",
    ],
)
def test_times_are_read_as_restic_reads_them(text: str) -> None:
    assert parse_time(text, "--oldest") == NOON


@pytest.mark.usefixtures("berlin")
def test_a_day_begins_at_midnight() -> None:
    assert (
        parse_time("2026-01-02", "--oldest") == parse_time("02.01.2026", "--oldest") == NOON - 43_200 * NANOS
    )


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-07-01 01:30:00", "2026-07-01T01:30:00+02:00"),
        ("2026-07-01 01:30:00 +0530", "2026-07-01T01:30:00+05:30"),
        ("2026-07-01T01:30:00.25-03:30", "2026-07-01T01:30:00.25-03:30"),
        ("2026-07-01T01:30:00Z", "2026-07-01T01:30:00Z"),
        ("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:58.5Z"),
        ("1960-01-01 00:00:00.75", "1960-01-01T00:00:00.75+01:00"),
        ("2026-03-29 02:30:00", "2026-03-29T03:30:00+02:00"),
        ("2026-10-25 02:30:00", "2026-10-25T02:30:00+01:00"),
        ("9999-12-31 23:59:59", "9999-12-31T23:59:59+01:00"),
    ],
)
def test_a_time_has_the_zone_it_names_or_the_local_one_then(text: str, read: str) -> None:
    assert encode_in(*parse_zoned(text, "--time")) == read


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "32.01.2026", "0001-01-01T00:00:00+23:00", "9999-12-31 23:59:59 -0100"],
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--newest"):
        parse_time(text, "--newest")


@pytest.mark.usefixtures("berlin")
def test_times_are_shown_in_the_zone_of_the_process() -> None:
    assert local_text(NOON + 999) == "2026-01-02 12:00:00"
    assert local_text(-62_135_596_800 * NANOS).startswith("0001-01-01 00:")


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "2026-01-02 11:00:00.5 +0000 UTC"),
        (1, "2026-01-02 12:00:00.5 +0100 CET"),
        (-3.5, "2026-01-02 07:30:00.5 -0330 -0330"),
    ],
)
def test_the_time_of_a_snapshot_is_shown_in_its_own_zone(hours: float, text: str) -> None:
    zone = timezone(timedelta(hours=hours))

    assert zoned_text(Snapshot(NOON + NANOS // 2, BlobID(bytes(32)), (), zone=zone)) == text
