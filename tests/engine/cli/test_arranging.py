import argparse

import pytest

from becalm_engine.cli import parser
from becalm_engine.cli.arranging import arranged
from tests.engine.cli.conftest import Becalm


def parse(*arguments: str) -> argparse.Namespace:
    return parser.parse(arguments, {})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("snapshots", "snapshots"),
        ("-v snapshots -q a", "snapshots --verbose --quiet -- a"),
        ("backup A --tag t B -n", "backup --tag=t --dry-run -- A B"),
        (
            "-o a=b backup -ob=c -o=d=e --option f=g",
            "backup --option=a=b --option=b=c --option=d=e --option=f=g",
        ),
        ("backup -nvvx A", "backup --dry-run --verbose --verbose --one-file-system -- A"),
        ("backup -nHrose A", "backup --dry-run --host=rose -- A"),
        ("backup --exclude -x --tag -- A", "backup --exclude=-x --tag=-- -- A"),
        ("backup --stdin-from-command -- ls -l --json", "backup --stdin-from-command -- ls -l --json"),
        ("backup - --stdin-from-command -- a -- b", "backup --stdin-from-command -- - a -- b"),
        ("--json repair -n snapshots a --forget b", "repair snapshots --json -n --forget -- a b"),
        ("snapshots --json=true --quiet=T --quiet=0", "snapshots --json"),
        ("snapshots -v --verbose=2", "snapshots --verbose --verbose"),
        ("snapshots -vv=1 -v", "snapshots --verbose --verbose"),
        ("snapshots --json=perhaps --verbose=99", "snapshots --json=perhaps --verbose=99"),
        ("snapshots --repo=", "snapshots --repo="),
        ("snapshots --repo", "snapshots --repo"),
        ("--jso snapshots -Z5 a", "snapshots --jso -Z5 -- a"),
        ("--json nonsense -v a", "nonsense -v a --json"),
        ("--json", "--json"),
    ],
)
def test_flags_move_behind_their_command_and_the_rest_behind_them(arguments: str, expected: str) -> None:
    assert arranged(parser.build({}), arguments.split()) == expected.split()


def test_what_may_be_repeated_is_not_lost_before_the_command() -> None:
    found = parse("-v", "-o", "a=1", "--gone-host=x", "backup", "-o", "b=2", "-v", "--gone-host=y", "/etc")

    assert (found.option, found.verbose, found.gone_host) == (["a=1", "b=2"], 2, ["x", "y"])


def test_arguments_may_stand_after_flags() -> None:
    assert parse("backup", "A", "--tag", "t", "B").source == ["A", "B"]
    assert parse("ls", "latest", "-l", "/folder").folder == ["/folder"]
    assert parse("cat", "snapshot", "--json", "abc").id == "abc"
    assert parse("key", "remove", "--json", "abc").id == "abc"
    assert parse("tag", "--add", "x", "a", "--host", "h", "b").id == ["a", "b"]
    assert parse("repair", "packs", "a", "--json", "b").id == ["a", "b"]
    assert parse("dump", "latest", "--archive", "zip", "/a").item == "/a"


@pytest.mark.parametrize(
    "arguments", ["snapshots --jso", "--jso snapshots", "repair index --read-all", "find a --pac"]
)
def test_flags_are_not_abbreviated(becalm: Becalm, arguments: str) -> None:
    result = becalm(*arguments.split())

    assert (result.status, "unrecognized arguments" in result.err) == (1, True)


def test_flags_for_a_cache_are_taken_and_do_nothing(becalm: Becalm) -> None:
    flags = "--no-cache", "--cache-dir", "/nowhere", "--cleanup-cache", "--no-extra-verify"

    assert (
        becalm(*flags, "snapshots", "--json").messages
        == becalm("snapshots", "--json", *flags).messages
        == [[]]
    )
