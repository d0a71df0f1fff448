"""Which packs a check reads: all, one group of several, or some by chance."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from becalm_engine.digits import whole_number
from becalm_engine.errors import UsageError
from becalm_engine.ids import PackID

_GROUP = re.compile(r"([0-9]+)/([0-9]+)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_MOST_GROUPS = 256
"""A pack's group is decided by the first byte of its id."""


@dataclass(frozen=True, slots=True)
class Group:
    """The n-th of `total` groups, of which each pack is in one: read one a week, and all are read in the end."""

    number: int
    total: int

    def choose(
        self,
        packs: Sequence[tuple[PackID, int]],
        chance: random.Random,  # noqa: ARG002  all kinds have one signature
    ) -> list[PackID]:
        """Return the packs of the group."""
        return [pack for pack, _ in packs if pack[0] % self.total == self.number - 1]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of all packs, above 0 and at most 1, by chance; at least one pack."""

    share: float

    def choose(self, packs: Sequence[tuple[PackID, int]], chance: random.Random) -> list[PackID]:
        """Return so many packs."""
        count = max(1, int(len(packs) * self.share)) if packs else 0
        return chance.sample([pack for pack, _ in packs], count)


@dataclass(frozen=True, slots=True)
class Amount:
    """As many packs, by chance, as have about so many bytes; at least one pack."""

    size_bytes: int

    def choose(self, packs: Sequence[tuple[PackID, int]], chance: random.Random) -> list[PackID]:
        """Return packs whose sizes together come to the amount, if all have that many."""
        total = sum(size for _, size in packs)
        share = min(1.0, self.size_bytes / total) if total else 1.0
        return Share(share).choose(packs, chance)


Subset = Group | Share | Amount
EVERYTHING = Share(1.0)


def parse_subset(text: str, parse_size: Callable[[str], int]) -> Subset:
    """Read the value of `--read-data-subset`: `n/t`, `x%` or a size with a unit.

    Raises:
        UsageError: It is none of them, or names no packs at all.
    """
    if group := _GROUP.fullmatch(text):
        number, total = whole_number(group[1]) or 0, whole_number(group[2]) or 0
        if not 1 <= number <= total <= _MOST_GROUPS:
            raise UsageError(f"--read-data-subset {text}: of n/t, 1 ≤ n ≤ t ≤ {_MOST_GROUPS} must hold")
        return Group(number, total)
    if share := _SHARE.fullmatch(text):
        percent = float(share[1])
        if not 0 < percent <= 100:
            raise UsageError(f"--read-data-subset {text}: a share is above 0% and at most 100%")
        return Share(percent / 100)
    size = parse_size(text) if text[-1:].isalpha() else 0
    if not size:
        raise UsageError(
            f"--read-data-subset {text!r} is neither n/t, nor a share like 5%, nor a size like 10G"
        )
    return Amount(size)
