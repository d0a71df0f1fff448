import pytest

from becalm_engine.cli.session import parse_seconds
from becalm_engine.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("0s", 0), ("90s", 90), ("1h30m", 5400), ("1.5m", 90)]
)
def test_durations_are_go_like(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "1d", "-1s", "1h 2m", "x"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seconds(text)
