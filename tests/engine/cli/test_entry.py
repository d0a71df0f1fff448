"""What the process finds when it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Becalm
from tests.engine.repository.repositories import PASSWORD

MAIN = "from becalm_engine.cli.entry import main; main()"


def run_without(repository: Path, closed: str, *arguments: str | Path) -> int:
    """Run the command line with standard streams closed, as by a shell's `>&-`; return its exit code."""
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, "RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD}
    return subprocess.run(words, env=environment, check=False, timeout=60).returncode


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_backup_needs_no_standard_streams(
    becalm: Becalm, repository: Path, source: Path, closed: str
) -> None:
    assert run_without(repository, closed, "backup", source) == 0
    assert becalm("check", "--read-data").status == 0
    assert len(becalm("snapshots", "--json").messages[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["ls latest", "check", "cat config", "dump latest /", "snapshots --json"])
def test_what_prints_prints_into_nothing(becalm: Becalm, repository: Path, source: Path, words: str) -> None:
    becalm("backup", source)

    assert run_without(repository, ">&-", *words.split()) == 0


@pytest.mark.slow
def test_a_failure_keeps_its_exit_code(tmp_path: Path) -> None:
    assert run_without(tmp_path / "nowhere", "<&- >&- 2>&-", "snapshots") == 10


@pytest.mark.slow
def test_a_command_that_becalm_starts_has_the_streams_too(becalm: Becalm, repository: Path) -> None:
    words = "--stdin-from-command", "--", "sh", "-c", "echo content; echo said >&2"

    assert run_without(repository, "<&- >&- 2>&-", "backup", *words) == 0
    assert becalm("dump", "latest", "/stdin").out == "content\n"
