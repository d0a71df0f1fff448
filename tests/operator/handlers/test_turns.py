"""Runs that have not begun are decided about one after another, and keep nobody else waiting."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest

from becalm_operator.api.backup import Phase, VolumeStatus
from becalm_operator.api.repository import BackupRepository
from becalm_operator.cluster.port import Key, R
from becalm_operator.handlers.queue import Queue
from becalm_operator.handlers.reconcile import reconcile
from becalm_operator.handlers.turns import Turns
from becalm_operator.plan.world import Pod, World
from tests.operator.handlers.examples import BOUND, WEB, backup, held, metadata, planned, restore
from tests.operator.handlers.recording import NOW, RecordingCluster
from tests.operator.handlers.virtual_time import now, virtually

A, B, C = (Key("Backup", "shop", name) for name in "abc")
LIVE = Key("Backup", "shop", "live")
REPOSITORY = BackupRepository.model_validate(
    {
        "metadata": metadata("main"),
        "spec": {
            "storage": {"persistentVolumeClaim": {"claimName": "store"}},
            "passwordSecretRef": {"name": "password"},
        },
    }
)
"""Nobody has opened it yet."""


class SlowCluster(RecordingCluster):
    """A cluster that takes its time to be looked at. Notes when each look began, and who was looked at at once."""

    def __init__(self, load_seconds: float = 0.005, look_seconds: float = 0.25) -> None:
        super().__init__()
        self._load_seconds = load_seconds
        self._look_seconds = look_seconds
        self.looks: list[tuple[float, Key]] = []
        self.inside: list[Key] = []
        self.together: set[frozenset[Key]] = set()
        self.broken: set[Key] = set()

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        await asyncio.sleep(self._load_seconds)
        return await super().load(kind, namespace, name)

    async def observe_run(self, run: object) -> World:
        key = next(key for key, one in self.objects.items() if one is run)
        self.looks.append((now(), key))
        self.inside.append(key)
        self.together.add(frozenset(self.inside))
        await asyncio.sleep(self._look_seconds)
        self.inside.remove(key)
        if key in self.broken:
            raise RuntimeError(key.name)
        return replace(await super().observe_run(run), repository=REPOSITORY)

    def times(self, key: Key) -> list[float]:
        return [at for at, looked in self.looks if looked == key]


def put_waiting(cluster: SlowCluster, keys: Iterable[Key]) -> list[Key]:
    """Put runs that wait for their repository, and look again every 15 seconds."""
    for key in keys:
        run = (
            backup(Phase.PENDING, name=key.name)
            if key.kind == "Backup"
            else restore(Phase.PENDING, name=key.name)
        )
        metadata = run.metadata.model_copy(update={"namespace": key.namespace})
        cluster.put(run.model_copy(update={"metadata": metadata}))
    return list(keys)


def put_live(cluster: SlowCluster) -> Key:
    """Put a run whose workload is down, and whose pod does not end."""
    cluster.workloads[str(WEB)] = held(by="live")
    cluster.pods = (Pod("web-1", str(WEB), ("data",)),)
    run = backup(Phase.DRAINING, name="live", workloads=[planned(stopped_at=NOW)], **BOUND)
    status = run.status.model_copy(update={"volumes": (VolumeStatus(claim="data"),)})
    return cluster.put(run.model_copy(update={"status": status}))


def played(
    cluster: SlowCluster,
    keys: Iterable[Key],
    seconds: float,
    *,
    everywhere: bool = False,
    woken: Key | None = None,
) -> None:
    """Let the queue work for a while; `woken` is woken twice a second, as by pods that come and go."""

    async def scenario() -> None:
        def call(key: Key) -> None:
            queue.add(key)

        turns = Turns(call, everywhere=everywhere)
        queue = Queue(turns.taken(partial(reconcile, cluster, turn=turns.has_come)))
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            for key in keys:
                queue.add(key)
            while now() < seconds:
                if woken is not None:
                    queue.add(woken)
                await asyncio.sleep(0.5)
            await queue.stop(5.0)

    virtually(scenario())


@pytest.mark.parametrize(
    ("keys", "everywhere", "most"),
    [
        ([A, Key("Restore", "shop", "b"), C], False, 1),
        ([A, Key("Backup", "office", "a")], False, 2),
        ([A, Key("Backup", "office", "a")], True, 1),
    ],
)
def test_runs_that_wait_are_looked_at_one_by_one_in_a_namespace_or_everywhere(
    keys: list[Key], everywhere: bool, most: int
) -> None:
    cluster = SlowCluster()
    put_waiting(cluster, keys)

    played(cluster, keys, 5.0, everywhere=everywhere)

    assert max(map(len, cluster.together)) == most
    assert Counter(key for _, key in cluster.looks) == dict.fromkeys(keys, 1)


def test_the_order_in_which_they_came_holds() -> None:
    cluster = SlowCluster(load_seconds=0.0)
    keys = put_waiting(cluster, [Key("Backup", "shop", f"b{at}") for at in range(20)])

    played(cluster, keys, 40.0)

    assert [key for _, key in cluster.looks][:40] == keys * 2


def test_one_that_fails_lets_the_next_one_in() -> None:
    cluster = SlowCluster()
    keys = put_waiting(cluster, [A, B])
    cluster.broken = {A}

    played(cluster, keys, 2.0)

    assert cluster.times(B)


def test_one_that_is_gone_when_its_turn_comes_lets_the_next_one_in() -> None:
    cluster = SlowCluster()
    keys = put_waiting(cluster, [A, B, C])

    async def scenario() -> None:
        called: list[Key] = []
        turns = Turns(called.append)
        work = turns.taken(partial(reconcile, cluster, turn=turns.has_come))
        await asyncio.gather(*map(work, keys))
        del cluster.objects[B]
        while called:
            await work(called.pop())

    virtually(scenario())

    assert [key for _, key in cluster.looks] == [A, C]


@pytest.mark.parametrize(
    ("waiting", "everywhere"),
    [(0, False), (60, False), (100, True), (200, True)],
)
def test_runs_that_wait_keep_nobody_from_one_that_holds_workloads_down(
    waiting: int, everywhere: bool
) -> None:
    cluster = SlowCluster()
    keys = put_waiting(cluster, [Key("Backup", "shop", f"b{at}") for at in range(waiting)])

    played(cluster, [*keys, put_live(cluster)], 45.0, everywhere=everywhere, woken=LIVE)

    looks = cluster.times(LIVE)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert len(looks) >= 80
    assert max(gaps) <= 1.0
    assert {len(together - {LIVE}) for together in cluster.together} <= {0, 1}


def test_those_that_wait_all_get_their_turns_and_poll_nobody() -> None:
    cluster = SlowCluster(load_seconds=0.0)
    keys = put_waiting(cluster, [Key("Backup", f"n{at}", "b") for at in range(200)])

    played(cluster, keys, 110.0, everywhere=True)

    times = [len(cluster.times(key)) for key in keys]
    assert set(times) <= {2, 3}
