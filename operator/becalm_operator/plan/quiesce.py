"""Stopping workloads, watching that they stay stopped, and starting them again.

The record on the workload is the truth. A status that was lost or is older than the world changes nothing here: what
was stopped is read from records, and written to status again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from becalm_operator.api.backup import Quiesce, RunStatus, WorkloadReference, WorkloadStatus
from becalm_operator.api.base import parse_duration, time_text, to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.record import Holder, Record, undo_command
from becalm_operator.plan import wording
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.preflight import refusal
from becalm_operator.plan.steps import Action, Event, Plan, ScaleDown, ScaleUp
from becalm_operator.plan.world import Workload, World

START_TIMEOUT = timedelta(minutes=10)
"""How long a started workload may take to be Ready before the next one is started all the same."""
REFUSAL_TIMEOUT = timedelta(minutes=1)
"""How long one that cannot be started keeps the others waiting: what refuses it may be served by one of them. As long
may one that cannot be stopped keep the others down."""
_NOT_REFUSED = {"error": "", "refused_since": None, "refused_at": None}
"""What the state of a workload says of its stop if nothing stands in the way of it."""

S = TypeVar("S", bound=RunStatus)


@dataclass(frozen=True, slots=True)
class Run:
    """A Backup or a Restore, as far as stopping and starting goes."""

    holder: Holder
    namespace: str
    quiesce: Quiesce


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a look at the workloads: new states, what to do, and whether this part is over."""

    workloads: tuple[WorkloadStatus, ...]
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    done: bool = False
    failure: Failure | None = None

    @property
    def repeats(self) -> bool:
        """Whether nothing is to be done but what was refused the last time."""
        refused = {str(state.reference) for state in self.workloads if state.error}
        starts = [action for action in self.actions if isinstance(action, ScaleUp)]
        return bool(starts) and all(str(start.workload) in refused for start in starts)


def absorb(run: Run, world: World, workloads: Iterable[WorkloadStatus]) -> tuple[WorkloadStatus, ...]:
    """Take over what the records say, in case the status of the last step was never written."""
    absorbed = []
    for state in workloads:
        workload = _same(world, state)
        if workload is not None and _ours(run, workload) and state.stopped_at is None:
            assert workload.record is not None
            absorbed.append(_stopped(state, workload.record))
        else:
            absorbed.append(state)
    return tuple(absorbed)


def _stopped(state: WorkloadStatus, record: Record) -> WorkloadStatus:
    stopped = {"stopped_at": record.at, "replicas": record.replicas}
    return state.model_copy(update={**stopped, **_NOT_REFUSED})


def with_stops(plan: Plan[S], stops: Iterable[ScaleDown]) -> Plan[S]:
    """Return a plan whose status knows what was stopped by it.

    The records say so as well. But before anybody looks again, `kubectl rollout undo` may have taken one off: then the
    workload would pass for one that was at zero before, and stay there.
    """
    records = {str(stop.workload): stop.record for stop in stops}
    workloads = tuple(
        _stopped(state, records[name]) if (name := str(state.reference)) in records else state
        for state in plan.status.workloads
    )
    return replace(plan, status=plan.status.model_copy(update={"workloads": workloads}))


def deadline_of(run: Run, workloads: Iterable[WorkloadStatus]) -> datetime | None:
    """Return when the workloads are started whatever happens: counted from the first stop."""
    stops = [state.stopped_at for state in workloads if state.stopped_at]
    return min(stops) + parse_duration(run.quiesce.max_downtime) if stops else None


def stop(run: Run, world: World, workloads: tuple[WorkloadStatus, ...]) -> Step:
    """Stop the next workload in order, once the pods of those before it are gone. The last one's are Draining's.

    One whose stop was refused again and again for too long keeps the others down no longer.
    """
    workloads = tuple(_let_be(world, state) for state in workloads)
    for state in workloads:
        workload = _same(world, state)
        if workload is None:
            return Step(workloads, failure=_changed(state, "was deleted or made anew"))
        failure = _interference(run, state, workload)
        if failure:
            return Step(workloads, failure=failure)
        if workload.record is not None:
            if state is not workloads[-1] and _has_pods(world, state):
                return Step(workloads, failure=_too_slow(run, world, workload.reference, workload.record))
        elif workload.replicas > 0:
            # hooks and drains take time: what was looked at before they began may not hold any more
            failure = _unstoppable(state) if _is_refused_for_long(state) else refusal(workload)
            if failure:
                return Step(workloads, failure=failure)
            return _stop(run, world, workloads, workload)
    return Step(workloads, done=True)


def _let_be(world: World, state: WorkloadStatus) -> WorkloadStatus:
    """Return a state that does not say any more that a stop was refused, if somebody else has brought that about."""
    workload = _same(world, state)
    down = workload is not None and workload.record is None and workload.replicas == 0
    return state.model_copy(update=_NOT_REFUSED) if state.refused_since and down else state


def _is_refused_for_long(state: WorkloadStatus) -> bool:
    """Say whether a stop was refused once more after all the time that it is tried for.

    From one refusal to the other: in a time in which nobody has asked, it may have become possible.
    """
    since, last = state.refused_since, state.refused_at
    return since is not None and last is not None and last - since > REFUSAL_TIMEOUT


def _unstoppable(state: WorkloadStatus) -> Failure:
    return Failure(Reason.STOP_REFUSED, f"{state.reference} could not be stopped: {state.error}")


def interference(run: Run, world: World, workloads: Iterable[WorkloadStatus]) -> Failure | None:
    """Return what somebody else has done to a workload that the run has stopped."""
    for state in workloads:
        workload = _same(world, state)
        if state.stopped_at is None:
            continue
        if workload is None:
            return _changed(state, "was deleted or made anew")
        if found := _interference(run, state, workload):
            return found
    return None


def _interference(run: Run, state: WorkloadStatus, workload: Workload) -> Failure | None:
    """Return what somebody else has done to a workload that is to be stopped, or was."""
    if workload.record is None or is_outdated(workload.record, state):
        what = "started" if workload.replicas > 0 else _ROBBED
        done = _changed(state, f"was {what} by somebody while the run held it down")
        return done if state.stopped_at is not None else None
    if not _ours(run, workload):
        holder = workload.record.by
        return _changed(state, f"is held down by {holder.kind} {holder.name}")
    if workload.replicas > 0:
        return _changed(state, f"was {wording.set_to(workload)} by somebody while the run held it down")
    if _has_moved(workload):
        return _changed(state, _MOVED)
    return None


_ROBBED = "robbed of its record"
_MOVED = "was changed by somebody while the run held it down; it may have been up in between"


def _has_moved(workload: Workload) -> bool:
    """Say whether the spec is another one than that which the run has left: it may have gone up and down again."""
    expected = workload.record.generation if workload.record is not None else None
    return expected is not None and workload.generation not in (0, expected)


def _too_slow(run: Run, world: World, workload: WorkloadReference, record: Record) -> Failure | None:
    """Return that the pods of a stopped workload take longer than they may."""
    timeout = run.quiesce.drain_timeout
    if world.now - record.at <= parse_duration(timeout):
        return None
    left = sorted(pod.name for pod in world.pods if pod.owner == str(workload) and not pod.ended)
    which = f"pods of {workload} ({', '.join(left[:5])})"
    return Failure(Reason.DRAIN_TIMEOUT, undrained(which, timeout))


def undrained(left: str, timeout: str) -> str:
    """Say which pods have not ended in time, and what to do."""
    longer = "it has to be longer than their terminationGracePeriodSeconds"
    return f"{left} did not end within drainTimeout ({timeout}); {longer}"


def _stop(run: Run, world: World, workloads: tuple[WorkloadStatus, ...], workload: Workload) -> Step:
    first = min((other.stopped_at for other in workloads if other.stopped_at), default=to_utc(world.now))
    record = Record(
        by=run.holder,
        at=to_utc(world.now),
        replicas=workload.replicas,
        deadline=first + parse_duration(run.quiesce.max_downtime),
        undo=undo_command(run.namespace, workload.reference, workload.switch, workload.replicas),
        generation=_generation_after(workload),
    )
    action = ScaleDown(workload.reference, workload.uid, workload.resource_version, record, workload.switch)
    who = f"{run.holder.kind} {run.holder.name}"
    event = Event(
        "Quiesced",
        f"{who} {wording.stopped(workload)}; "
        f"it is started again by {time_text(record.deadline)} at the latest. By hand: {record.undo}",
        workload=workload.reference,
    )
    return Step(workloads, (action,), (event,))


def _generation_after(workload: Workload) -> int | None:
    """Return the generation that the update will leave, which the API server takes only for this very version."""
    return workload.generation + workload.switch.counts_as_change if workload.generation else None


def drained(world: World, claims: frozenset[str]) -> str:
    """Return which pods still hold the claims and where, for people; nothing if none does."""
    names = [f"{pod.name} on {pod.node}" if pod.node else pod.name for pod in world.consumers(claims)]
    return ", ".join(sorted(names)[:5])


def taint(
    run: Run,
    world: World,
    workloads: Iterable[WorkloadStatus],
    claims: frozenset[str],
    *,
    since: datetime | None,
) -> Failure | None:
    """Return what says that the claims may have been written while they were read: `since` nobody held them."""
    for state in workloads:
        workload = _same(world, state)
        if state.stopped_at is None:
            continue
        if workload is None or not _ours(run, workload) or workload.replicas > 0:
            what = "deleted or made anew" if workload is None else _deed(workload)
            return Failure(Reason.TAINTED, f"{state.reference} was {what} by somebody while it was held down")
        if _has_moved(workload):
            return Failure(Reason.TAINTED, f"{state.reference} {_MOVED}")
    for pod in (*world.consumers(claims), *world.visitors(claims, since)):
        who = f"pod {pod.name}" + (f" of {pod.owner}" if pod.owner else "")
        return Failure(Reason.TAINTED, f"{who} mounted a claim while it was being used")
    return None


def _deed(workload: Workload) -> str:
    """Say what somebody has done to a workload that was held down, to follow `was`."""
    return wording.set_to(workload) if workload.replicas > 0 else _ROBBED


def resume(
    run: Run, world: World, workloads: tuple[WorkloadStatus, ...], *, since: datetime, hurry: bool
) -> Step:
    """Start the next workload, in reverse order, once the one before is Ready; all at once in a `hurry`.

    `since` is when the resuming began: what is not started or not Ready so long after it keeps nobody waiting.
    """
    hurry = hurry or _is_held_up(workloads, world.now - since)
    states = list(workloads)
    actions: list[Action] = []
    events: list[Event] = []
    for at in range(len(states) - 1, -1, -1):
        state = states[at]
        if state.stopped_at is None or state.started_at is not None:
            continue
        workload = _same(world, state)
        if workload is None or _is_taken_over(run, state, workload):
            # deleted, made anew or taken over: nothing of ours is left to undo
            states[at] = state.model_copy(update={"started_at": to_utc(world.now), "error": ""})
            continue
        if _ours(run, workload) or workload.unreadable_record or _has_lost_its_record(state, workload):
            actions.append(_start(run, state, workload))
            events.append(_started(run, state, workload))
            states[at] = state.model_copy(update={"released_at": to_utc(world.now)})
        elif _is_ready(world, workload) or world.now - since > START_TIMEOUT:
            states[at] = state.model_copy(update={"started_at": to_utc(world.now), "error": ""})
            continue
        else:
            states[at] = state.model_copy(update={"error": ""})
        if not hurry:
            return Step(tuple(states), tuple(actions), tuple(events))
    waiting = any(state.stopped_at and not state.started_at for state in states)
    return Step(tuple(states), tuple(actions), tuple(events), done=not waiting)


def _is_held_up(workloads: Iterable[WorkloadStatus], waited: timedelta) -> bool:
    """Say whether nobody waits for the order any more, since one workload does not come up."""
    refused = any(state.error and state.stopped_at and not state.started_at for state in workloads)
    return waited > (REFUSAL_TIMEOUT if refused else START_TIMEOUT)


def _has_lost_its_record(state: WorkloadStatus, workload: Workload) -> bool:
    """Say whether a workload is down though the record of it is gone: `kubectl rollout undo` replaces annotations."""
    return workload.replicas == 0 and state.replicas > 0 and state.released_at is None


def _start(run: Run, state: WorkloadStatus, workload: Workload) -> ScaleUp:
    count = _count(run, state, workload)
    return ScaleUp(workload.reference, workload.uid, workload.resource_version, count, workload.switch)


def _count(run: Run, state: WorkloadStatus, workload: Workload) -> int:
    """Return how many replicas a workload gets: what our record says, or the status if somebody has spoilt that."""
    ours = workload.record if _ours(run, workload) else None
    # somebody has scaled it up by hand already: their count stays, and only the record goes
    return workload.replicas or (ours.replicas if ours is not None else state.replicas)


def _started(run: Run, state: WorkloadStatus, workload: Workload) -> Event:
    return Event(
        "Released",
        f"{run.holder.kind} {run.holder.name} {wording.started(workload, _count(run, state, workload))}",
        workload=workload.reference,
    )


def _is_ready(world: World, workload: Workload) -> bool:
    return workload.settled and workload.ready >= workload.replicas and not _has_pods_unready(world, workload)


def _has_pods_unready(world: World, workload: Workload) -> bool:
    """Say whether a StatefulSet has a pod that goes or comes. Alone among kinds it counts one that goes as ready."""
    if workload.reference.kind != "StatefulSet":
        return False
    own = [pod for pod in world.pods if pod.owner == str(workload.reference) and not pod.ended]
    return any(not pod.ready for pod in own)


def is_quiesced(status: RunStatus) -> bool:
    """Say whether any workload is down for this run."""
    return any(state.stopped_at and not state.started_at for state in status.workloads)


def _same(world: World, state: WorkloadStatus) -> Workload | None:
    """Return the workload if it still is the one that was planned with."""
    workload = world.workloads.get(str(state.reference))
    return workload if workload is not None and workload.uid == state.uid else None


def _ours(run: Run, workload: Workload) -> bool:
    return workload.record is not None and workload.record.by.uid == run.holder.uid


def _is_taken_over(run: Run, state: WorkloadStatus, workload: Workload) -> bool:
    """Say whether another run has stopped a workload since. A record that is older than our stop is a mere copy."""
    others = workload.record is not None and not _ours(run, workload)
    return others and not is_outdated(workload.record, state)


def is_outdated(record: Record | None, state: WorkloadStatus) -> bool:
    """Say whether a record is older than a stop. Runs overwrite none, so somebody has put it back since."""
    return record is not None and state.stopped_at is not None and record.at < state.stopped_at


def _has_pods(world: World, state: WorkloadStatus) -> bool:
    return any(pod.owner == str(state.reference) and not pod.ended for pod in world.pods)


def _changed(state: WorkloadStatus, what: str) -> Failure:
    return Failure(Reason.WORKLOAD_CHANGED, f"{state.reference} {what}")
