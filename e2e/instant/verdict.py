"""Whether a copy of the ledger is of one instant. Pure: it judges what was read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.instant.writer import SIDES, SLOTS


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy of one volume holds: by slot the number on either side. What is empty or no number counts as -1."""

    left: Mapping[str, int]
    right: Mapping[str, int]

    @property
    def torn(self) -> list[str]:
        """The slots whose sides disagree."""
        slots = sorted({*self.left, *self.right})
        return [slot for slot in slots if self.left.get(slot, -1) != self.right.get(slot, -1)]

    @property
    def numbers(self) -> list[int]:
        """All numbers of both sides, each once."""
        return sorted({*self.left.values(), *self.right.values()})

    @property
    def newest(self) -> int:
        """The last entry."""
        return self.numbers[-1]

    @property
    def is_of_one_instant(self) -> bool:
        """Whether no pair disagrees, and the numbers are the last ones that were written, without a gap."""
        return not self.torn and self.numbers == list(range(self.newest - SLOTS + 1, self.newest + 1))


def copy(left: Mapping[str, str], right: Mapping[str, str]) -> Copy:
    """Return a copy by the texts of its files."""
    return Copy(_numbers(left), _numbers(right))


def _numbers(texts: Mapping[str, str]) -> dict[str, int]:
    return {slot: int(text) if text.strip().isdigit() else -1 for slot, text in texts.items()}


def read(printed: str) -> dict[str, Copy]:
    """Return by volume what the auditor has printed."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for volume, side, slots in json.loads(printed):
        found.setdefault(volume, {})[side] = slots
    return {volume: copy(sides[SIDES[0]], sides[SIDES[1]]) for volume, sides in found.items()}
