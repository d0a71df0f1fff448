"""The part of the phase machine that Backup and Restore share: how a run moves, fails and ends."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from becalm_operator.api.backup import Phase, RunStatus, WorkloadReference, WorkloadStatus
from becalm_operator.api.base import Metadata, parse_duration, to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.limits import Needs
from becalm_operator.api.names import RELEASED_ANNOTATION
from becalm_operator.manifests.written import UnfitError
from becalm_operator.plan import conditions, downtime, limits, quiesce, wording
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.quiesce import Run
from becalm_operator.plan.steps import Action, DeleteJob, Event, Plan, RequestProbe
from becalm_operator.plan.world import JobState, OtherRun, World

S = TypeVar("S", bound=RunStatus)

_HOLDING = (
    Phase.QUIESCING,
    Phase.DRAINING,
    Phase.CAPTURING,
    Phase.RESTORING,
    Phase.RESUMING,
    Phase.UPLOADING,
    Phase.FINISHING,
)
"""The phases in which a deletion has to wait: workloads may be down, or the snapshots of a group half written."""
_USING_DOWNTIME = (Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESTORING)
_REPOSITORY_IN_DOUBT = (
    Reason.REPOSITORY_MISSING,
    Reason.REPOSITORY_REPLACED,
    Reason.REPOSITORY_DAMAGED,
    Reason.WRONG_PASSWORD,
    Reason.STORAGE_DENIED,
    Reason.STORAGE_UNAVAILABLE,
)

_MOST_CHARS = 4096
"""What the API server takes as a message; a longer one would keep the whole status from being written."""

SOON = 0.2
WATCHING = 0.5
"""What no watch tells of, for a short while."""
WATCHED = 5.0
"""What a watch tells of, while something is down: this makes up for a watch that is broken."""
WAITING = 15.0
_YOUNG = timedelta(seconds=30)
_LEAVING_TIMEOUT = timedelta(minutes=1)
"""How long after-hooks wait for movers where nothing is down: three times what these have to end. On a dead node none
does, and an application may be locked."""
_WATCHED_KINDS = {"Deployment", "StatefulSet"}
"""Those whose status is watched everywhere."""


def changed(status: S, **fields: Any) -> S:
    """Return a status with some fields set."""
    return status.model_copy(update=fields)


def entered(status: S, phase: Phase, now: datetime, message: str = "") -> S:
    """Return a status that has entered a phase."""
    return changed(downtime.noted(status, phase, now), phase=phase, phase_time=to_utc(now), message=message)


def reported(status: S, metadata: Metadata, now: datetime) -> S:
    """Return a status with its conditions and generation brought up to date."""
    quiesced = quiesce.is_quiesced(status)
    status = changed(status, message=status.message[:_MOST_CHARS])
    found = conditions.of_run(status, quiesced=quiesced, generation=metadata.generation, now=now)
    return changed(status, conditions=found, observed_generation=metadata.generation)


def failing(status: S, failure: Failure, now: datetime) -> S:
    """Return a status on its way down: whatever was begun is undone first. The first reason stays."""
    if status.reason:
        return status
    status = changed(status, reason=failure.reason.value)
    if status.must_resume:
        return entered(status, Phase.RESUMING, now, failure.message)
    return ended(status, Phase.FAILED, now, failure.message)


def ended(status: S, phase: Phase, now: datetime, message: str) -> S:
    """Return a status that is finished."""
    over = downtime.summed_up(entered(status, phase, now, message))
    return changed(over, completion_time=to_utc(now), needs=None)


def parked(status: S, message: str) -> S:
    """Return a status that waits before anything has begun."""
    cleared = {"needs": None, "queued_since": None, "repository_wait_since": None}
    return changed(status, phase=Phase.PENDING, message=message, **cleared)


def queued(status: S, needs: Needs, place: str, now: datetime) -> S:
    """Return a status that waits for nothing but its turn."""
    since = status.queued_since or to_utc(now)
    return changed(parked(status, place), needs=needs, queued_since=since)


def begun(
    status: S,
    metadata: Metadata,
    world: World,
    *,
    claims: frozenset[str],
    stopped: Sequence[WorkloadReference],
    dumps: int = 0,
    urgent: bool = False,
) -> Plan[S]:
    """Pending: begin, unless another run on the same claims or workloads goes first, or all places are taken."""
    mine = OtherRun(
        metadata.name,
        metadata.uid,
        started=False,
        created=metadata.creation_timestamp or world.now,
        claims=claims,
        workloads=frozenset(str(reference) for reference in stopped),
    )
    first = waits_for(world.others, mine)
    if first:
        waiting = f"waiting for {first.name}, which works on {_shared(first, mine)}, too"
        return Plan(parked(status, waiting), again_seconds=WAITING)
    # dumps are over when the first volume is read
    needs = Needs(movers=max(len(claims), dumps), workloads=_up(world, stopped))
    if hidden := limits.hidden(needs, world):
        return Plan(parked(status, hidden), again_seconds=WAITING)
    place = limits.place_in_queue(limits.wish(metadata, needs, world, urgent=urgent), world)
    if place:
        return Plan(queued(status, needs, place, world.now), again_seconds=WAITING)
    started = changed(status, needs=needs, queued_since=None, start_time=to_utc(world.now))
    looking = "looking at workloads and claims"
    return Plan(entered(started, Phase.PREFLIGHT, world.now, looking), again_seconds=SOON)


def _shared(other: OtherRun, mine: OtherRun) -> str:
    """Name what two runs have in common."""
    claims = [f"claim {name}" for name in sorted(mine.claims & other.claims)]
    return wording.listed(claims or sorted(mine.workloads & other.workloads))


def _up(world: World, references: Iterable[WorkloadReference]) -> int:
    """Return how many workloads there are to stop: what is down already takes no place."""
    known = (world.workloads.get(str(reference)) for reference in references)
    return sum(workload is not None and workload.replicas > 0 for workload in known)


def guarded(
    status: S, run: Run, metadata: Metadata, world: World, *, using: Phase, phase: Callable[[], Plan[S]]
) -> Plan[S]:
    """Return what `phase` decides, unless the run must not go on, `phase` refuses, or no Job can be made as written.

    `using` is the phase in which workloads are down and the repository is worked on.
    """
    given = given_up(status, run, metadata, run.holder.kind, world.now)
    if given is None and status.phase is using:
        given = without_repository(status, world)
    if given:
        return given
    try:
        return phase()
    except RefusalError as refused:
        return Plan(failing(status, refused.failure, world.now), again_seconds=SOON)
    except UnfitError as unfit:
        return _fallen(status, Failure(Reason.MOVER_NOT_STARTED, str(unfit)), world.now)


def given_up(status: S, run: Run, metadata: Metadata, kind: str, now: datetime) -> Plan[S] | None:
    """Return the plan of a run that must not go on: it has ended, is deleted, or has used up its downtime."""
    if status.phase.finished:
        return Plan(status)
    if metadata.deletion_timestamp and not status.reason and status.phase is not Phase.FINISHING:
        gone = Failure(Reason.DELETED, f"the {kind} was deleted while it ran")
        return Plan(failing(status, gone, now), again_seconds=SOON)
    late = overdue(status, run, metadata, now) if status.phase in _USING_DOWNTIME else None
    return Plan(failing(status, late, now), again_seconds=SOON) if late else None


def without_repository(status: S, world: World) -> Plan[S] | None:
    """Return the plan of a run whose repository was deleted under it: there is nowhere to go on to."""
    if world.repository is not None:
        return None
    gone = Failure(Reason.REPOSITORY_NOT_READY, "the BackupRepository was deleted while the run went on")
    return _fallen(status, gone, world.now)


def _fallen(status: S, failure: Failure, now: datetime) -> Plan[S]:
    """Return the plan of a run that can make no Job any more."""
    if status.phase in (Phase.UPLOADING, Phase.FINISHING):  # the workloads are up again
        failed = changed(status, reason=failure.reason.value)
        return Plan(ended(failed, Phase.FAILED, now, failure.message))
    return Plan(failing(status, failure, now), again_seconds=SOON)


def waits_for(others: Iterable[OtherRun], mine: OtherRun) -> OtherRun | None:
    """Return the run that goes first: one on the same claims or workloads that has begun, or is older."""
    for other in others:
        if not (mine.claims & other.claims or mine.workloads & other.workloads):
            continue
        if other.started or (other.created, other.uid) < (mine.created, mine.uid):
            return other
    return None


def pace(status: RunStatus, now: datetime) -> float:
    """Return after how many seconds to look again for what may come unseen: most of it comes while a phase is young."""
    return WATCHED if status.phase_time and now - status.phase_time > _YOUNG else WATCHING


def stopping(status: S, run: Run, world: World) -> Plan[S]:
    """Quiescing: stop the next workload."""
    step = quiesce.stop(run, world, status.workloads)
    status = changed(status, workloads=step.workloads)
    if step.failure:
        return Plan(failing(status, step.failure, world.now), again_seconds=SOON)
    if step.done:
        return Plan(entered(status, Phase.DRAINING, world.now, "waiting for pods to end"), again_seconds=SOON)
    down = sum(state.stopped_at is not None for state in status.workloads)
    message = wording.progress("stopping workloads", down, len(status.workloads), "down")
    return Plan(
        changed(status, message=message + wording.unstopped(status.workloads)),
        step.actions,
        step.events,
        again_seconds=SOON if step.actions else WATCHED,
    )


def draining(status: S, run: Run, world: World, claims: frozenset[str], then: Phase, message: str) -> Plan[S]:
    """Draining: wait until no pod holds the claims any more; in vain if somebody has started a workload again."""
    failure = quiesce.interference(run, world, status.workloads)
    if failure:
        return Plan(failing(status, failure, world.now), again_seconds=SOON)
    left = quiesce.drained(world, claims)
    if not left:
        # the pods were looked at after the movers' Jobs: nobody holds the claims, and nothing has been read yet
        return Plan(entered(status, then, world.now, message), again_seconds=SOON, at_once=True)
    assert status.phase_time is not None
    timeout = run.quiesce.drain_timeout
    rest = status.phase_time + parse_duration(timeout) - world.now
    if rest < timedelta():
        failure = Failure(Reason.DRAIN_TIMEOUT, quiesce.undrained(left, timeout))
        return Plan(failing(status, failure, world.now), again_seconds=SOON)
    again = min(WATCHED, rest.total_seconds() + SOON)
    return Plan(changed(status, message=f"waiting for the end of {left}"), again_seconds=again)


def resuming(status: S, run: Run, world: World, movers: Sequence[JobState]) -> Plan[S] | None:
    """Resuming: start the workloads again. Returns None once all are up and the status says so.

    After a failure movers are ended first, since a volume may be held by one; but not beyond the deadline.
    """
    assert status.phase_time is not None
    deadline = quiesce.deadline_of(run, status.workloads) or status.phase_time + _LEAVING_TIMEOUT
    late = world.now >= deadline
    leaving = removals(movers) if status.reason else ()
    if leaving and not late:
        return Plan(status, leaving, again_seconds=WATCHING)
    hurry = late or bool(status.reason)
    step = quiesce.resume(run, world, status.workloads, since=status.phase_time, hurry=hurry)
    # beyond the deadline nobody waits for a mover either: its node may be dead
    if step.done and (late or not leaving) and step.workloads == status.workloads:
        return None
    actions = (*leaving, *step.actions)
    starting = {state.kind for state in step.workloads if state.stopped_at and not state.started_at}
    told = WATCHED if starting <= _WATCHED_KINDS else pace(status, world.now)
    again = SOON if step.done or (step.actions and not step.repeats) else told
    return Plan(_resumed(status, step.workloads), actions, step.events, again_seconds=again)


def without_movers(plan: Plan[S], before: S, movers: Iterable[JobState]) -> Plan[S]:
    """Return a plan that takes the movers away which are left when the run ends: nobody looks after them any more."""
    if not plan.status.phase.finished or before.phase.finished:
        return plan
    left = [DeleteJob(job.name) for job in movers if not job.finished]
    actions = [*plan.actions, *(action for action in left if action not in plan.actions)]
    return dataclasses.replace(plan, actions=actions) if left else plan


def removals(movers: Iterable[JobState]) -> tuple[Action, ...]:
    """Return the deletion of every mover that may still hold a volume."""
    return tuple(DeleteJob(job.name) for job in movers if job.active or not job.finished)


def _resumed(status: S, workloads: tuple[WorkloadStatus, ...]) -> S:
    """Return a status with the workloads as they are now. A failure's message stays."""
    if status.reason:
        return changed(status, workloads=workloads)
    stopped = [state for state in workloads if state.stopped_at]
    refused = wording.unstarted(stopped)
    starting = [
        str(state.reference)
        for state in stopped
        if state.released_at and not state.started_at and not state.error
    ]
    up = sum(state.started_at is not None for state in stopped)
    message = wording.progress("starting workloads", up, len(stopped), "up")
    if starting:
        message += f", waiting until {wording.listed(starting)} is Ready"
    return changed(status, workloads=workloads, message=message + refused)


def overdue(status: RunStatus, run: Run, metadata: Metadata, now: datetime) -> Failure | None:
    """Return the failure of a run that has used up its downtime."""
    deadline = quiesce.deadline_of(run, status.workloads)
    if deadline is None and status.phase is Phase.QUIESCING and status.phase_time is not None:
        # the first stop may have been swept away before it came into status; nothing is stopped a second time
        deadline = status.phase_time + parse_duration(run.quiesce.max_downtime)
    if deadline is None or now < deadline:
        return None
    stood = f"{status.phase}, {status.message}" if status.message else status.phase
    text = f"the run did not end within maxDowntime ({run.quiesce.max_downtime}); it stood at {stood}"
    if released := metadata.annotations.get(RELEASED_ANNOTATION):
        text += f"; as no operator did, the watchdog started workloads of it at {released}"
    return Failure(Reason.DOWNTIME_EXCEEDED, text)


def completed(
    plan: Plan[S], before: RunStatus, run: Run, metadata: Metadata, repository: str, now: datetime
) -> Plan[S]:
    """Return a run's plan with what every step has: conditions, the finalizer, and what its end is followed by."""
    final = plan.status
    actions, events = list(plan.actions), list(plan.events)
    if final.phase.finished and not before.phase.finished:
        events.append(ending_event(run.holder.kind, final))
    if final.reason and not before.reason and Reason(final.reason) in _REPOSITORY_IN_DOUBT:
        actions.append(RequestProbe(repository))
    final = _with_deadline(final, run)
    return Plan(
        reported(final, metadata, now),
        actions,
        events,
        finalizer=final.phase in _HOLDING,
        again_seconds=_in_time(plan.again_seconds, final.deadline, now),
        at_once=plan.at_once,
    )


def _with_deadline(status: S, run: Run) -> S:
    """Return a status that says how long workloads may stay down, if any is down."""
    down = quiesce.is_quiesced(status)
    return changed(status, deadline=quiesce.deadline_of(run, status.workloads) if down else None)


def _in_time(again_seconds: float | None, deadline: datetime | None, now: datetime) -> float | None:
    """Return when to look again: not after the deadline, which is a promise, if that is still to come."""
    rest = (deadline - now).total_seconds() if deadline else 0.0
    return min(again_seconds, rest) if again_seconds is not None and rest > 0 else again_seconds


def ending_event(kind: str, status: RunStatus) -> Event:
    """Return what is told when a run ends."""
    if status.phase is Phase.SUCCEEDED:
        return Event("Succeeded", f"{kind} succeeded; downtime {downtime.text(kind, status)}")
    return Event(status.reason or "Failed", f"{kind} failed: {status.message}", "Warning")
