import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands.sources import parse_size
from becalm_engine.errors import UsageError
from becalm_engine.ids import PackID
from becalm_engine.policy.subset import EVERYTHING, Amount, Group, Share, Subset, parse_subset

packs = st.lists(
    st.tuples(st.binary(min_size=32, max_size=32).map(PackID), st.integers(1, 10**9)),
    unique_by=lambda pack: pack[0],
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "subset"),
    [
        ("1/1", Group(1, 1)), ("3/7", Group(3, 7)), ("256/256", Group(256, 256)),
        ("100%", Share(1.0)), ("2.5%", Share(0.025)), ("10M", Amount(10 << 20)), ("1k", Amount(1024)),
    ],
)  # fmt: skip
def test_restic_s_ways_to_name_a_subset(text: str, subset: Subset) -> None:
    assert parse_subset(text, parse_size) == subset


@pytest.mark.parametrize(
    "text", ["", "0/5", "3/2", "1/257", "0%", "0.0%", "101%", "-1%", "2x", "50", "0K", "1/2/3", "%", "/", "K"]
)
def test_what_names_no_packs_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_subset(text, parse_size)


@given(packs, st.integers(1, 256))
def test_each_pack_is_in_exactly_one_group(given: list[tuple[PackID, int]], total: int) -> None:
    groups = [Group(number, total).choose(given, random.Random(0)) for number in range(1, total + 1)]

    assert sorted(pack for group in groups for pack in group) == sorted(pack for pack, _ in given)


@given(packs, st.floats(0.001, 1), st.integers(1, 10**10), st.integers())
def test_a_share_and_an_amount_are_of_packs_that_are_there(
    given: list[tuple[PackID, int]], share: float, size: int, seed: int
) -> None:
    every = [pack for pack, _ in given]
    for subset in (Share(share), Amount(size)):
        chosen = subset.choose(given, random.Random(seed))
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(every)
        assert bool(chosen) is bool(every)
    assert sorted(EVERYTHING.choose(given, random.Random(seed))) == sorted(every)
    assert len(Share(share).choose(given, random.Random(seed))) <= max(1, len(every) * share)


def test_an_amount_reads_about_so_many_bytes() -> None:
    given = [(PackID(bytes([number]) * 32), 1000) for number in range(100)]

    assert len(Amount(10_000).choose(given, random.Random(1))) == 10
    assert len(Amount(10**9).choose(given, random.Random(1))) == 100
