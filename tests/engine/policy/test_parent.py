from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, FIFO, FILE, Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.grouping import Grouping, Key
from becalm_engine.policy.parent import ChangeRules, choose_parent, is_unchanged, read_since_nanos

SECOND = 1_000_000_000
NODE = Node(b"f", FILE, 0o644, 50 * SECOND, 60 * SECOND, 70 * SECOND, 0, 0, inode=5, size=9)


def snapshot(time: int, hostname: str = "rose", paths: tuple[str, ...] = ("/data",)) -> Snapshot:
    return Snapshot(time, BlobID(bytes(32)), paths, hostname=hostname)


def test_a_file_like_its_parent_is_unchanged() -> None:
    before = replace(NODE, mode=0o600, atime=0, uid=7, device_id=8, links=2)

    assert is_unchanged(NODE, before, ChangeRules())


@pytest.mark.parametrize(
    "before",
    [replace(NODE, size=8), replace(NODE, mtime=1), replace(NODE, ctime=1), replace(NODE, inode=1)],
    ids=["size", "mtime", "ctime", "inode"],
)
def test_a_file_that_differs_is_changed(before: Node) -> None:
    assert not is_unchanged(NODE, before, ChangeRules())


@pytest.mark.parametrize(
    ("before", "rules"),
    [
        (replace(NODE, inode=1), ChangeRules(ignore_inode=True)),
        (replace(NODE, ctime=1), ChangeRules(ignore_ctime=True)),
    ],
    ids=["inode", "ctime"],
)
def test_what_is_ignored_may_differ_and_nothing_else(before: Node, rules: ChangeRules) -> None:
    other = replace(before, mtime=NODE.mtime - 1)

    assert is_unchanged(NODE, before, rules)
    assert not is_unchanged(NODE, other, rules)


@pytest.mark.parametrize("kind", [DIR, FIFO])
def test_only_files_have_content_to_take_over(kind: str) -> None:
    other = replace(NODE, type=kind)

    assert not is_unchanged(other, other, ChangeRules())
    assert not is_unchanged(NODE, other, ChangeRules())


@pytest.mark.parametrize(
    ("synced_at", "trusted"),
    [(70, False), (73, False), (129, False), (130, False), (131, True), (1000, True)],
)
def test_a_hot_parent_is_trusted_only_for_files_settled_before_its_sync(
    synced_at: int, trusted: bool
) -> None:
    rules = ChangeRules(hot_since_nanos=synced_at * SECOND)

    assert is_unchanged(NODE, NODE, rules) is trusted


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_hot_parent_is_never_trusted_more_than_a_cold_one(mtime: int, ctime: int, since: int) -> None:
    node = replace(NODE, mtime=mtime, ctime=ctime)

    hot = is_unchanged(node, NODE, ChangeRules(hot_since_nanos=since))

    assert not hot or is_unchanged(node, NODE, ChangeRules())


def test_a_ctime_that_is_ignored_says_nothing_of_how_settled_a_file_is() -> None:
    rules = ChangeRules(hot_since_nanos=130 * SECOND, ignore_ctime=True)

    assert is_unchanged(NODE, NODE, rules)
    assert not is_unchanged(NODE, NODE, replace(rules, hot_since_nanos=NODE.mtime + 60 * SECOND))


def test_a_snapshot_s_source_was_read_from_when_its_backup_began() -> None:
    began = replace(snapshot(9 * SECOND), summary={"backup_start": "1970-01-01T00:00:07.5Z"})

    assert read_since_nanos(began) == 7_500_000_000


@pytest.mark.parametrize(
    "summary", [{}, {"backup_start": "yesterday"}, {"backup_start": None}, {"backup_start": 7}]
)
def test_a_snapshot_that_does_not_say_when_its_backup_began_has_its_own_time(
    summary: dict[str, object],
) -> None:
    assert read_since_nanos(replace(snapshot(9 * SECOND), summary=summary)) == 9 * SECOND


def group(
    hostname: str = "rose",
    paths: tuple[str, ...] = ("/data",),
    tags: tuple[str, ...] = (),
    by: str = "host,paths",
) -> Key:
    return Grouping.parse(by).key(hostname, paths, tags)


def test_what_makes_a_group_can_be_chosen() -> None:
    snapshots = [
        ("host", snapshot(1, paths=("/other",))),
        ("tags", replace(snapshot(2, hostname="lily"), tags=("b", "a"))),
        ("any", snapshot(3, hostname="lily", paths=("/other",))),
    ]

    for by, name in (("host", "host"), ("paths,tags", "tags"), ("", "any"), ("host,paths", None)):
        grouping = Grouping.parse(by)
        chosen = choose_parent(snapshots, group=group(tags=("a", "b"), by=by), grouping=grouping, now_nanos=9)
        assert (chosen[0] if chosen else None) == name


def test_the_newest_snapshot_of_the_host_and_paths_is_the_parent() -> None:
    snapshots = [
        ("old", snapshot(1)),
        ("new", snapshot(5)),
        ("other host", snapshot(8, hostname="lily")),
        ("other paths", snapshot(8, paths=("/data", "/etc"))),
        ("future", snapshot(11)),
    ]

    chosen = choose_parent(snapshots, group=group(), grouping=Grouping(), now_nanos=10)

    assert chosen is not None
    assert chosen[0] == "new"


def test_the_order_of_paths_does_not_matter() -> None:
    snapshots = [("s", snapshot(1, paths=("/b", "/a")))]

    assert (
        choose_parent(snapshots, group=group(paths=("/a", "/b")), grouping=Grouping(), now_nanos=1)
        == snapshots[0]
    )


def test_without_a_fitting_snapshot_there_is_no_parent() -> None:
    assert choose_parent([("s", snapshot(1))], group=group("lily"), grouping=Grouping(), now_nanos=9) is None


@given(st.lists(st.integers(0, 100)), st.integers(0, 100))
def test_the_parent_is_never_newer_than_now_and_never_older_than_another(times: list[int], now: int) -> None:
    chosen = choose_parent(
        ((time, snapshot(time)) for time in times), group=group(), grouping=Grouping(), now_nanos=now
    )

    past = [time for time in times if time <= now]
    assert (chosen[0] if chosen else None) == max(past, default=None)
