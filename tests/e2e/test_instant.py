"""The judge of what the ledger leaves in a copy."""

import json

from e2e.instant import verdict
from e2e.instant.writer import SIDES, SLOTS

FIRST = 100
WHOLE = {f"{number % SLOTS:02}": number for number in range(FIRST, FIRST + SLOTS)}
OLDEST, SECOND = f"{FIRST % SLOTS:02}", f"{(FIRST + 1) % SLOTS:02}"


def copy(left: dict[str, int], right: dict[str, int]) -> verdict.Copy:
    sides = zip(SIDES, (left, right), strict=True)
    printed = [["web", side, {slot: str(number) for slot, number in slots.items()}] for side, slots in sides]
    return verdict.read(json.dumps(printed))["web"]


def test_the_last_numbers_on_both_sides_are_one_instant() -> None:
    later = {**WHOLE, OLDEST: FIRST + SLOTS}

    assert copy(WHOLE, WHOLE).is_of_one_instant
    assert copy(later, later).is_of_one_instant


def test_a_pair_that_disagrees_is_seen() -> None:
    assert copy(WHOLE, {**WHOLE, OLDEST: FIRST + SLOTS}).torn == [OLDEST]
    assert copy({}, WHOLE).torn == sorted(WHOLE)


def test_pairs_that_agree_but_are_of_two_instants_are_seen() -> None:
    gap = {**WHOLE, SECOND: FIRST + 1 + SLOTS}

    assert copy(gap, gap).torn == []
    assert not copy(gap, gap).is_of_one_instant


def test_a_file_that_was_caught_empty_is_no_number() -> None:
    emptied = [["web", side, dict.fromkeys(WHOLE, "")] for side in SIDES]

    assert not verdict.read(json.dumps(emptied))["web"].is_of_one_instant
