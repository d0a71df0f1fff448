import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration, V1Lease, V1ObjectMeta

from becalm_operator.cluster.lease import NAME, ApiLeases, Lease, Timing
from becalm_operator.errors import ConflictError, LeaseLostError, UnavailableError
from tests.operator.handlers.api import fake_api_server
from tests.operator.handlers.virtual_time import now, virtually


class FakeLeases:
    """One Lease in memory, under a resourceVersion. `down` makes the API server unreachable."""

    def __init__(self) -> None:
        self.lease: Any = None  # a V1Lease whose parts are all there
        self.version = 0
        self.down = False
        self.lose_answer = False

    async def read(self) -> V1Lease | None:
        self._reach()
        found: V1Lease | None = self.lease
        return found

    async def create(self, lease: V1Lease) -> V1Lease:
        self._reach()
        if self.lease is not None:
            raise ConflictError("exists")
        return self._keep(lease)

    async def replace(self, lease: V1Lease) -> V1Lease:
        self._reach()
        if self.lease is None or self.lease.metadata.resource_version != _version(lease):
            raise ConflictError("changed")
        return self._keep(lease)

    def _reach(self) -> None:
        if self.down:
            raise UnavailableError("no answer")

    def _keep(self, lease: V1Lease) -> V1Lease:
        self.version += 1
        metadata = (lease.metadata or V1ObjectMeta()).model_copy(
            update={"resource_version": str(self.version)}
        )
        self.lease = V1Lease.from_dict(lease.model_copy(update={"metadata": metadata}).to_dict())
        if self.lose_answer:
            self.lose_answer = False
            raise UnavailableError("the answer was lost")
        kept: V1Lease = self.lease
        return kept

    @property
    def holder(self) -> str | None:
        holder: str | None = self.lease.spec.holder_identity if self.lease else None
        return holder


def _version(lease: V1Lease) -> str | None:
    return lease.metadata.resource_version if lease.metadata else None


def test_the_first_one_takes_the_lease_at_once() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "one").acquire()
        assert leases.lease.metadata.name == NAME
        assert leases.holder == "one"
        assert leases.lease.spec.lease_duration_seconds == 30
        assert now() == 0

    virtually(scenario())


def test_a_second_one_waits_as_long_as_the_first_renews() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        first, second = Lease(leases, "one"), Lease(leases, "two")
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await second.acquire()
        assert leases.holder == "one"
        keeping.cancel()

    virtually(scenario())


def test_a_second_one_takes_over_when_it_has_seen_no_renewal_for_the_leases_duration() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "one").acquire()
        await asyncio.sleep(1000)  # how long it was silent before is not for the second one to judge
        await Lease(leases, "two").acquire()
        assert leases.holder == "two"
        assert now() == 1030
        assert leases.lease.spec.lease_transitions == 1

    virtually(scenario())


def test_the_clocks_of_other_machines_are_not_looked_at() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "one").acquire()
        ahead = leases.lease.spec.renew_time - timedelta(days=365)
        leases.lease.spec.renew_time = ahead
        await Lease(leases, "two").acquire()
        assert now() == 30

    virtually(scenario())


def test_a_process_restarted_in_the_same_pod_takes_its_lease_at_once() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "pod").acquire()
        await Lease(leases, "pod").acquire()
        assert now() == 0

    virtually(scenario())


def test_of_two_processes_of_one_name_the_older_one_loses() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        older, newer = Lease(leases, "laptop"), Lease(leases, "laptop")
        await older.acquire()
        await newer.acquire()
        with pytest.raises(LeaseLostError, match="taken by laptop"):
            await older.keep()
        assert now() == 10

    virtually(scenario())


def test_a_released_lease_is_taken_at_once() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        first = Lease(leases, "one")
        await first.acquire()
        await first.release()
        assert leases.holder is None
        await Lease(leases, "two").acquire()
        assert now() == 0

    virtually(scenario())


def test_a_lease_that_was_not_held_is_not_released() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "one").acquire()
        await Lease(leases, "two").release()
        assert leases.holder == "one"

    virtually(scenario())


def test_a_release_that_fails_is_told_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        leases.down = True
        await lease.release()

    virtually(scenario())
    assert "was not released" in caplog.text


def test_a_holder_that_was_replaced_has_lost_the_lease() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        await Lease(leases, "two").seize()
        with pytest.raises(LeaseLostError, match="taken by two"):
            await lease.keep()

    virtually(scenario())


def test_a_holder_that_cannot_renew_does_nothing_from_before_anybody_may_take_over_until_it_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        leases.down = True
        await asyncio.sleep(Timing().duration - 5)
        with pytest.raises(UnavailableError, match="nothing is done"):
            lease.require()
        await asyncio.sleep(3600)
        leases.down = False
        await asyncio.sleep(5)
        lease.require()
        keeping.cancel()

    virtually(scenario())


def test_a_holder_that_another_has_replaced_while_nobody_answered_it_has_lost_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        leases.down = True
        await asyncio.sleep(100)
        leases.down = False
        await Lease(leases, "two").seize()
        with pytest.raises(LeaseLostError, match="taken by two"):
            await keeping
        with pytest.raises(UnavailableError):
            lease.require()

    virtually(scenario())


@pytest.mark.parametrize(("stood_still", "acts"), [(19.0, True), (20.0, False), (3600.0, False)])
def test_a_holder_that_stood_still_does_nothing_before_it_has_looked_at_the_lease(
    stood_still: float, acts: bool
) -> None:
    async def scenario() -> None:
        lease = Lease(FakeLeases(), "one")
        await lease.acquire()
        await asyncio.sleep(stood_still)
        if acts:
            lease.require()
        else:
            with pytest.raises(UnavailableError, match="nothing is done"):
                lease.require()

    virtually(scenario())


def test_who_does_not_hold_the_lease_does_nothing() -> None:
    async def scenario() -> None:
        lease = Lease(FakeLeases(), "one")
        with pytest.raises(UnavailableError):
            lease.require()
        await lease.acquire()
        lease.require()
        await lease.release()
        with pytest.raises(UnavailableError):
            lease.require()

    virtually(scenario())


def test_a_short_outage_does_not_cost_the_lease(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(9)
        leases.down = True
        await asyncio.sleep(8)
        leases.down = False
        await asyncio.sleep(1000)
        assert not keeping.done()
        keeping.cancel()

    virtually(scenario())


def test_an_edit_by_a_person_does_not_cost_the_lease() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        edited = leases.lease.metadata.model_copy(update={"labels": {"team": "blue"}})
        await leases.replace(leases.lease.model_copy(update={"metadata": edited}))
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(100)
        assert not keeping.done()
        assert leases.lease.metadata.labels == {"team": "blue"}
        keeping.cancel()

    virtually(scenario())


def test_a_deleted_lease_is_made_anew_by_its_holder() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        await lease.acquire()
        leases.lease = None
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(100)
        assert leases.holder == "one"
        assert not keeping.done()
        keeping.cancel()

    virtually(scenario())


@pytest.mark.parametrize("step", ["acquire", "renew"])
def test_a_write_whose_answer_was_lost_is_recognised(step: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        leases.lose_answer = step == "acquire"
        await lease.acquire()
        leases.lose_answer = step == "renew"
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(100)
        assert not keeping.done()
        keeping.cancel()

    virtually(scenario())


def test_an_unreachable_api_server_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        leases.down = True
        acquiring = asyncio.create_task(Lease(leases, "one").acquire())
        await asyncio.sleep(600)
        leases.down = False
        await acquiring
        assert leases.holder == "one"

    virtually(scenario())


def test_seizing_tells_who_held_the_lease() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        assert await Lease(leases, "hook").seize() == ""
        assert await Lease(leases, "other").seize() == "hook"
        assert leases.holder == "other"

    virtually(scenario())


def test_a_candidate_waits_as_long_as_the_lease_itself_says() -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        await Lease(leases, "hook", Timing(duration=60)).seize()
        await Lease(leases, "one").acquire()
        assert now() == 60

    virtually(scenario())


def test_at_any_time_at_most_one_of_several_believes_that_it_holds_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        leases = FakeLeases()
        holding: set[str] = set()

        async def contend(name: str, dies_after: float) -> None:
            lease = Lease(leases, name)
            await lease.acquire()
            assert not holding, f"{name} begins while {holding} goes on"
            holding.add(name)
            try:
                async with asyncio.timeout(dies_after):
                    await lease.keep()
            except (TimeoutError, LeaseLostError):
                holding.discard(name)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(contend(f"pod-{number}", 7.0 + 11 * number))
            for _ in range(8):
                await asyncio.sleep(25)
                leases.down = not leases.down
            leases.down = False

    virtually(scenario())


def test_every_try_is_a_sign_of_life(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[float]:
        leases, tries = FakeLeases(), []
        lease = Lease(leases, "one", on_attempt=lambda: tries.append(now()))
        leases.down = True
        acquiring = asyncio.create_task(lease.acquire())
        await asyncio.sleep(5)
        acquiring.cancel()
        return tries

    assert virtually(scenario()) == [0, 2, 4]


async def test_times_have_microseconds_as_the_api_server_demands() -> None:
    leases = FakeLeases()
    await Lease(leases, "one").acquire()
    async with ApiClient(Configuration(host="http://localhost")) as client:
        written = client.sanitize_for_serialization(leases.lease)["spec"]
    assert "." in written["acquireTime"]
    assert "." in written["renewTime"]


async def test_the_lease_of_an_api_server_obeys_the_same_rules() -> None:
    async with (
        fake_api_server() as api_server,
        ApiClient(Configuration(host=api_server.url)) as client,
    ):
        leases = ApiLeases(client, "becalm")
        assert await leases.read() is None
        first = Lease(leases, "one")
        await first.acquire()
        held: Any = await leases.read()
        assert held.spec.holder_identity == "one"
        with pytest.raises(ConflictError):
            await leases.create(held)
        await Lease(leases, "two").seize()
        with pytest.raises(ConflictError):
            await leases.replace(held)
        with pytest.raises(LeaseLostError):
            await first._renew()
        second = Lease(leases, "two")
        await second.acquire()
        await second.release()
        free: Any = await leases.read()
        assert free.spec.holder_identity is None
