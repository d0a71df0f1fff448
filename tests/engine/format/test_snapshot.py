import json
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from hypothesis import given

from becalm_engine.errors import DamagedError
from becalm_engine.format import snapshot as format_
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID, FileID
from tests.engine import strategies
from tests.engine.format import hostile

FULL = Snapshot(
    time_nanos=1_700_000_000_123_000_000,
    tree=BlobID(b"\x11" * 32),
    paths=("/data/db",),
    hostname="shop",
    username="root",
    uid=7,
    gid=8,
    excludes=("*.tmp",),
    tags=("a&b",),
    parent=FileID(b"\x22" * 32),
    original=FileID(b"\x33" * 32),
    program_version="becalm 0.1.0",
    summary={"files_new": 1},
)
VALID = format_.encode(FULL)


def test_a_snapshot_is_written_as_restic_writes_it() -> None:
    assert VALID.decode() == (
        f'{{"time":"2023-11-14T22:13:20.123Z","parent":"{"22" * 32}","tree":"{"11" * 32}",'
        '"paths":["/data/db"],"hostname":"shop","username":"root","uid":7,"gid":8,"excludes":["*.tmp"],'
        f'"tags":["a\\u0026b"],"original":"{"33" * 32}","program_version":"becalm 0.1.0",'
        '"summary":{"files_new":1}}'
    )


def test_empty_fields_are_left_out_except_paths() -> None:
    text = format_.encode(Snapshot(0, BlobID(bytes(32)), ()))

    assert list(json.loads(text)) == ["time", "tree", "paths"]


@given(strategies.snapshots)
def test_a_snapshot_reads_back_as_it_was(snapshot: Snapshot) -> None:
    assert format_.decode(format_.encode(snapshot)) == snapshot


def test_a_path_that_is_not_utf_8_can_be_written() -> None:
    path = b"/srv/\xff".decode("utf-8", "surrogateescape")

    text = format_.encode(replace(FULL, paths=(path,)))

    assert format_.decode(text).paths == ("/srv/\ufffd",)


def test_the_zone_of_the_writer_is_kept_for_counting_days() -> None:
    text = hostile.changed(VALID, {"time": "2026-01-01T00:30:00+02:00"})

    snapshot = format_.decode(text)

    assert snapshot.zone == timezone(timedelta(hours=2))
    assert snapshot.local_time.isoformat() == "2026-01-01T00:30:00+02:00"
    assert format_.to_document(snapshot)["time"] == "2026-01-01T00:30:00+02:00"


def test_what_other_tools_add_is_ignored() -> None:
    text = hostile.changed(VALID, {"label": "x", "delete": "Never", "parents": []})

    assert format_.decode(text) == FULL


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "2026-01-01T00:00:00"},
        {"time": None},
        {"time": "0000-06-01T00:00:00Z"},
        {"time": "0001-01-01T00:00:00+01:00"},
        {"time": "9999-12-31T23:59:59-01:00"},
        {"tree": None},
        {"tree": "11"},
        {"paths": "x"},
        {"paths": [1]},
        {"tags": {"a": 1}},
        {"hostname": 5},
        {"uid": -1},
        {"parent": "22"},
        {"summary": [1]},
    ],
)
def test_a_field_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedError):
        format_.decode(hostile.changed(VALID, changes))


def test_lone_surrogates_are_read_as_go_reads_them() -> None:
    text = hostile.changed(VALID, {"hostname": "a\ud800b", "tags": ["\udcff", "ä"]})

    snapshot = format_.decode(text)

    assert snapshot.hostname == "a\ufffdb"
    assert snapshot.tags == ("\ufffd", "ä")


@given(strategies.replaced_fields(*json.loads(VALID)))
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object]) -> None:
    assert hostile.is_read_or_refused(format_.decode, hostile.changed(VALID, changes))


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(format_.decode, data)


def test_an_edited_snapshot_keeps_everything_else_as_it_was_written() -> None:
    text = (
        b'{"time":"2026-01-02T03:04:05.5+01:00","tree":"' + b"0" * 64 + b'","paths":["/x"],"hostname":"a",'
        b'"tags":["t"],"label":"of another program","delete":{"After":1.5}}'
    )

    edited = format_.edited(text, {"tags": [], "hostname": "<b>", "original": "1" * 64, "parent": None})

    assert edited == (
        b'{"time":"2026-01-02T03:04:05.5+01:00","tree":"' + b"0" * 64 + b'","paths":["/x"],'
        b'"hostname":"\\u003cb\\u003e","original":"' + b"1" * 64 + b'",'
        b'"label":"of another program","delete":{"After":1.5}}'
    )


def test_an_edit_that_makes_no_snapshot_is_refused() -> None:
    text = b'{"time":"2026-01-02T03:04:05Z","tree":"' + b"0" * 64 + b'","paths":["/x"]}'

    with pytest.raises(DamagedError):
        format_.edited(text, {"tree": "none"})
