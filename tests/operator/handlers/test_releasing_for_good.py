"""Releasing before an uninstallation: the Lease is kept as long as it takes, and it does not take long."""

import asyncio
from typing import Any

from becalm_operator.api.backup import Phase
from becalm_operator.cluster.lease import Lease
from becalm_operator.cluster.port import Key, R
from becalm_operator.handlers.releasing import UNINSTALL_TIMING, release_everything, release_for_good
from becalm_operator.plan.world import Holdings, World
from tests.operator.cluster.test_lease import FakeLeases
from tests.operator.handlers.examples import BOUND, backup, held, restore
from tests.operator.handlers.recording import RecordingCluster
from tests.operator.handlers.virtual_time import now, virtually

HOUR = 3600.0


class SlowCluster(RecordingCluster):
    """Takes an hour to look at what is held, and a second for anything about a run."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = self.busy = self.most_busy = 0

    async def observe_held(self) -> Holdings:
        await asyncio.sleep(HOUR)
        return await super().observe_held()

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        self.loads += 1
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        await asyncio.sleep(1)
        self.busy -= 1
        return await super().load(kind, namespace, name)

    async def observe_run(self, run: Any) -> World:
        await asyncio.sleep(1)
        return await super().observe_run(run)


async def uninstalled(cluster: RecordingCluster, leases: FakeLeases) -> tuple[bool, list[str]]:
    lines: list[str] = []
    lease = Lease(leases, "hook", UNINSTALL_TIMING)
    await lease.seize()
    return await release_for_good(cluster, lease, lines.append), lines


def test_no_operator_gets_the_lease_while_there_is_something_to_do_nor_soon_after() -> None:
    leases, cluster = FakeLeases(), SlowCluster()

    async def replaced() -> None:
        await asyncio.sleep(1)
        await Lease(leases, "operator").acquire()

    async def scenario() -> tuple[bool, float]:
        cluster.workloads["deployment/web"] = held()
        other = asyncio.create_task(replaced())
        done, _ = await uninstalled(cluster, leases)
        assert leases.holder == "hook"
        ended = now()
        await other
        return done, now() - ended

    done, free_for = virtually(scenario())

    assert done
    assert free_for >= UNINSTALL_TIMING.duration - UNINSTALL_TIMING.renew


def test_a_lease_that_was_taken_meanwhile_is_told_and_what_is_held_is_started_all_the_same() -> None:
    async def scenario() -> tuple[bool, list[str]]:
        leases = FakeLeases()

        async def steal() -> None:
            await asyncio.sleep(HOUR / 2)
            await Lease(leases, "operator").seize()

        stealing = asyncio.create_task(steal())
        outcome = await uninstalled(cluster, leases)
        await stealing
        return outcome

    cluster = SlowCluster()
    cluster.workloads["deployment/web"] = held()

    done, lines = virtually(scenario())

    assert not done
    assert cluster.workloads["deployment/web"].replicas == 3
    assert lines[-1] == "NOT kept: the Lease was taken by operator; an operator may stop workloads again"


def test_runs_that_are_over_are_not_looked_at() -> None:
    cluster = SlowCluster()
    ended = [cluster.put(backup(Phase.SUCCEEDED, name=f"b{at}")) for at in range(1000)]
    cluster.over = frozenset(ended)
    cluster.put(restore(Phase.RESTORING, **BOUND))

    assert virtually(release_everything(cluster, lambda _: None))

    assert cluster.loads == 2
    assert cluster.get(Key("Restore", "shop", "monday")).metadata.finalizers == ()


def test_runs_are_looked_at_several_at_a_time() -> None:
    async def scenario() -> float:
        await release_everything(cluster, lambda _: None)
        return now() - HOUR

    cluster = SlowCluster()
    for at in range(80):
        cluster.put(backup(Phase.CAPTURING, name=f"b{at}", **BOUND))

    assert virtually(scenario()) <= 80 / 8 * 3
    assert cluster.most_busy == 8
    assert all(run.metadata.finalizers == () for run in cluster.objects.values())
