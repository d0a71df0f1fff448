from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from becalm_operator.api.backup import BackupStatus, VolumeStatus
from becalm_operator.api.base import (
    Duration,
    Model,
    Time,
    parse_duration,
    time_text,
    to_utc,
    told,
    zoned_text,
)
from tests.operator.api.documents import KINDS, SCHEMAS, fitting

LATE = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)

durations = fitting(SCHEMAS["BackupSchedule"]["properties"]["spec"]["properties"]["jitter"])
moments = st.datetimes(
    datetime(1900, 1, 2),  # noqa: DTZ001  Hypothesis adds the zone
    datetime(2999, 12, 30),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(st.integers(0, 999), st.integers(0, 9999), st.integers(0, 99999))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    wanted = timedelta(hours=hours, minutes=minutes, seconds=seconds)

    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == wanted
    assert parse_duration(f"{seconds}s{hours}h{minutes}m") == wanted


@given(durations)
def test_no_duration_that_a_user_may_write_takes_a_date_out_of_range(duration: str) -> None:
    assert LATE + parse_duration(duration) >= LATE


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "1.5h", "-5m", "5d", "99999999h", "1h" * 17])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[str](Duration).validate_python(text)


def _statuses(kind: str) -> st.SearchStrategy[Model]:
    """Return statuses of a kind that the API server lets in."""
    model = type(KINDS[kind].model_fields["status"].default)
    return fitting(SCHEMAS[kind]["properties"]["status"]).map(model.model_validate)


@given(st.sampled_from(sorted(KINDS)).flatmap(_statuses))
def test_a_status_is_the_same_when_it_is_read_again(status: Model) -> None:
    assert type(status).model_validate(told(status)) == status


def test_a_status_is_told_without_what_is_empty() -> None:
    status = BackupStatus(volumes=(VolumeStatus(claim="data", files_new=0),), message="waiting")

    written = told(status)

    assert set(written) == {"observedGeneration", "phase", "message", "volumes", "sizeBytes"}
    assert "error" not in written["volumes"][0]
    assert written["volumes"][0]["filesNew"] == 0


@given(moments)
def test_a_time_comes_back_from_its_text_in_whole_seconds_of_utc(moment: datetime) -> None:
    read = TypeAdapter[datetime](Time).validate_python(time_text(moment))

    assert read == to_utc(moment) == to_utc(read)
    assert read.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment - read < timedelta(seconds=1)


@given(moments, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]))
def test_a_time_in_a_zone_is_the_same_instant(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    text = zoned_text(moment, zone)

    read = datetime.fromisoformat(text)
    assert to_utc(read) == to_utc(moment)
    assert read.utcoffset() == moment.astimezone(zone).utcoffset()
    assert text.endswith("Z") == (not read.utcoffset())


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    assert to_utc(datetime(2026, 11, 27, 3, 0)) == datetime(2026, 11, 27, 3, 0, tzinfo=UTC)  # noqa: DTZ001


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_a_time_that_utc_does_not_have_is_a_bad_value_like_any_other(text: str) -> None:
    with pytest.raises(ValueError, match="outside the years"):
        to_utc(datetime.fromisoformat(text))
