import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format import index_file
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import BlobID, PackID
from tests.engine import strategies
from tests.engine.format import hostile

PACK, BLOB = PackID(b"\x11" * 32), BlobID(b"\x22" * 32)
VALID = index_file.encode([(PACK, [PackedBlob(BLOB, BlobKind.DATA, 0, 38, 112)])])
ENTRY = json.loads(VALID)["packs"][0]["blobs"][0]


def test_an_index_is_written_as_restic_writes_it() -> None:
    tree = PackedBlob(BLOB, BlobKind.TREE, 38, 45)

    text = index_file.encode([(PACK, [PackedBlob(BLOB, BlobKind.DATA, 0, 38, 112), tree])])

    assert text.decode() == (
        f'{{"packs":[{{"id":"{"11" * 32}","blobs":['
        f'{{"id":"{"22" * 32}","type":"data","offset":0,"length":38,"uncompressed_length":112}},'
        f'{{"id":"{"22" * 32}","type":"tree","offset":38,"length":45}}]}}]}}'
    )


@given(st.lists(st.tuples(strategies.pack_ids, strategies.packed()), max_size=3))
def test_an_index_reads_back_as_it_was(packs: list[tuple[PackID, list[PackedBlob]]]) -> None:
    assert index_file.decode(index_file.encode(packs)) == packs


def test_what_other_tools_add_is_ignored() -> None:
    text = hostile.changed(VALID, {"supersedes": ["ab"], "packs_to_delete": []})

    assert index_file.decode(text) == index_file.decode(VALID)


def test_a_pack_without_blobs_is_read() -> None:
    text = json.dumps({"packs": [{"id": PACK.hex().upper(), "blobs": None}]}).encode()

    assert index_file.decode(text) == [(PACK, [])]


@pytest.mark.parametrize(
    "packs", [None, 5, [5], ["a"], [{}], [{"id": "ab", "blobs": []}], [{"id": "1" * 64}]]
)
def test_packs_of_another_form_are_damage(packs: object) -> None:
    with pytest.raises(DamagedError):
        index_file.decode(json.dumps({"packs": packs}).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"length": 31},
        {"length": 2**31},
        {"length": 38.0},
        {"length": True},
        {"offset": -1},
        {"offset": 2**32},
        {"offset": "0"},
        {"uncompressed_length": -1},
        {"uncompressed_length": 2**32},
        {"type": "both"},
        {"type": []},
        {"id": None},
        {"id": "22"},
    ],
)
def test_a_blob_that_cannot_be_there_is_damage(changes: dict[str, object]) -> None:
    text = json.dumps({"packs": [{"id": PACK.hex(), "blobs": [{**ENTRY, **changes}]}]}).encode()

    with pytest.raises(DamagedError):
        index_file.decode(text)


@given(strategies.replaced_fields(*ENTRY))
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object]) -> None:
    text = json.dumps({"packs": [{"id": PACK.hex(), "blobs": [{**ENTRY, **changes}]}]}).encode()

    assert hostile.is_read_or_refused(index_file.decode, text)


@given(strategies.json_values)
def test_packs_of_any_form_are_read_or_called_damage(packs: object) -> None:
    assert hostile.is_read_or_refused(index_file.decode, json.dumps({"packs": packs}).encode())


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(index_file.decode, data)
