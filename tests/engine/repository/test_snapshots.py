from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, SnapshotMissingError
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import (
    Filter,
    StoredSnapshot,
    find_snapshot,
    list_snapshots,
    remove_snapshot,
    save_snapshot,
    tag_list,
)
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import made


def snapshot(
    time: int, hostname: str = "rose", tags: tuple[str, ...] = (), paths: tuple[str, ...] = ("/data",)
) -> Snapshot:
    return Snapshot(time, BlobID(bytes(32)), paths, hostname=hostname, tags=tags)


@pytest.fixture
def repository() -> Repository:
    return made()


def test_what_is_saved_is_listed_oldest_first(repository: Repository) -> None:
    saved = [save_snapshot(repository, snapshot(time)) for time in (30, 10, 20)]

    listed = list_snapshots(repository)

    assert listed == [saved[1], saved[2], saved[0]]


def test_a_short_name_is_the_first_eight_digits() -> None:
    assert StoredSnapshot("0123456789abcdef", snapshot(1)).short == "01234567"


def test_latest_is_the_newest_of_those_that_fit(repository: Repository) -> None:
    save_snapshot(repository, snapshot(10))
    wanted = save_snapshot(repository, snapshot(20))
    newest = save_snapshot(repository, snapshot(30, hostname="lily"))

    assert find_snapshot(repository, "latest") == newest
    assert find_snapshot(repository, "latest", Filter(hosts=("rose",))) == wanted


def test_latest_takes_paths_whatever_way_they_are_typed(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = save_snapshot(repository, snapshot(10, paths=(str(tmp_path / "data"),)))
    save_snapshot(repository, snapshot(20))

    for path in ("data", "./x/../data/", f"{tmp_path}//data/."):
        assert find_snapshot(repository, "latest", Filter(paths=(path,))) == wanted
        assert list_snapshots(repository, Filter(paths=(path,))) == []


def test_latest_of_none_is_missing(repository: Repository) -> None:
    save_snapshot(repository, snapshot(10))

    with pytest.raises(SnapshotMissingError):
        find_snapshot(repository, "latest", Filter(hosts=("lily",)))


@pytest.mark.parametrize("digits", [8, 20, 64])
def test_a_prefix_that_only_one_has_finds_it(repository: Repository, digits: int) -> None:
    saved = [save_snapshot(repository, snapshot(time)) for time in range(5)]

    assert find_snapshot(repository, saved[3].name[:digits]) == saved[3]


def test_a_prefix_that_several_have_is_refused(repository: Repository) -> None:
    names = [save_snapshot(repository, snapshot(time)).name for time in range(17)]
    shared = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)

    with pytest.raises(SnapshotMissingError, match="more than one"):
        find_snapshot(repository, shared)


@pytest.mark.parametrize("text", ["", "g", "0" * 64, "LATEST"])
def test_what_no_snapshot_is_called_is_missing(repository: Repository, text: str) -> None:
    save_snapshot(repository, snapshot(10))

    with pytest.raises(SnapshotMissingError):
        find_snapshot(repository, text)


def test_a_snapshot_that_is_removed_is_gone(repository: Repository) -> None:
    first, second = (save_snapshot(repository, snapshot(time)) for time in (1, 2))

    remove_snapshot(repository, first)

    assert list_snapshots(repository) == [second]


def test_a_snapshot_that_cannot_be_read_is_not_left_out_in_silence(repository: Repository) -> None:
    save_snapshot(repository, snapshot(1))
    repository.save_document(FileKind.SNAPSHOT, b'{"time":"never"}')

    with pytest.raises(DamagedError):
        list_snapshots(repository)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(), True),
        (Filter(hosts=("rose",)), True),
        (Filter(hosts=("lily", "rose")), True),
        (Filter(hosts=("lily",)), False),
        (Filter(tag_lists=(("a",),)), True),
        (Filter(tag_lists=(("a", "b"),)), True),
        (Filter(tag_lists=(("a", "c"),)), False),
        (Filter(tag_lists=(("a", "c"), ("b",))), True),
        (Filter(tag_lists=(("",),)), False),
        (Filter(paths=("/data",)), True),
        (Filter(paths=("/data", "/etc")), True),
        (Filter(paths=("/data", "/srv")), False),
        (Filter(paths=("/dat",)), False),
        (Filter(hosts=("rose",), tag_lists=(("a",),), paths=("/srv",)), False),
    ],
)
def test_a_filter_means_any_host_any_tag_list_and_all_paths(wanted: Filter, fits: bool) -> None:
    assert wanted.fits(snapshot(1, tags=("a", "b"), paths=("/data", "/etc"))) is fits


def test_an_empty_tag_means_having_none() -> None:
    wanted = Filter(tag_lists=(("",),))

    assert wanted.fits(snapshot(1))
    assert not wanted.fits(snapshot(1, tags=("a",)))


def test_an_empty_tag_ahead_of_others_means_having_none_whatever_they_are() -> None:
    first, last = Filter(tag_lists=(("", "a"),)), Filter(tag_lists=(("a", ""),))

    assert first.fits(snapshot(1))
    assert not last.fits(snapshot(1))
    for wanted in (first, last):
        assert not wanted.fits(snapshot(1, tags=("a",)))


def test_spaces_around_tags_are_no_part_of_them() -> None:
    assert tag_list("a, b c ,\td") == ("a", "b c", "d")
    assert tag_list(" ") == ("",)


texts = st.sampled_from(("a", "b", "c"))
filters = st.builds(
    Filter,
    hosts=st.lists(texts, max_size=2).map(tuple),
    tag_lists=st.lists(st.lists(texts, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple),
    paths=st.lists(texts, max_size=2).map(tuple),
)
found = st.builds(
    snapshot,
    st.integers(0, 9),
    texts,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
)


@given(found, filters, filters)
def test_two_conditions_together_fit_what_fits_both(one: Snapshot, hosts: Filter, rest: Filter) -> None:
    both = Filter(hosts=hosts.hosts, tag_lists=rest.tag_lists, paths=rest.paths)

    apart = Filter(hosts=hosts.hosts).fits(one) and Filter(tag_lists=rest.tag_lists, paths=rest.paths).fits(
        one
    )

    assert both.fits(one) == apart
