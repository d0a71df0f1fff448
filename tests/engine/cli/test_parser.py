import argparse
import importlib
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from becalm_engine.cli import catalogue, completion, parser
from becalm_engine.cli.manual import PAGES
from tests.engine.cli.conftest import Becalm

COMMANDS = sorted(catalogue.COMMANDS)


@pytest.fixture(scope="module")
def described() -> Mapping[str, completion.Completed]:
    return completion.described(parser.build({}))


def test_nobody_can_want_both_more_and_less(becalm: Becalm) -> None:
    result = becalm("-q", "snapshots", "-v")

    assert (result.status, "--quiet and --verbose exclude each other" in result.err) == (1, True)


# --- the manual


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    built = completion.described(parser.build({}))

    assert sorted(built) == ["", *COMMANDS]
    assert set(COMMANDS) <= set(PAGES)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_tells_what_it_is_for_and_how_it_is_typed(becalm: Becalm, name: str) -> None:
    result = becalm(name, "--help")

    assert result.status == 0
    usage, paragraph = result.out.split("\n\n")[:2]
    assert usage.startswith(f"usage: becalm {name}")
    assert "--json" not in usage
    assert paragraph == PAGES[name].description.split("\n\n")[0]
    for example in PAGES[name].examples:
        assert f"  {example}\n" in result.out
    assert all(len(line) < 80 for line in PAGES[name].description.splitlines())


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name in COMMANDS for example in PAGES[name].examples]
)
def test_every_example_parses_and_is_about_its_command(name: str, example: str) -> None:
    program, *arguments = shlex.split(example)

    assert program == "becalm"
    assert parser.parse(arguments, {}).command == name


# --- flags before the command, as restic takes them


def parse(*arguments: str, **environment: str) -> argparse.Namespace:
    return parser.parse(arguments, environment)


def test_global_flags_may_stand_before_the_command_and_after_it() -> None:
    before = parse("-r", "/x", "-p", "file", "--json", "-v", "-o", "a=b", "snapshots")
    after = parse("snapshots", "-r", "/x", "-p", "file", "--json", "-v", "-o", "a=b")

    assert before == after
    assert (before.repo, before.json, before.verbose, before.option) == ("/x", True, 1, ["a=b"])


def test_what_is_said_last_counts_and_silence_changes_nothing() -> None:
    found = parse("-r", "/x", "--retry-lock=1m", "ls", "latest", "--repo=/y", RESTIC_PASSWORD_FILE="file")

    assert (found.repo, found.retry_lock, found.password_file) == ("/y", "1m", "file")
    assert (found.json, found.quiet, found.option) == (False, False, [])


def test_a_command_works_with_flags_before_it(becalm: Becalm, tmp_path: Path) -> None:
    assert becalm("--json", "snapshots").messages == [[]]
    assert becalm("--repo", tmp_path / "nowhere", "snapshots").status == 10


# --- completion


def complete(script: Path, *words: str) -> list[str]:
    """Let bash complete the last word, without anything else loaded."""
    line = " ".join(shlex.quote(word) for word in ("becalm", *words))
    program = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _becalm; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-uc", program], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def script(becalm: Becalm, tmp_path: Path) -> Path:
    path = tmp_path / "becalm.bash"
    assert becalm("generate", "--bash-completion", path).out == f"wrote {path}\n"
    return path


def test_bash_completes_commands_flags_and_values(script: Path) -> None:
    assert complete(script, "sn") == ["snapshots"]
    assert set(complete(script, "")) == set(COMMANDS)
    assert complete(script, "--pass") == ["--password-file", "--password-command"]
    assert complete(script, "ls", "--rec") == ["--recursive"]
    assert complete(script, "-r", "/x", "ls", "--rec") == ["--recursive"]
    assert complete(script, "ls", "--sort", "s") == ["size"]
    assert complete(script, "ls", "--sort", "=", "s") == ["size"]
    assert "extension" in complete(script, "ls", "--sort", "=")
    assert complete(script, "key", "r") == ["remove"]
    assert complete(script, "restore", "latest", "--overwrite", "if-n") == ["if-newer"]


def test_bash_leaves_files_to_itself(script: Path) -> None:
    assert complete(script, "dump", "latest", "--target", "x") == []
    assert complete(script, "backup", "/et") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_every_command_and_flag_is_in_the_script(
    becalm: Becalm, described: Mapping[str, completion.Completed], shell: str
) -> None:
    text = becalm("generate", f"--{shell}-completion=-").out

    for name, command in described.items():
        assert name in text
        for flag in command.flags:
            long = flag.names[-1]
            assert (long if shell == "zsh" else f"-l {long[2:]}") in text


def test_descriptions_end_no_quotes() -> None:
    odd = completion.Completed(
        "it's [a]: 100%%",
        (completion.Flag(("-x", "--odd"), "don't [x]: \\", takes_value=True, choices=(), repeats=False),),
        (),
    )

    assert "'(-x --odd)--odd=[don'\\''t  x    ]:value:_files'" in completion.zsh({"": odd, "odd": odd})
    assert r"-d 'don\'t [x]: \\'" in completion.fish({"": odd, "odd": odd})


@pytest.mark.parametrize(
    "arguments", [[], ["--bash-completion=-", "--zsh-completion=-"], ["--fish-completion=/nowhere/at/all"]]
)
def test_generate_needs_places_to_write_to(becalm: Becalm, arguments: list[str]) -> None:
    assert becalm("generate", *arguments).status == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_function(name: str) -> None:
    module, _, function = catalogue.COMMANDS[name].place.partition(".")

    assert callable(getattr(importlib.import_module(f"becalm_engine.cli.{module}"), function))
