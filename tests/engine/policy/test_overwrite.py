import os
import stat

import pytest

from becalm_engine.format.tree import DIR, FILE, SYMLINK, Node
from becalm_engine.policy.overwrite import (
    UNFINISHED,
    UNFINISHED_FOLDER,
    Overwrite,
    Verdict,
    is_begun_folder,
    judge,
)

NANOS = 1_000_000_000
NODE = Node(b"file", FILE, 0o644, 100 * NANOS, 0, 0, 0, 0, size=7)
LINK = Node(b"link", SYMLINK, 0o777, 100 * NANOS, 0, 0, 0, 0)


def found(seconds: int, *, size: int = 7, mode: int = stat.S_IFREG | 0o644, links: int = 1) -> os.stat_result:
    return os.stat_result((mode, 1, 1, links, 0, 0, size, 0, seconds, 0), {"st_mtime_ns": seconds * NANOS})


@pytest.mark.parametrize("rule", list(Overwrite))
def test_what_is_not_there_is_new(rule: Overwrite) -> None:
    assert judge(rule, NODE, None) is Verdict.NEW
    assert judge(rule, LINK, None) is Verdict.NEW


@pytest.mark.parametrize(
    ("rule", "there", "verdict"),
    [
        (Overwrite.ALWAYS, found(100), Verdict.COMPARE),
        (Overwrite.ALWAYS, found(500, size=1), Verdict.COMPARE),
        (Overwrite.IF_CHANGED, found(100), Verdict.TRUST),
        (Overwrite.IF_CHANGED, found(100, size=8), Verdict.COMPARE),
        (Overwrite.IF_CHANGED, found(101), Verdict.COMPARE),
        (Overwrite.IF_NEWER, found(101), Verdict.KEEP),
        (Overwrite.IF_NEWER, found(100), Verdict.KEEP),
        (Overwrite.IF_NEWER, found(99), Verdict.COMPARE),
        (Overwrite.NEVER, found(1), Verdict.KEEP),
        (Overwrite.NEVER, found(1, mode=stat.S_IFDIR), Verdict.KEEP),
        (Overwrite.ALWAYS, found(100, mode=stat.S_IFLNK), Verdict.REPLACE),
        (Overwrite.ALWAYS, found(100, links=2), Verdict.REPLACE),
        (Overwrite.IF_CHANGED, found(100, links=2), Verdict.REPLACE),
    ],
)
def test_files_that_are_there(rule: Overwrite, there: os.stat_result, verdict: Verdict) -> None:
    assert judge(rule, NODE, there) is verdict


def test_a_file_of_several_names_may_have_as_many_where_it_is_restored() -> None:
    node = Node(b"file", FILE, 0o644, 100 * NANOS, 0, 0, 0, 0, size=7, links=2)

    assert judge(Overwrite.ALWAYS, node, found(100, links=2)) is Verdict.COMPARE
    assert judge(Overwrite.ALWAYS, node, found(100, links=3)) is Verdict.REPLACE


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Overwrite.ALWAYS, Verdict.REPLACE),
        (Overwrite.IF_CHANGED, Verdict.REPLACE),
        (Overwrite.IF_NEWER, Verdict.KEEP),
        (Overwrite.NEVER, Verdict.KEEP),
    ],
)
def test_links_and_special_files_have_no_content_to_compare(rule: Overwrite, verdict: Verdict) -> None:
    assert judge(rule, LINK, found(100, mode=stat.S_IFLNK)) is verdict


@pytest.mark.parametrize("rule", list(Overwrite))
@pytest.mark.parametrize("seconds", [99, 101])
def test_no_rule_keeps_what_a_restore_has_begun(rule: Overwrite, seconds: int) -> None:
    begun = found(seconds, mode=stat.S_IFREG | UNFINISHED)

    assert judge(rule, NODE, begun) is Verdict.COMPARE
    assert judge(rule, LINK, begun) is Verdict.REPLACE


def test_what_is_to_have_the_mode_of_an_unfinished_file_may_be_whole() -> None:
    node = Node(b"file", FILE, UNFINISHED, 100 * NANOS, 0, 0, 0, 0, size=7)

    assert judge(Overwrite.NEVER, node, found(101, mode=stat.S_IFREG | UNFINISHED)) is Verdict.KEEP
    assert judge(Overwrite.NEVER, NODE, found(101, mode=stat.S_IFIFO | UNFINISHED)) is Verdict.KEEP


@pytest.mark.parametrize(
    ("mode", "wanted", "begun"),
    [
        (UNFINISHED_FOLDER, 0o755, True),
        (UNFINISHED_FOLDER | stat.S_ISGID, 0o2755, True),
        (UNFINISHED_FOLDER, UNFINISHED_FOLDER, False),
        (0o700, 0o755, False),
        (0o1777, 0o755, False),
    ],
)
def test_a_folder_that_a_restore_has_made_is_known(mode: int, wanted: int, begun: bool) -> None:
    node = Node(b"folder", DIR, wanted, 0, 0, 0, 0, 0)

    assert is_begun_folder(node, found(1, mode=stat.S_IFDIR | mode)) is begun
