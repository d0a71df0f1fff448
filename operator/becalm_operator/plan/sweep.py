"""What to start because nobody else will: workloads whose run is finished, gone, or past its deadline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from becalm_operator.api.backup import Backup, RunStatus, WorkloadStatus
from becalm_operator.api.record import Holder, Record, undo_command
from becalm_operator.api.restore import Restore
from becalm_operator.plan import quiesce, wording
from becalm_operator.plan.steps import Event, ScaleUp
from becalm_operator.plan.world import Held, Workload


@dataclass(frozen=True, slots=True)
class Release:
    """A workload to start, and what to tell about it. `action` None: its record makes no sense."""

    namespace: str
    uid: str
    action: ScaleUp | None
    event: Event
    run: Holder | None = None
    """The run that holds it, if that still goes on."""


def truly_held(held: Held, runs: Iterable[Backup | Restore]) -> Held:
    """Return a workload as that run holds it which has stopped it last, if that was after its record was written.

    Somebody has put an old record in the place of that of the run, then; the status of the run knows what that said.
    """
    for run in runs:
        state = _stopped(run.status, held.workload)
        if state is not None and quiesce.is_outdated(held.workload.record, state):
            record = _record_of(run, state, held.workload)
            held = replace(held, workload=replace(held.workload, record=record), run=run.status)
    return held


def _stopped(status: RunStatus | None, workload: Workload) -> WorkloadStatus | None:
    """Return what a run knows of a workload that it has stopped, and not started again."""
    states = status.workloads if status is not None else ()
    mine = (state for state in states if state.uid == workload.uid and state.stopped_at)
    return next((state for state in mine if not (state.released_at or state.started_at)), None)


def _record_of(run: Backup | Restore, state: WorkloadStatus, workload: Workload) -> Record:
    metadata = run.metadata
    holder = Holder(kind=run.kind, name=metadata.name, uid=metadata.uid)
    deadline = quiesce.deadline_of(
        quiesce.Run(holder, metadata.namespace, run.spec.quiesce), run.status.workloads
    )
    assert state.stopped_at is not None
    assert deadline is not None
    undo = undo_command(metadata.namespace, workload.reference, workload.switch, state.replicas)
    return Record(by=holder, at=state.stopped_at, replicas=state.replicas, deadline=deadline, undo=undo)


def releases(held: Iterable[Held], now: datetime) -> Sequence[Release]:
    """Return the workloads to start."""
    return [release for one in held if (release := _release(one, now)) is not None]


def release_all(held: Iterable[Held]) -> Sequence[Release]:
    """Return every workload that is held down, whoever holds it: becalm is about to be uninstalled."""
    return [_started(one, "on request") for one in held]


def _release(held: Held, now: datetime) -> Release | None:
    reason = _reason(held, now)
    return _started(held, reason) if reason else None


def _reason(held: Held, now: datetime) -> str:
    """Return why a workload must be started; nothing while its run looks after it."""
    record = held.workload.record
    if record is None:
        return "unreadable"
    holder = f"{record.by.kind} {record.by.name}"
    if held.run is None:
        return f"because {holder}, which had stopped it, is gone"
    if held.run.phase.finished:
        return f"because {holder}, which had stopped it, has ended"
    if now >= record.deadline:
        return f"because {holder} held it down beyond its deadline"
    return ""


def _started(held: Held, reason: str) -> Release:
    workload, record = held.workload, held.workload.record
    if record is None:
        message = (
            f"{workload.reference} carries a becalm record that cannot be read, so its former replica count is "
            "not known; scale it by hand and remove the annotation becalm.dev/quiesced"
        )
        event = Event("RecordUnreadable", message, "Warning", workload.reference)
        return Release(held.namespace, workload.uid, None, event)
    if workload.put_back and workload.replicas == 0 and _stopped(held.run, workload) is None:
        return _freed(held.namespace, workload, record)
    # somebody has scaled it up by hand already: their count stays, and only the record goes
    replicas = workload.replicas or record.replicas
    event = Event("Released", f"{wording.started(workload, replicas)} {reason}", workload=workload.reference)
    going_on = held.run is not None and not held.run.phase.finished
    run = record.by if going_on else None
    return Release(held.namespace, workload.uid, _scaled(workload, replicas), event, run)


def _freed(namespace: str, workload: Workload, record: Record) -> Release:
    """Take an old record off a workload that somebody else has brought to a standstill, and leave it there."""
    message = (
        f"freed {workload.reference} of an old record of {record.by.kind} {record.by.name}, which somebody had put "
        "back, as `kubectl rollout undo` does; it is not becalm that has stopped it, so it was not started"
    )
    event = Event("RecordPutBack", message, "Warning", workload.reference)
    return Release(namespace, workload.uid, _scaled(workload, 0), event)


def _scaled(workload: Workload, replicas: int) -> ScaleUp:
    return ScaleUp(workload.reference, workload.uid, workload.resource_version, replicas, workload.switch)
