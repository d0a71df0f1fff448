import threading
from pathlib import Path

import pytest

from becalm_engine.cli import parser
from becalm_engine.cli.session import Session, parse_seconds
from becalm_engine.errors import UsageError, WrongPasswordError
from tests.engine.cli.conftest import Becalm
from tests.engine.repository.repositories import PASSWORD


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("0s", 0), ("90s", 90), ("1h30m", 5400), ("1.5m", 90)]
)
def test_durations_are_go_like(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "1d", "-1s", "1h 2m", "x"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seconds(text)


# --- opened ahead


def session_on(repository: Path, password: str) -> Session:
    environment = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": password}
    return Session(parser.build(environment).parse_args(["snapshots"]), environment)


def test_what_was_opened_ahead_is_had_once_and_its_thread_is_gone(repository: Path) -> None:
    session = session_on(repository, PASSWORD)

    session.open_ahead()
    first = session.repository()

    assert session.repository() is not first
    assert not [thread for thread in threading.enumerate() if thread.name == "open"]


def test_what_goes_wrong_ahead_is_told_to_whoever_asks(repository: Path) -> None:
    session = session_on(repository, "wrong")

    session.open_ahead()

    with pytest.raises(WrongPasswordError):
        session.repository()


def test_wrong_usage_is_told_though_the_repository_is_not_there(becalm: Becalm, tmp_path: Path) -> None:
    result = becalm("backup", "--repo", tmp_path / "nowhere", "--pack-size", "1", tmp_path)

    assert (result.status, result.err) == (1, "Fatal: --pack-size 1 is not between 4 and 128 MiB\n")
