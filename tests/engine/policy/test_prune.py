from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format.pack import BlobKind, PackedBlob, expected_size
from becalm_engine.ids import BlobID, PackID
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.policy.prune import Limits, Plan, UnusedLimit, make_plan, parse_unused_limit

DATA, TREE = BlobKind.DATA, BlobKind.TREE
NOTHING_UNUSED = Limits(UnusedLimit(size_bytes=0))
ANYTHING_UNUSED = Limits(UnusedLimit())

Packs = dict[PackID, list[PackedBlob]]
Handle = tuple[BlobKind, BlobID]


@dataclass(frozen=True, slots=True)
class Placed:
    pack: PackID
    blob: PackedBlob


def blob_of(number: int) -> BlobID:
    return BlobID(sha256(b"blob%d" % number).digest())


def pack_of(number: int) -> PackID:
    return PackID(sha256(b"pack%d" % number).digest())


def packed(*blobs: tuple[int, BlobKind, int, bool]) -> list[PackedBlob]:
    """Lay blobs end to end: number, kind, length, compressed."""
    made, offset = [], 0
    for number, kind, stored, compressed in blobs:
        made.append(PackedBlob(blob_of(number), kind, offset, stored, 2 * stored if compressed else 0))
        offset += stored
    return made


def data(*numbers: int, size: int = 1000) -> list[PackedBlob]:
    return packed(*((number, DATA, size, True) for number in numbers))


def trees(*numbers: int, size: int = 1000, compressed: bool = True) -> list[PackedBlob]:
    return packed(*((number, TREE, size, compressed) for number in numbers))


def counted(handles: Iterable[Handle]) -> BlobCounts:
    used = BlobCounts()
    for kind, blob in handles:
        used.add(kind, blob)
    return used


def placed(packs: Packs) -> list[Placed]:
    return [Placed(pack, blob) for pack, blobs in packs.items() for blob in blobs]


def sizes_of(packs: Packs) -> dict[PackID, int]:
    return {pack: expected_size(blobs) for pack, blobs in packs.items()}


def planned(packs: Packs, *used: int, limits: Limits = NOTHING_UNUSED, kind: BlobKind = DATA) -> Plan:
    return make_plan(
        placed(packs), counted((kind, blob_of(number)) for number in used), sizes_of(packs), limits
    )


# --- properties

numbers = st.integers(0, 12)
entries = st.tuples(numbers, st.sampled_from(BlobKind), st.integers(32, 3000), st.booleans())
repositories = st.lists(st.lists(entries, min_size=1, max_size=6), max_size=14).map(
    lambda packs: {pack_of(number): packed(*blobs) for number, blobs in enumerate(packs)}
)
limits = st.builds(
    Limits,
    st.builds(UnusedLimit, size_bytes=st.none() | st.integers(0, 5000))
    | st.builds(UnusedLimit, percent=st.floats(0, 99)),
    repack_bytes=st.none() | st.integers(0, 10_000),
    cacheable_only=st.booleans(),
    compress_trees=st.booleans(),
    compress_data=st.booleans(),
    small_data_bytes=st.integers(0, 3000),
    small_tree_bytes=st.integers(0, 3000),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Packs, set[Handle], set[PackID], dict[PackID, int]]:
    """Packs, what is used of them, doubtful ones, and what the store lists: some are lost, cut or unknown."""
    packs = draw(repositories)
    handles = sorted({(blob.kind, blob.id) for blobs in packs.values() for blob in blobs})
    used = set(draw(st.lists(st.sampled_from(handles)))) if handles else set[Handle]()
    doubtful = {pack for pack in packs if draw(st.integers(0, 9)) == 0}
    sizes = sizes_of(packs)
    for pack in packs:
        fate = draw(st.integers(0, 19))
        if fate == 0:
            del sizes[pack]
        elif fate == 1:
            sizes[pack] -= 1
    sizes.update({pack_of(100 + number): 500 for number in range(draw(st.integers(0, 3)))})
    return packs, used, doubtful, sizes


@given(worlds(), limits)
def test_no_plan_loses_a_used_blob_or_touches_a_doubtful_pack(
    world: tuple[Packs, set[Handle], set[PackID], dict[PackID, int]], limits: Limits
) -> None:
    packs, used, doubtful, sizes = world
    whole = sizes_of(packs)
    sound = {pack for pack in packs if sizes.get(pack) == whole[pack] and pack not in doubtful}
    there = {(blob.kind, blob.id) for pack in sound for blob in packs[pack]}
    to_copy = counted(used)

    if used - there:
        with pytest.raises(DamagedError, match="Nothing was deleted"):
            make_plan(placed(packs), to_copy, sizes, limits, doubtful=doubtful)
        return
    plan = make_plan(placed(packs), to_copy, sizes, limits, doubtful=doubtful)

    going = {*plan.unreferenced, *plan.remove, *plan.repack}
    copied = {(kind, blob) for kind, blob, number in to_copy if number}
    in_repacked = {(blob.kind, blob.id) for pack in plan.repack for blob in packs[pack]}
    staying = {(blob.kind, blob.id) for pack in sound - going for blob in packs[pack]}
    assert copied <= in_repacked
    assert used <= staying | copied
    assert not staying & copied
    assert {*plan.remove, *plan.repack} <= sound
    assert set(plan.unreferenced) == sizes.keys() - packs.keys()
    assert set(plan.doubtful) == sizes.keys() & (packs.keys() - sound)
    assert set(plan.missing) == packs.keys() - sizes.keys()


@given(worlds(), limits, st.sets(st.tuples(numbers, st.integers(0, 5))))
def test_no_plan_trusts_a_damaged_copy(
    world: tuple[Packs, set[Handle], set[PackID], dict[PackID, int]],
    limits: Limits,
    places: set[tuple[int, int]],
) -> None:
    packs, used, doubtful, sizes = world
    whole = sizes_of(packs)
    sound = {pack for pack in packs if sizes.get(pack) == whole[pack] and pack not in doubtful}
    damaged = {
        (pack_of(number), packs[pack_of(number)][at].offset)
        for number, at in places
        if at < len(packs.get(pack_of(number), ()))
    }

    def handles(some: Iterable[PackID]) -> set[Handle]:
        return {
            (blob.kind, blob.id)
            for pack in some
            for blob in packs[pack]
            if (pack, blob.offset) not in damaged
        }

    to_copy = counted(used)
    if used - handles(sound):
        with pytest.raises(DamagedError, match="Nothing was deleted"):
            make_plan(placed(packs), to_copy, sizes, limits, doubtful=doubtful, damaged=damaged)
        return
    plan = make_plan(placed(packs), to_copy, sizes, limits, doubtful=doubtful, damaged=damaged)

    copied = {(kind, blob) for kind, blob, number in to_copy if number}
    staying = handles(sound - {*plan.remove, *plan.repack})
    assert used == (staying & used) | copied
    assert copied <= handles(plan.repack) - staying


@given(repositories, st.sets(numbers), limits)
def test_a_plan_keeps_to_its_limits(packs: Packs, wanted: set[int], limits: Limits) -> None:
    handles = {(blob.kind, blob.id) for blobs in packs.values() for blob in blobs}
    used = {handle for handle in handles if handle[1] in {blob_of(number) for number in wanted}}

    plan = make_plan(placed(packs), counted(used), sizes_of(packs), limits)

    found = plan.statistics
    repacked = sum(expected_size(packs[pack]) for pack in plan.repack)
    assert limits.repack_bytes is None or repacked <= limits.repack_bytes
    if limits.cacheable_only:
        assert all(any(blob.kind is TREE for blob in packs[pack]) for pack in plan.repack)
    allowed = limits.unused.allowed_bytes(found.used.size_bytes)
    if allowed is not None and limits.repack_bytes is None and not limits.cacheable_only:
        assert found.unused_bytes_after <= allowed
    assert found.used.blobs == len(used)
    assert found.total.blobs == sum(len(blobs) for blobs in packs.values())
    assert found.packs_keep + len(plan.repack) + len(plan.remove) == len(packs)


# --- single decisions


def test_what_an_interrupted_prune_has_written_stays_and_its_source_goes() -> None:
    packs = {pack_of(0): data(0, 1, 8), pack_of(1): data(2, 3, 9), pack_of(2): data(0, 1, 2, 3)}

    plan = planned(packs, 0, 1, 2, 3)

    assert (set(plan.remove), plan.repack) == ({pack_of(0), pack_of(1)}, ())


def test_unused_packs_go_used_ones_stay_and_mixed_use_is_written_again() -> None:
    packs = {pack_of(0): data(0, 1), pack_of(1): data(2, 3), pack_of(2): data(4, 5)}

    plan = planned(packs, 0, 1, 2)

    assert (plan.remove, plan.repack) == ((pack_of(2),), (pack_of(1),))
    assert (plan.statistics.packs_used, plan.statistics.packs_partly_used, plan.statistics.packs_unused) == (
        1, 1, 1,
    )  # fmt: skip
    assert plan.statistics.unused_bytes_after == 0


def test_of_partly_used_packs_those_with_the_most_waste_go_first() -> None:
    packs = {pack_of(0): data(0, 1, 2, 10), pack_of(1): data(3, 11, 12, 13), pack_of(2): data(4, 5, 14, 15)}

    plan = planned(packs, *range(6), limits=Limits(UnusedLimit(size_bytes=3500)))

    assert plan.repack == (pack_of(1),)


def test_unlimited_waste_repacks_no_data() -> None:
    plan = planned({pack_of(0): data(0, 1)}, 0, limits=ANYTHING_UNUSED)

    assert (plan.remove, plan.repack) == ((), ())


def test_packs_with_directories_are_written_again_whatever_may_stay_unused() -> None:
    packs = {pack_of(0): trees(0, 1)}

    assert planned(packs, 0, limits=ANYTHING_UNUSED, kind=TREE).repack == (pack_of(0),)


def test_packs_that_mix_data_and_directories_are_written_again() -> None:
    packs = {pack_of(0): packed((0, DATA, 100, True), (1, TREE, 100, True))}
    used = counted([(DATA, blob_of(0)), (TREE, blob_of(1))])

    assert make_plan(placed(packs), used, sizes_of(packs), ANYTHING_UNUSED).repack == (pack_of(0),)


@pytest.mark.parametrize(("count", "merged"), [(9, 0), (10, 10)])
def test_small_packs_are_merged_once_there_are_ten(count: int, merged: int) -> None:
    packs = {pack_of(number): data(number) for number in range(count)}
    limits = Limits(UnusedLimit(), small_data_bytes=2000)

    assert len(planned(packs, *range(count), limits=limits).repack) == merged
    assert planned(packs, *range(count), limits=ANYTHING_UNUSED).repack == ()


def test_packs_of_very_many_tiny_blobs_are_not_small() -> None:
    packs = {pack_of(number): data(*range(number, 100_000, 10), size=33) for number in range(10)}
    limits = Limits(UnusedLimit(), small_data_bytes=10**9)

    assert planned(packs, *range(100_000), limits=limits).repack == ()


def test_directories_are_compressed_and_files_only_if_wanted() -> None:
    packs = {pack_of(0): trees(0, compressed=False), pack_of(1): packed((1, DATA, 500, False))}
    used = [(TREE, blob_of(0)), (DATA, blob_of(1))]

    def repacked(**flags: bool) -> tuple[PackID, ...]:
        limits = Limits(UnusedLimit(), **flags)
        return make_plan(placed(packs), counted(used), sizes_of(packs), limits).repack

    assert repacked() == (pack_of(0),)
    assert repacked(compress_trees=False) == ()
    assert repacked(compress_data=True) == (pack_of(0), pack_of(1))


def test_an_empty_blob_has_nothing_to_compress() -> None:
    packs = {pack_of(0): packed((0, DATA, 32, False), (1, DATA, 100, True))}

    assert planned(packs, 0, 1, limits=Limits(UnusedLimit(), compress_data=True)).repack == ()


def test_of_duplicates_one_copy_stays_where_other_used_blobs_are() -> None:
    packs = {pack_of(0): data(0, 9), pack_of(1): data(0, 1)}

    plan = planned(packs, 0, 1)

    assert (plan.remove, plan.repack) == ((pack_of(0),), ())
    assert (plan.statistics.duplicate.blobs, plan.statistics.used.blobs) == (1, 2)
    assert plan.statistics.pruned.blobs == 2


def test_a_listed_pack_without_blobs_is_not_unreferenced() -> None:
    plan = make_plan([], counted([]), {pack_of(0): 500, pack_of(1): 7}, Limits(), doubtful={pack_of(0)})

    assert (plan.unreferenced, plan.doubtful) == ((pack_of(1),), (pack_of(0),))


def test_a_copy_in_a_sound_pack_serves_for_one_in_a_lost_pack() -> None:
    packs = {pack_of(0): data(0), pack_of(1): data(0)}

    plan = make_plan(
        placed(packs), counted([(DATA, blob_of(0))]), {pack_of(1): expected_size(data(0))}, Limits()
    )

    assert (plan.missing, plan.remove) == ((pack_of(0),), ())


def test_a_needed_pack_that_is_missing_or_cut_is_named() -> None:
    packs = {pack_of(0): data(0), pack_of(1): data(1)}
    sizes = {pack_of(1): 7}

    with pytest.raises(DamagedError) as raised:
        make_plan(placed(packs), counted([(DATA, blob_of(0)), (DATA, blob_of(1))]), sizes, Limits())

    assert f"pack {pack_of(0).hex()} is missing" in str(raised.value)
    assert f"pack {pack_of(1).hex()} is not as the index says" in str(raised.value)


# --- the flag


def test_the_limit_of_unused_data_is_a_size_a_share_or_none() -> None:
    assert parse_unused_limit("unlimited", int) == UnusedLimit()
    assert parse_unused_limit("1000", int).allowed_bytes(7) == 1000
    assert parse_unused_limit("20%", int).allowed_bytes(800) == 200
    assert parse_unused_limit("0%", int).allowed_bytes(800) == 0


@pytest.mark.parametrize("text", ["100%", "-1%", "x%", "%", "nan%"])
def test_a_share_outside_0_to_100_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_unused_limit(text, int)
