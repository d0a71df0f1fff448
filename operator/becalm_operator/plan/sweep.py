"""What to start because nobody else will: workloads whose run is finished, gone, or past its deadline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from becalm_operator.api.record import Holder
from becalm_operator.plan import wording
from becalm_operator.plan.steps import Event, ScaleUp
from becalm_operator.plan.world import Held


@dataclass(frozen=True, slots=True)
class Release:
    """A workload to start, and what to tell about it. `action` None: its record makes no sense."""

    namespace: str
    uid: str
    action: ScaleUp | None
    event: Event
    run: Holder | None = None
    """The run that holds it, if that still goes on."""


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
    # somebody has scaled it up by hand already: their count stays, and only the record goes
    replicas = workload.replicas or record.replicas
    action = ScaleUp(workload.reference, workload.uid, workload.resource_version, replicas, workload.switch)
    event = Event("Released", f"{wording.started(workload, replicas)} {reason}", workload=workload.reference)
    going_on = held.run is not None and not held.run.phase.finished
    return Release(held.namespace, workload.uid, action, event, record.by if going_on else None)
