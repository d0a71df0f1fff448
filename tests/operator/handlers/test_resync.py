import asyncio
from itertools import pairwise

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.cluster.port import Key, Keys
from becalm_operator.errors import ClusterError, RefusedError, UnavailableError
from becalm_operator.handlers.queue import Queue
from becalm_operator.handlers.resync import resync_forever
from tests.operator.handlers.examples import backup
from tests.operator.handlers.recording import RecordingCluster
from tests.operator.handlers.virtual_time import now, virtually


class FlakyCluster(RecordingCluster):
    failing = 0

    async def list_keys(self) -> Keys:
        if self.failing:
            self.failing -= 1
            return Keys((), (UnavailableError("no answer"),))
        return await super().list_keys()


def resynced(
    count: int, *, until: float, failing: int = 0, unlisted: tuple[ClusterError, ...] = ()
) -> list[float]:
    """Return when objects were reconciled that no event ever told of."""

    async def scenario() -> list[float]:
        times: list[float] = []

        async def reconcile(key: Key) -> None:
            times.append(now())

        cluster = FlakyCluster()
        cluster.failing, cluster.unlisted = failing, unlisted
        for number in range(count):
            cluster.put(backup(Phase.PENDING, name=f"b{number}"))
        queue = Queue(reconcile)
        running = asyncio.create_task(queue.run())
        task = asyncio.create_task(resync_forever(cluster, queue))
        await asyncio.sleep(until)
        task.cancel()
        await queue.stop(1)
        await running
        return times

    return virtually(scenario())


def test_all_objects_are_looked_at_at_once_when_the_operator_starts() -> None:
    assert resynced(500, until=100) == [0.0] * 500


def test_later_all_objects_are_looked_at_every_five_minutes_and_evenly() -> None:
    times = [at for at in resynced(60, until=400) if at > 0]
    assert len(times) == 60
    assert min(times) >= 300
    assert max(times) < 360
    assert max(later - earlier for earlier, later in pairwise(times)) < 1.1


def test_a_list_that_fails_is_tried_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    assert resynced(1, until=60, failing=2) == [10.0]


@pytest.mark.parametrize("problem", [RefusedError("forbidden"), UnavailableError("no answer")])
def test_a_namespace_that_cannot_be_listed_delays_no_other_and_floods_none(
    problem: ClusterError, caplog: pytest.LogCaptureFixture
) -> None:
    times = resynced(60, until=400, unlisted=(problem,))
    assert times[:60] == [0.0] * 60
    assert len(times) == 120
    assert min(times[60:]) >= 300
    assert max(times) < 360


def test_what_must_not_be_listed_is_told_of_once_in_a_round(caplog: pytest.LogCaptureFixture) -> None:
    resynced(1, until=299, unlisted=(RefusedError("listing backups of gone: no"), RefusedError("another")))
    assert caplog.messages == [
        "objects could not be listed: RefusedError: listing backups of gone: no (and 1 more)"
    ]
