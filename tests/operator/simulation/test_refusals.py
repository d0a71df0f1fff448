"""What the API server refuses, by a quota or a policy: it is told, waited for a while, and keeps nothing else down."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from becalm_operator.api.backup import Backup, BackupQuiesce, BackupSpec, Phase, RunStatus
from becalm_operator.api.base import LocalReference, Metadata
from becalm_operator.api.conditions import Condition
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleSpec, BackupTemplate, Retention
from becalm_operator.cluster.port import Key, Resource
from becalm_operator.errors import RefusedError
from becalm_operator.plan import conditions
from becalm_operator.plan.steps import Action, MakeBackup, ScaleDown, ScaleUp
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.movers import WELL
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Wrapped
from tests.operator.simulation.invariants import check_end
from tests.operator.simulation.plays import work
from tests.operator.simulation.shop import DB, RESTORED, RUN, WEB, Operator, Shop, a_repository

_LONG = BackupQuiesce(drain_timeout="20s", max_downtime="30m")
_DENIED = 'admission webhook "policy.example.org" denied the request: not today'


class _Refused(Wrapped):
    """A policy that lets the database not be scaled."""

    def __init__(self, shop: Shop, deed: type[ScaleDown | ScaleUp]) -> None:
        super().__init__(shop.cluster)
        self.refuses = True
        self._deed = deed

    async def apply(self, owner: Resource, action: Action) -> None:
        if self.refuses and isinstance(action, self._deed) and action.workload == DB:
            raise RefusedError(f"changing statefulsets.apps {SHOP}/db: {_DENIED}")
        await super().apply(owner, action)


_QUOTA = 'jobs.batch "x" is forbidden: exceeded quota: shop, used: count/jobs.batch=9, limited: 9'
_FULL = Script(refused=_QUOTA)
REPOSITORY = Key("BackupRepository", SHOP, "main")
SCHEDULE = Key("BackupSchedule", SHOP, "often")
_BOUND_TICKS = 340
"""Five minutes, and what comes before and after."""


def _is_up(shop: Shop) -> bool:
    return shop.state.workload(SHOP, WEB).replicas > 0


def _backup(shop: Shop) -> Backup:
    run = shop.run()
    assert isinstance(run, Backup)
    return run


async def _until_all_is_down(shop: Shop, operator: Operator) -> None:
    while len(shop.cluster.stops) < 2:
        await work(shop, operator, 1)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_start_that_is_refused_keeps_no_other_workload_down(deleted: bool) -> None:
    async def play() -> tuple[Shop, float, Backup]:
        shop = await Shop.open()
        await shop.back_up(quiesce=_LONG)
        policy = _Refused(shop, ScaleUp)
        operator = Operator(shop.state, policy)
        await _until_all_is_down(shop, operator)
        if deleted:
            shop.state.delete(RUN)
        down_since = shop.state.now
        while not _is_up(shop):
            await work(shop, operator, 1)
        down = (shop.state.now - down_since).total_seconds()
        await work(shop, operator, 15)
        seen = _backup(shop)
        policy.refuses = False
        await work(shop, operator, 30)
        return shop, down, seen

    shop, down, seen = asyncio.run(play())

    assert down < (15 if deleted else 90)
    states = {state.reference.name: state for state in seen.status.workloads}
    assert _DENIED in states["db"].error
    assert states["db"].released_at is None
    assert states["web"].started_at is not None
    quiesced = conditions.find(seen.status.conditions, "Quiesced")
    assert quiesced is not None
    assert (
        f"statefulset/db could not be started: changing statefulsets.apps shop/db: {_DENIED}"
        in quiesced.message
    )
    assert (_DENIED in seen.status.message) != deleted
    told = [event.reason for _, event in shop.state.events if event.workload == DB]
    assert told == ["Quiesced", "NotStarted", "Released"]
    if not deleted:
        assert _backup(shop).status.phase is Phase.SUCCEEDED
        assert not any(state.error for state in _backup(shop).status.workloads)
    check_end(shop)


def test_the_order_of_starts_outlasts_a_refusal_that_passes() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up(quiesce=_LONG)
        policy = _Refused(shop, ScaleUp)
        operator = Operator(shop.state, policy)
        while (state := _backup(shop)).status.phase is not Phase.RESUMING or not any(
            w.error for w in state.status.workloads
        ):
            await work(shop, operator, 1)
        await work(shop, operator, 20)
        policy.refuses = False
        await work(shop, operator, 30)
        return shop

    shop = asyncio.run(play())

    assert shop.cluster.starts == ["statefulset/db", "deployment/web"]
    assert _backup(shop).status.phase is Phase.SUCCEEDED


async def _with_a_refused_stop(seconds: int) -> tuple[Shop, _Refused, Operator]:
    """Begin a Backup whose second workload is not let be stopped, and work so long after the first one is down."""
    shop = await Shop.open()
    await shop.back_up(quiesce=_LONG)
    policy = _Refused(shop, ScaleDown)
    operator = Operator(shop.state, policy)
    while _is_up(shop):
        await work(shop, operator, 1)
    await work(shop, operator, seconds)
    return shop, policy, operator


def test_a_stop_that_is_refused_keeps_the_others_down_for_a_minute_and_is_told() -> None:
    async def play() -> tuple[Shop, Backup]:
        shop, _, operator = await _with_a_refused_stop(30)
        seen = _backup(shop)
        await work(shop, operator, 45)
        assert _is_up(shop)
        await work(shop, operator, 30)
        return shop, seen

    shop, seen = asyncio.run(play())

    why = f"statefulset/db could not be stopped: changing statefulsets.apps shop/db: {_DENIED}"
    assert why in seen.status.message
    status = _backup(shop).status
    assert (status.phase, status.reason, status.message) == (Phase.FAILED, "StopRefused", why)
    assert [event.reason for _, event in shop.state.events if event.workload == DB] == []
    check_end(shop)


def test_a_stop_that_is_refused_once_is_asked_for_again_however_long_the_one_before_it_took() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up(quiesce=BackupQuiesce(drain_timeout="10m", max_downtime="30m"))
        policy = _Refused(shop, ScaleDown)
        operator = Operator(shop.state, policy)
        shop.state.held_pods.add(str(WEB))
        while _is_up(shop):
            await work(shop, operator, 1)
        await work(shop, operator, 90)
        shop.state.held_pods.clear()
        while not any(state.error for state in _backup(shop).status.workloads):
            await work(shop, operator, 1)
        policy.refuses = False
        await work(shop, operator, 60)
        return shop

    shop = asyncio.run(play())

    status = _backup(shop).status
    assert status.phase is Phase.SUCCEEDED, status
    assert all(state.refused_since is state.refused_at is None for state in status.workloads)
    check_end(shop)


def test_what_was_refused_before_an_operator_was_away_is_asked_for_again() -> None:
    async def play() -> Shop:
        shop, policy, _ = await _with_a_refused_stop(30)
        policy.refuses = False
        for _ in range(90):
            tick(shop.state)
        await work(shop, Operator(shop.state, policy), 60)
        return shop

    shop = asyncio.run(play())

    assert _backup(shop).status.phase is Phase.SUCCEEDED
    check_end(shop)


def test_what_was_refused_and_somebody_stops_by_hand_is_no_complaint_any_more() -> None:
    async def play() -> Shop:
        shop, _, operator = await _with_a_refused_stop(30)
        await shop.lab.scale(DB, 0)
        await work(shop, operator, 60)
        return shop

    shop = asyncio.run(play())

    status = _backup(shop).status
    assert status.phase is Phase.SUCCEEDED, status
    assert not any(state.error or state.refused_since for state in status.workloads)


def test_a_refused_stop_that_passes_is_overcome() -> None:
    async def play() -> Shop:
        shop, policy, operator = await _with_a_refused_stop(20)
        policy.refuses = False
        await work(shop, operator, 60)
        return shop

    status = _backup(asyncio.run(play())).status

    assert (status.phase, status.reason) == (Phase.SUCCEEDED, "")
    assert not any(state.error for state in status.workloads)


# --- Jobs

Begin = Callable[[Shop], Awaitable[object]]


async def _snap_long(shop: Shop) -> None:
    await shop.snap()


async def _read_in_the_stop(shop: Shop) -> None:
    for claim in shop.state.claims.values():
        claim.one_pod = True
    await shop.back_up(quiesce=_LONG)


async def _restore_long(shop: Shop) -> None:
    made = await shop.restore()
    spec = made.spec.model_copy(
        update={"quiesce": made.spec.quiesce.model_copy(update={"max_downtime": "30m"})}
    )
    shop.state.resources[RESTORED] = made.model_copy(update={"spec": spec})


PLAYS: dict[str, tuple[str, Begin, Key, Phase]] = {
    "the Job that opens the repository": ("access", lambda shop: shop.back_up(), RUN, Phase.PREFLIGHT),
    "a dump": ("dump", lambda shop: shop.back_up(dumps=["main"]), RUN, Phase.PREPARING),
    "a mover": ("mover/uploads", lambda shop: shop.back_up(), RUN, Phase.PREPARING),
    "a mover of the stop": ("mover/uploads", _read_in_the_stop, RUN, Phase.CAPTURING),
    "a mover of a snapshot": ("mover", _snap_long, RUN, Phase.UPLOADING),
    "the commit": ("commit", lambda shop: shop.back_up(), RUN, Phase.FINISHING),
    "a restore": ("restore", _restore_long, RESTORED, Phase.RESTORING),
}
"""What is refused, how the run is asked for, and in which phase it is refused."""


async def _refused(what: str, *, seconds: int) -> tuple[Shop, Operator, Key, RunStatus]:
    """Begin a run of which a Job is refused for so long, counted from the phase's beginning, and how it is then."""
    role, begin, key, phase = PLAYS[what]
    shop = await Shop.open()
    shop.script(role, _FULL)
    await begin(shop)
    operator = Operator(shop.state, shop.cluster)
    while (run := shop.run(key)) and run.status.phase is not phase:
        await work(shop, operator, 1)
    await work(shop, operator, seconds)
    run = shop.run(key)
    assert run is not None
    return shop, operator, key, run.status


@pytest.mark.parametrize("what", PLAYS)
def test_a_job_that_is_refused_fails_the_run_in_the_words_of_the_api_server(what: str) -> None:
    async def play() -> tuple[Shop, Key, RunStatus]:
        shop, operator, key, seen = await _refused(what, seconds=60)
        await work(shop, operator, _BOUND_TICKS - 60)
        return shop, key, seen

    shop, key, seen = asyncio.run(play())

    assert not seen.phase.finished
    assert _QUOTA in seen.message, "while it waits, the status says for what"
    run = shop.run(key)
    assert run is not None
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "MoverNotStarted")
    assert _QUOTA in run.status.message
    check_end(shop, key)
    if seen.phase in (Phase.PREFLIGHT, Phase.PREPARING):
        assert shop.cluster.stops == []


@pytest.mark.parametrize("what", PLAYS)
def test_a_refusal_that_passes_is_overcome(what: str) -> None:
    async def play() -> tuple[Shop, Key]:
        shop, operator, key, _ = await _refused(what, seconds=240)
        shop.script(PLAYS[what][0], WELL)
        await work(shop, operator, 120)
        return shop, key

    shop, key = asyncio.run(play())

    run = shop.run(key)
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED, run.status.message
    check_end(shop, key)


def test_a_backup_whose_commit_is_refused_can_be_deleted() -> None:
    async def play() -> Shop:
        shop, operator, key, _ = await _refused("the commit", seconds=10)
        shop.state.delete(key)
        await work(shop, operator, _BOUND_TICKS)
        return shop

    assert asyncio.run(play()).run() is None


@pytest.mark.slow
def test_operators_that_come_and_go_wait_for_no_job_for_ever() -> None:
    async def play() -> Shop:
        shop, *_ = await _refused("the commit", seconds=0)
        for _ in range(32):
            await work(shop, Operator(shop.state, shop.cluster), 120)
        return shop

    status = _backup(asyncio.run(play())).status

    assert (status.phase, status.reason) == (Phase.FAILED, "MoverNotStarted")


def _schedule() -> BackupSchedule:
    spec = BackupSpec(repository_ref=LocalReference(name="main"), workloads=(WEB,))
    return BackupSchedule(
        metadata=Metadata(name="often", namespace=SHOP),
        spec=BackupScheduleSpec(
            schedule="*/6 * * * *", retention=Retention(keep_last=2), template=BackupTemplate(spec=spec)
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "phase"), [("access", Phase.FAILED), ("commit", Phase.FAILED), ("forget", Phase.SUCCEEDED)]
)
def test_a_schedule_goes_on_though_a_job_of_its_backup_was_refused(role: str, phase: Phase) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.lab.make(_schedule())
        shop.script(role, _FULL)
        operator = Operator(shop.state, shop.cluster)
        await work(shop, operator, 2 * 360 + _BOUND_TICKS)
        return shop

    shop = asyncio.run(play())

    made = shop.backups
    ended = [one.status for one in made if one.status.phase.finished]
    assert [status.phase for status in ended] == [phase, phase]
    assert all(_QUOTA in status.message for status in ended)


class _NoBackups(Wrapped):
    """A quota that lets no Backup be made."""

    refuses = True

    async def apply(self, owner: Resource, action: Action) -> None:
        if self.refuses and isinstance(action, MakeBackup):
            raise RefusedError(f"making Backup {SHOP}/{action.name}: {_DENIED}")
        await super().apply(owner, action)


def test_a_schedule_whose_backup_is_refused_says_so_and_makes_it_when_it_may() -> None:
    async def play() -> tuple[Shop, list[Condition]]:
        shop = await Shop.open()
        await shop.lab.make(_schedule())
        quota = _NoBackups(shop.cluster)
        operator, seen = Operator(shop.state, quota), list[Condition]()
        for _ in range(360 + 60):
            await work(shop, operator, 1)
            seen.append(_ready(shop, SCHEDULE))
        quota.refuses = False
        await work(shop, operator, 60)
        return shop, seen

    shop, seen = asyncio.run(play())

    refused = [one for one in seen if one.status == "False"]
    assert {one.reason for one in refused} == {"BackupRefused"}
    assert len(refused) >= 60
    assert len({one.last_transition_time for one in refused}) == 1
    assert _DENIED in refused[-1].message
    assert _ready(shop, SCHEDULE).status == "True"
    [made] = shop.backups
    assert made.status.phase is Phase.SUCCEEDED


def _ready(shop: Shop, key: Key = REPOSITORY) -> Condition:
    resource = shop.state.resources[key]
    assert isinstance(resource, BackupRepository | BackupSchedule)
    found = conditions.find(resource.status.conditions, "Ready")
    assert found is not None
    return found


def test_a_repository_whose_probe_is_refused_says_so_and_comes_back() -> None:
    async def play() -> tuple[Shop, list[Condition]]:
        shop = await Shop.open()
        shop.script("access", _FULL)
        await shop.lab.delete(shop.state.resources[REPOSITORY])
        await shop.lab.make(a_repository())
        operator, seen = Operator(shop.state, shop.cluster), list[Condition]()
        for _ in range(_BOUND_TICKS):
            await work(shop, operator, 1)
            seen.append(_ready(shop))
        shop.script("access", WELL)
        await work(shop, operator, 60)
        return shop, seen

    shop, seen = asyncio.run(play())

    told = [(one.status, one.reason) for one in seen if _QUOTA in one.message]
    assert told[0] == ("Unknown", "Probing")
    assert ("False", "MoverNotStarted") in told
    assert len(told) > _BOUND_TICKS - 10
    assert _ready(shop).status == "True"
