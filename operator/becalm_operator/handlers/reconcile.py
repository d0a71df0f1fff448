"""One reconcile: read afresh, observe, decide, do.

A plan is followed in an order in which dying between any two steps does no harm, because the next reconcile sees what
was done and decides the rest:

1. The finalizer is set before the first action. Once a workload may be down, a deletion has to pass by us.
2. The actions, in order. Each may be repeated; what they did is read from the cluster, never from the status. What
   fails ends that, but keeps no workload down: all starts are tried, and the status says which were refused. What a
   plan can do without is left out if it is refused, so that the status of a run that fails is written all the same.
   A stop or a Backup that is refused ends them as well, and the status says so instead of what was planned. A stop
   that was made goes into the status at once: somebody may take its record off before anybody looks.
3. The events. They tell of what has been done, so they come after it. One that fails is lost, and nothing else.
4. The status, after what it tells of. A status that was never written is made up for from the records on workloads
   and from the Jobs; the other way round it would claim what has not been done.
5. The finalizer is taken off last: when the status says that nothing is held any more, the object may go.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from becalm_operator.api.backup import Backup
from becalm_operator.api.names import FINALIZER
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Cluster, Key, R, Resource
from becalm_operator.errors import ClusterError, RefusedError, WebhookAwayError
from becalm_operator.plan import backup, quiesce, repository, restore, schedule, unmade, unscaled
from becalm_operator.plan.steps import (
    Action,
    DeleteBackup,
    DeleteJob,
    DeleteSnapshot,
    Event,
    MakeBackup,
    MakeSnapshot,
    OpenGate,
    Plan,
    RequestProbe,
    ScaleDown,
    ScaleUp,
)
from becalm_operator.plan.world import Pod, World

RunT = TypeVar("RunT", Backup, Restore)
Turn = Callable[[Key], bool]
Saw = Callable[[Key, Resource | None], None]
Complain = Callable[[Key, Sequence[str]], None]

_REFUSALS = (RefusedError, WebhookAwayError)
"""The API server's own word: it is told of, and asked again. Anything else is a step that could not be done."""
_DISPENSABLE = (RequestProbe, DeleteJob, DeleteSnapshot, DeleteBackup, OpenGate, MakeSnapshot)
"""What keeps nothing else from being done and told if it is refused: the next look sees that it was not done."""
_AWAITED = (ScaleDown, MakeBackup)
"""What nothing after it is done without: it is told of, and tried again."""
_MOST_CHARS = 1024
"""How much is kept of what the API server says: a policy may list all its rules, and a run has many workloads."""

Refused = list[tuple[Action, str]]
"""Actions that the API server did not allow, and why."""

_log = logging.getLogger(__name__)


def _always(_: Key) -> bool:
    """Let everybody go at once."""
    return True


def _nobody_looks(key: Key, resource: Resource | None) -> None:
    """Do nothing."""


def _log_each(key: Key, refused: Sequence[str]) -> None:
    """Say what was refused, at every look."""
    for why in refused:
        _log.warning("%s: %s", key, why)


def _nobody_passed(_: str) -> Iterable[Pod]:
    """Know of no pod but those that are there."""
    return ()


@dataclass(frozen=True, slots=True)
class Witness:
    """Who is told: of each object as it was and as it is left, and of what was refused that can be done without.

    And who knows the pods that have passed by in a namespace where something is down.
    """

    saw: Saw = _nobody_looks
    complain: Complain = _log_each
    passed: Callable[[str], Iterable[Pod]] = _nobody_passed


_NOBODY = Witness()


async def reconcile(
    cluster: Cluster, key: Key, turn: Turn = _always, witness: Witness = _NOBODY
) -> float | None:
    """Take one object a step further. Returns after how many seconds to come back, None to wait for events.

    `turn` says whether a run that has not begun may be decided about now; one that may not is left alone until then.

    Raises:
        ClusterError: A step could not be done. Everything before it stands, and the next try goes on from there.
    """
    match key.kind:
        case Backup.kind:
            return await _run(cluster, key, turn, witness, Backup, backup.decide)
        case Restore.kind:
            return await _run(cluster, key, turn, witness, Restore, restore.decide)
        case BackupRepository.kind:
            return await _repository(cluster, key, witness)
        case BackupSchedule.kind:
            return await _schedule(cluster, key, witness)
    raise ValueError(f"{key} is nothing of ours")


async def _run(
    cluster: Cluster,
    key: Key,
    turn: Turn,
    witness: Witness,
    kind: type[RunT],
    decide: Callable[[RunT, World], Plan[Any]],
) -> float | None:
    found = await cluster.load(kind, key.namespace, key.name)
    witness.saw(key, found)
    if found is None or _is_over(found):
        return None
    if found.status.phase.waiting and not turn(key):
        return None
    world = await cluster.observe_run(found)
    world = world.with_passed(witness.passed(key.namespace))
    while True:
        found, plan = await _follow(cluster, found, witness, decide(found, world), world.now)
        if not plan.at_once:
            return plan.again_seconds


async def _repository(cluster: Cluster, key: Key, witness: Witness) -> float | None:
    found = await cluster.load(BackupRepository, key.namespace, key.name)
    witness.saw(key, found)
    if found is None:
        return None
    world = await cluster.observe_repository(found)
    _, plan = await _follow(cluster, found, witness, repository.decide(found, world), world.now)
    return plan.again_seconds


async def _schedule(cluster: Cluster, key: Key, witness: Witness) -> float | None:
    found = await cluster.load(BackupSchedule, key.namespace, key.name)
    witness.saw(key, found)
    if found is None:
        return None
    world = await cluster.observe_schedule(found)
    _, plan = await _follow(cluster, found, witness, schedule.decide(found, world), world.now)
    return plan.again_seconds


def _is_over(run: Backup | Restore) -> bool:
    """Say whether nothing is left to decide. A cluster is full of ended runs; observing for each would be a flood."""
    return run.status.phase.finished and FINALIZER not in run.metadata.finalizers


async def _follow(
    cluster: Cluster, resource: R, witness: Witness, plan: Plan[Any], now: datetime
) -> tuple[R, Plan[Any]]:
    """Do what a plan says. Returns the object as it is left, and the plan without what was refused."""
    bound = FINALIZER in resource.metadata.finalizers
    key = Key(resource.kind, resource.metadata.namespace, resource.metadata.name)
    # the API server takes no new finalizer on an object that is being deleted
    if plan.finalizer is True and not bound and resource.metadata.deletion_timestamp is None:
        resource = await cluster.set_finalizer(resource, present=True)
        witness.saw(key, resource)
    refused = await _act(cluster, resource, plan.actions)
    witness.complain(key, [why for action, why in refused if not isinstance(action, ScaleUp)])
    if refused:
        plan = _told(key, resource, plan, refused, now)
    if stops := _stops(plan, refused):
        plan = quiesce.with_stops(plan, stops)
    for event in plan.events:
        await _announce(cluster, resource, event)
    if plan.status != resource.status:
        resource = await cluster.write_status(resource, plan.status)
        witness.saw(key, resource)
    if plan.finalizer is False and bound:
        resource = await cluster.set_finalizer(resource, present=False)
    return resource, plan


def _stops(plan: Plan[Any], refused: Refused) -> list[ScaleDown]:
    """Return the stops of a plan that was followed, but for what was refused."""
    left = [action for action, _ in refused]
    return [action for action in plan.actions if isinstance(action, ScaleDown) and action not in left]


async def _act(cluster: Cluster, resource: Resource, actions: Sequence[Action]) -> Refused:
    """Do the actions in order, and the starts beside them: whatever fails or hangs, each of them is tried.

    Returns the starts that the API server did not allow, and what else of that kind can be told of.

    Raises:
        ClusterError: Something else could not be done.
    """
    starts = [action for action in actions if isinstance(action, ScaleUp)]
    others = [action for action in actions if not isinstance(action, ScaleUp)]
    *started, rest = await asyncio.gather(
        *(cluster.apply(resource, start) for start in starts),
        _in_order(cluster, resource, others),
        return_exceptions=True,
    )
    for outcome in (rest, *(one for one in started if not isinstance(one, _REFUSALS))):
        if isinstance(outcome, BaseException):
            raise outcome
    refused: Refused = rest if isinstance(rest, list) else []
    outcomes = zip(starts, started, strict=True)
    return refused + [(start, _words(why)) for start, why in outcomes if isinstance(why, BaseException)]


async def _in_order(cluster: Cluster, resource: Resource, actions: Sequence[Action]) -> Refused:
    refused: Refused = []
    for action in actions:
        try:
            await cluster.apply(resource, action)
        except _REFUSALS as error:
            if not isinstance(action, (*_DISPENSABLE, *_AWAITED)):
                raise
            refused.append((action, _words(error)))
            if isinstance(action, _AWAITED):
                break
    return refused


def _words(refusal: BaseException) -> str:
    text = str(refusal)
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def _told(key: Key, resource: Resource, plan: Plan[Any], refused: Refused, now: datetime) -> Plan[Any]:
    """Return what may be told of a plan that was followed but for what was refused."""
    if isinstance(resource, BackupSchedule):
        made = [(action.name, why) for action, why in refused if isinstance(action, MakeBackup)]
        return schedule.refused(plan, resource, *made[0], now) if made else plan
    return _told_of_run(key, resource, plan, refused, now) if isinstance(resource, Backup | Restore) else plan


def _told_of_run(
    key: Key, run: Backup | Restore, plan: Plan[Any], refused: Refused, now: datetime
) -> Plan[Any]:
    starts = {str(action.workload): why for action, why in refused if isinstance(action, ScaleUp)}
    known = {str(state.reference): state.error for state in run.status.workloads}
    for name, why in starts.items():
        if known[name] != why:  # the same again is no news
            _log.warning("%s: %s was not started: %s", key, name, why)
    plan = unscaled.unstarted(plan, run.status, starts)
    if stops := {str(action.workload): why for action, why in refused if isinstance(action, ScaleDown)}:
        plan = unscaled.unstopped(plan, run.status, stops, now)
    snapshots = {
        action.document["metadata"]["name"]: why
        for action, why in refused
        if isinstance(action, MakeSnapshot)
    }
    return unmade.refused(plan, snapshots) if snapshots else plan


async def _announce(cluster: Cluster, resource: R, event: Event) -> None:
    try:
        await cluster.announce(resource, event)
    except ClusterError as error:
        _log.warning("event %s was not made: %s", event.reason, error)
