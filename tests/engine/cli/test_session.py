import io
import sys
import threading
from pathlib import Path

import pytest

from becalm_engine.cli import parser
from becalm_engine.cli.session import Session, parse_seconds
from becalm_engine.errors import UsageError, WrongPasswordError
from becalm_engine.repository.repository import initialise
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm
from tests.engine.repository.repositories import CHEAP, PASSWORD


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("0s", 0), ("90s", 90), ("1h30m", 5400), ("1.5m", 90)]
)
def test_durations_are_go_like(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "1d", "-1s", "1h 2m", "x"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seconds(text)


# --- passwords and locations from files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def made_before(tmp_path: Path) -> Path:
    """A repository of the days when blanks counted."""
    initialise(LocalStorage(tmp_path / "old"), " secret \t", cost=CHEAP)
    return tmp_path / "old"


@pytest.mark.parametrize("flag", ["--password-file={}", "--password-command=cat {}"])
def test_blanks_around_a_password_are_none_of_it(becalm: Becalm, file: Path, flag: str) -> None:
    file.write_text(f" {PASSWORD} \t\r\n")

    assert becalm("snapshots", flag.format(file)).status == 0
    assert becalm("snapshots", RESTIC_PASSWORD=f"{PASSWORD} ").status == 12


@pytest.mark.parametrize("flag", ["--password-file={}", "--password-command=cat {}"])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_repository_whose_password_has_blanks_opens_by_the_file_as_ever(
    becalm: Becalm, made_before: Path, file: Path, flag: str, damaged: bool
) -> None:
    file.write_text(" secret \t\n")
    if damaged:
        (made_before / "keys" / ("0" * 64)).write_text("nonsense")

    assert becalm("snapshots", flag.format(file), RESTIC_REPOSITORY=str(made_before)).status == 0


def test_a_password_that_is_wrong_with_and_without_blanks_is_wrong(
    becalm: Becalm, made_before: Path, file: Path
) -> None:
    file.write_text("secret \t\n")

    assert becalm("snapshots", "-p", file, RESTIC_REPOSITORY=str(made_before)).status == 12


def test_a_new_repository_gets_the_password_without_blanks_and_never_an_empty_one(
    becalm: Becalm, tmp_path: Path, file: Path
) -> None:
    there = str(tmp_path / "there")
    file.write_text(" \n")
    refused = becalm("init", "-p", file, RESTIC_REPOSITORY=there)
    file.write_text(" secret \n")

    assert (refused.status, "no password" in refused.err) == (1, True)
    assert becalm("init", "-p", file, RESTIC_REPOSITORY=there).status == 0
    assert becalm("snapshots", RESTIC_REPOSITORY=there, RESTIC_PASSWORD="secret").status == 0


def test_a_new_password_is_taken_without_blanks(becalm: Becalm, file: Path) -> None:
    file.write_text(" secret \n")

    assert becalm("key", "add", "--new-password-file", file).status == 0
    assert becalm("snapshots", RESTIC_PASSWORD="secret").status == 0


def test_no_password_is_said(becalm: Becalm, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    assert "no password" in becalm("snapshots", "-p", file).err
    assert "no password" in becalm("snapshots", RESTIC_PASSWORD="").err


def test_the_source_of_a_copy_has_its_password_not_from_standard_input(
    becalm: Becalm, repository: Path
) -> None:
    result = becalm("copy", "--from-repo", repository)

    assert (result.status, "use --from-password-file" in result.err) == (1, True)


def test_blanks_around_a_location_are_none_of_it(becalm: Becalm, repository: Path, file: Path) -> None:
    file.write_text(f" {repository} \t\n")

    assert becalm("snapshots", "--repository-file", file, RESTIC_REPOSITORY="").status == 0


# --- one place, one password


@pytest.fixture
def elsewhere(tmp_path: Path, file: Path) -> Path:
    """Another repository, which a file names."""
    initialise(LocalStorage(tmp_path / "elsewhere"), PASSWORD, cost=CHEAP)
    file.write_text(f"{tmp_path / 'elsewhere'}\n")
    return file


def test_two_repositories_are_refused_whichever_a_variable_names(
    becalm: Becalm, repository: Path, elsewhere: Path
) -> None:
    by_flag = becalm("forget", "--repository-file", elsewhere, "--keep-last=1")
    by_variable = becalm(
        "snapshots", "-r", repository, RESTIC_REPOSITORY="", RESTIC_REPOSITORY_FILE=str(elsewhere)
    )

    assert by_flag.status == by_variable.status == 1
    assert "--repo and --repository-file are both given" in by_flag.err
    assert by_variable.err == by_flag.err
    assert becalm("snapshots", "--repository-file=").status == 0
    assert becalm("version", "--repository-file", elsewhere).status == 0


@pytest.mark.parametrize(
    ("flag", "variable"),
    [
        ("--password-file={}", "RESTIC_PASSWORD_COMMAND"),
        ("--password-command=cat {}", "RESTIC_PASSWORD_FILE"),
    ],
)
def test_two_sources_of_a_password_are_refused(becalm: Becalm, file: Path, flag: str, variable: str) -> None:
    file.write_text(PASSWORD)
    other = str(file) if variable.endswith("FILE") else f"echo '{PASSWORD}'"

    result = becalm("snapshots", flag.format(file), **{variable: other})

    assert (result.status, result.report["error"]["type"]) == (1, "Usage")
    assert "--password-file and --password-command are both given" in result.err


@pytest.mark.parametrize("flag", ["--password-file={}", "--password-command=cat {}"])
def test_a_file_or_a_command_comes_before_a_password_in_the_environment(
    becalm: Becalm, file: Path, flag: str
) -> None:
    file.write_text(PASSWORD)

    assert becalm("snapshots", flag.format(file), RESTIC_PASSWORD="wrong").status == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from-repository-file={}"], "--from-repo and --from-repository-file are both"),
        (["--from-password-file={}", "--from-password-command=cat {}"], "--from-password-command are both"),
    ],
)
def test_a_copy_has_one_source(
    becalm: Becalm, repository: Path, elsewhere: Path, flags: list[str], words: str
) -> None:
    result = becalm(
        "copy", *(flag.format(elsewhere) for flag in flags), RESTIC_FROM_REPOSITORY=str(repository)
    )

    assert (result.status, words in result.err) == (1, True)
    assert becalm("snapshots", RESTIC_FROM_REPOSITORY="a", RESTIC_FROM_REPOSITORY_FILE="b").status == 0


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


@pytest.mark.parametrize(
    "flags",
    [
        ("prune", "--pack-size={}"),
        ("prune", "--max-unused={}"),
        ("prune", "--max-repack-size={}G"),
        ("check", "--read-data-subset={0}/{0}"),
        ("check", "--limit-download={}"),
        ("backup", "--read-concurrency={}", "."),
        ("snapshots", "-o", "s3.connections={}", "--repo=s3:http://localhost/bucket"),
    ],
)
def test_a_number_of_thousands_of_digits_is_wrong_usage(becalm: Becalm, flags: tuple[str, ...]) -> None:
    result = becalm(*(flag.format("9" * 5000) for flag in flags))

    assert (result.status, result.report["error"]["type"]) == (1, "Usage")
