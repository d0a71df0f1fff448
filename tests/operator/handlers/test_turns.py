"""Runs of one namespace are reconciled one after another, everything else side by side."""

import asyncio

import pytest

from becalm_operator.cluster.port import Key
from becalm_operator.handlers.turns import Turns


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def reconcile(self, key: Key) -> float | None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(3):
            await asyncio.sleep(0)
        self.inside -= 1
        return 1.0


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        ([Key("Backup", "shop", "a"), Key("Restore", "shop", "b"), Key("Backup", "shop", "c")], 1),
        ([Key("Backup", "shop", "a"), Key("Backup", "office", "a")], 2),
        ([Key("BackupRepository", "shop", "a"), Key("BackupRepository", "shop", "b")], 2),
        ([Key("Backup", "shop", "a"), Key("BackupSchedule", "shop", "a")], 2),
    ],
)
async def test_only_runs_of_one_namespace_take_turns(keys: list[Key], most: int) -> None:
    crowd = Crowd()
    turns = Turns(crowd.reconcile)

    answers = await asyncio.gather(*(turns.reconcile(key) for key in keys))

    assert answers == [1.0] * len(keys)
    assert crowd.most == most


async def test_one_that_fails_lets_the_next_one_in() -> None:
    async def fail(key: Key) -> float | None:
        raise RuntimeError(key.name)

    turns = Turns(fail)

    for name in ("a", "b"):
        with pytest.raises(RuntimeError, match=name):
            await turns.reconcile(Key("Backup", "shop", name))
