from datetime import UTC, datetime

import pytest

from becalm_engine.commands import forget
from becalm_engine.errors import UsageError
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.policy.retention import Policy
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import Filter, list_snapshots, save_snapshot
from tests.engine.repository.repositories import made

DAY = 86_400 * 1_000_000_000
NOW = datetime(2026, 11, 1, tzinfo=UTC)
TREE = BlobID(bytes(32))


@pytest.fixture
def repository() -> Repository:
    repository = made()
    for day in range(3):
        for path in ("/data/db", "/data/web"):
            save_snapshot(repository, Snapshot(day * DAY, TREE, (path,), "shop", tags=("schedule=nightly",)))
    save_snapshot(repository, Snapshot(0, TREE, ("/data/db",), "other"))
    return repository


def test_a_policy_looks_at_each_group_by_itself(repository: Repository) -> None:
    wanted = Filter(hosts=("shop",), tag_lists=(("schedule=nightly",),))

    groups = forget.plan(repository, Policy(last=1), wanted, "host,paths", now=NOW)

    assert [(group.host, group.paths) for group in groups] == [
        ("shop", ("/data/db",)),
        ("shop", ("/data/web",)),
    ]
    assert forget.remove(repository, groups) == 4
    left = list_snapshots(repository)
    assert sorted((one.snapshot.hostname, one.snapshot.time_nanos // DAY) for one in left) == [
        ("other", 0), ("shop", 2), ("shop", 2),
    ]  # fmt: skip


def test_a_plan_alone_removes_nothing(repository: Repository) -> None:
    forget.plan(repository, Policy(last=1), Filter(), "", now=NOW)

    assert len(list_snapshots(repository)) == 7


def test_a_policy_that_keeps_nothing_is_refused(repository: Repository) -> None:
    with pytest.raises(UsageError, match="no --keep"):
        forget.plan(repository, Policy(), Filter(), "host", now=NOW)
    with pytest.raises(UsageError, match="would remove all"):
        forget.plan(repository, Policy(tags=(("absent",),)), Filter(), "host", now=NOW)


def test_a_grouping_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError):
        forget.grouped([], "colour")
