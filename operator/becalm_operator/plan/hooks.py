"""Hooks of a Backup: which are due, and how one goes from being begun to its end.

A hook is begun in two steps: that it was begun is written to status, and what is done about it comes a step later. So
nobody begins it twice. A Job is found again by its name; how a command has ended knows only the process of the operator
that has run it, and one that began under another process is not repeated: its outcome is Unknown.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from kubernetes.aio.client import V1Job

from becalm_operator.api import names
from becalm_operator.api.backup import BackupSpec, BackupStatus, WorkloadReference, WorkloadStatus
from becalm_operator.api.base import parse_duration, to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.hooks import (
    LONGEST_TIMEOUT,
    MOST_OUTPUT_CHARS,
    AfterHook,
    BeforeHook,
    ExecHook,
    HookStatus,
    Outcome,
    When,
)
from becalm_operator.manifests.hooks import HOOK, http_job, own_job
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.preflight import RefusalError, refuse_missing
from becalm_operator.plan.steps import Action, ApplyHookJob, DeleteJob, EndCommand, Event, RunCommand
from becalm_operator.plan.world import HookState, JobState, Pod, World

_MOST_MESSAGE_CHARS = 512
_SPARE_SECONDS = 60
"""How long after its timeout a command is still waited for: its own time ends it, counted from when it began."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook and its place. `part` tells it apart from all others of its Backup; `workload` None: of the whole run."""

    when: When
    part: str
    spec: BeforeHook | AfterHook
    workload: WorkloadReference | None = None

    def __str__(self) -> str:
        owner = f" of {self.workload}" if self.workload else ""
        return f"{self.when.lower()}-hook {self.spec.name}{owner}"

    @property
    def timeout_seconds(self) -> int:
        """How long it may take; the API server takes no longer ones, but an object may be older than its rules."""
        wanted = min(parse_duration(self.spec.timeout), parse_duration(LONGEST_TIMEOUT))
        return int(wanted.total_seconds())


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a look at some hooks. `done`: all of them have ended."""

    hooks: tuple[HookStatus, ...]
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    done: bool = False
    failure: Failure | None = None
    current: Hook | None = None


# --- which there are


def of_run(spec: BackupSpec, when: When) -> tuple[Hook, ...]:
    """Return the hooks of the whole run."""
    return tuple(Hook(when, f"{when.lower()}.{one.name}", one) for one in getattr(spec.hooks, when.lower()))


def of_workload(spec: BackupSpec, when: When, reference: WorkloadReference) -> tuple[Hook, ...]:
    """Return the hooks of one workload."""
    wanted = str(reference)
    positions = (at for at, workload in enumerate(spec.workloads) if str(workload) == wanted)
    return tuple(hook for position in positions for hook in _of_position(spec, when, position))


def _of_position(spec: BackupSpec, when: When, position: int) -> Iterator[Hook]:
    workload = spec.workloads[position]
    for one in getattr(workload.hooks, when.lower()):
        yield Hook(when, f"{when.lower()}.{one.name}.{position}", one, workload)


def of_all(spec: BackupSpec) -> tuple[Hook, ...]:
    """Return all hooks of a Backup."""
    found = [*of_run(spec, When.BEFORE), *of_run(spec, When.AFTER)]
    for position in range(len(spec.workloads)):
        found += [*_of_position(spec, When.BEFORE, position), *_of_position(spec, When.AFTER, position)]
    return tuple(found)


def due_after(spec: BackupSpec, status: BackupStatus) -> list[tuple[Hook, ...]]:
    """Return the after-hooks of each workload that is up again, or never went down though a before-hook had begun."""
    due = []
    for state in status.workloads:
        up = state.started_at is not None or (state.stopped_at is None and _was_begun(status, state))
        if up:
            due.append(of_workload(spec, When.AFTER, state.reference))
    return due


def _was_begun(status: BackupStatus, state: WorkloadStatus) -> bool:
    return any(hook.workload == str(state.reference) and hook.when is When.BEFORE for hook in status.hooks)


def parts_over(spec: BackupSpec, status: BackupStatus) -> frozenset[str]:
    """Return the parts of the hooks whose end is written down."""
    found = ((hook.part, _find(status.hooks, hook)) for hook in of_all(spec))
    return frozenset(part for part, told in found if told is not None and told.finished_at is not None)


# --- what is refused


def refuse(spec: BackupSpec, owner: Owner, world: World) -> None:
    """Refuse hooks that could not be done.

    Raises:
        RefusalError: With the first of them.
    """
    hooks = of_all(spec)
    if not hooks:
        return
    if not world.hooks.enabled:
        why = "the Backup has hooks, which are not enabled here: hooks.enabled in the values of the chart"
        raise RefusalError(Failure(Reason.HOOKS_NOT_ALLOWED, world.hooks.refusal or why))
    if world.hooks.refusal and any(hook.spec.exec for hook in hooks):
        raise RefusalError(Failure(Reason.HOOKS_NOT_ALLOWED, world.hooks.refusal))
    refuse_missing(world, [h.spec.exec.workload for h in hooks if h.spec.exec and h.spec.exec.workload])
    for hook in hooks:
        if fault := _fault(hook, spec, owner, world):
            raise RefusalError(Failure(Reason.INVALID_HOOK, f"{hook}: {fault}"))


def _fault(hook: Hook, spec: BackupSpec, owner: Owner, world: World) -> str:
    """Return what is wrong with a hook, or nothing."""
    if sum(one is not None for one in (hook.spec.exec, hook.spec.http, hook.spec.job)) != 1:
        return "it has to be exactly one of exec, http and job"
    if hook.timeout_seconds <= 0:
        return "its timeout has to be more than 0"
    longest = parse_duration(spec.quiesce.max_downtime)
    if hook.when is When.BEFORE and hook.timeout_seconds >= longest.total_seconds():
        return f"its timeout ({hook.spec.timeout}) has to be below maxDowntime ({spec.quiesce.max_downtime})"
    if hook.spec.exec:
        aimed = hook.spec.exec.workload or hook.spec.exec.pod_selector or hook.workload
        return "" if aimed else "exec needs a workload or a podSelector"
    try:
        _job(hook, owner, world)
    except ValueError as error:
        return f"{'http.caBundle' if hook.spec.http else 'job.template'}: {error}"
    return ""


# --- going on


def advance(hooks: Iterable[Hook], statuses: tuple[HookStatus, ...], owner: Owner, world: World) -> Step:
    """Take the first hook that has not ended a step further; the next one waits for it."""
    for hook in hooks:
        status = _find(statuses, hook)
        if status is None:
            return _told(hook, statuses, _stamped(hook, world))
        if status.finished_at is None:
            after, actions = _looked_at(hook, status, owner, world)
            return replace(_told(hook, statuses, after), actions=actions)
        if failure := _failure(hook, status):
            return Step(statuses, failure=failure, current=hook)
    return Step(statuses, done=True)


def abandon(spec: BackupSpec, statuses: tuple[HookStatus, ...], owner: Owner, world: World) -> Step:
    """End the before-hooks that go on although the run does not wait for them any more."""
    step = Step(statuses)
    for hook in of_all(spec):
        status = _find(step.hooks, hook)
        if hook.when is When.AFTER or status is None or status.finished_at is not None:
            continue
        after, actions = _looked_at(hook, status, owner, world)
        if after.finished_at is None:
            after = _ended(status, world.now, Outcome.UNKNOWN, "the run ended before it did")
            actions = (DeleteJob(_job_name(hook, owner)), EndCommand(hook.part))
        told = _told(hook, step.hooks, after)
        step = Step(told.hooks, (*step.actions, *actions), (*step.events, *told.events))
    return step


def _find(statuses: Iterable[HookStatus], hook: Hook) -> HookStatus | None:
    place = (hook.when, hook.spec.name, str(hook.workload or ""))
    return next((one for one in statuses if (one.when, one.name, one.workload) == place), None)


def _told(hook: Hook, statuses: tuple[HookStatus, ...], status: HookStatus) -> Step:
    """Return the statuses with one of them as it is now, and what people are told if it has ended."""
    before = _find(statuses, hook)
    kept = tuple(status if one is before else one for one in statuses)
    events = (_event(hook, status),) if status.finished_at else ()
    return Step(kept if before is not None else (*statuses, status), events=events, current=hook)


def _event(hook: Hook, status: HookStatus) -> Event:
    told = f"{hook}: {status.message}" + (f"; its output ends with: {status.output}" if status.output else "")
    if status.outcome is Outcome.SUCCEEDED:
        return Event("HookSucceeded", told)
    return Event("HookFailed", told, "Warning")


def _failure(hook: Hook, status: HookStatus) -> Failure | None:
    """Return why a run cannot go on after a hook. An after-hook's end is told, and that is all."""
    if status.outcome is Outcome.SUCCEEDED or not isinstance(hook.spec, BeforeHook):
        return None
    if hook.spec.on_error == "Continue":
        return None
    output = f": {status.output[-_MOST_MESSAGE_CHARS:]}" if status.output else ""
    return Failure(Reason.HOOK_FAILED, f"{hook}: {status.message}{output}")


def complaints(status: BackupStatus) -> str:
    """Return what went wrong with after-hooks, to follow the summary of a good backup; nothing if all is well."""
    bad = [one for one in status.hooks if one.when is When.AFTER and one.outcome is not Outcome.SUCCEEDED]
    told = [
        f"after-hook {one.name}{f' of {one.workload}' if one.workload else ''}: {one.message}" for one in bad
    ]
    return f"; but {'; '.join(told)}" if told else ""


def _stamped(hook: Hook, world: World) -> HookStatus:
    """Write down that a hook is begun. Nothing is done about it yet."""
    status = HookStatus(
        name=hook.spec.name,
        when=hook.when,
        workload=str(hook.workload or ""),
        started_at=to_utc(world.now),
    )
    if hook.spec.exec is None:
        return status
    pod = _target(hook, hook.spec.exec, world)
    if pod is None:
        return _ended(
            status, world.now, Outcome.FAILED, f"there is no Ready pod {_aim(hook, hook.spec.exec)}"
        )
    return status.model_copy(update={"started_by": world.hooks.process, "pod": pod.name})


def _target(hook: Hook, command: ExecHook, world: World) -> Pod | None:
    """Return the pod that a command runs in: never one of becalm's own, which hold the repository's Secrets."""
    fitting = [
        pod
        for pod in world.pods
        if pod.ready and names.OWNER_UID_LABEL not in pod.labels and _fits(pod, hook, command)
    ]
    return min(fitting, key=lambda pod: pod.name, default=None)


def _fits(pod: Pod, hook: Hook, command: ExecHook) -> bool:
    if command.pod_selector is not None:
        return command.pod_selector.match_labels.items() <= pod.labels.items()
    return pod.owner == str(command.workload or hook.workload)


def _aim(hook: Hook, command: ExecHook) -> str:
    if command.pod_selector is not None:
        labels = ",".join(f"{key}={value}" for key, value in command.pod_selector.match_labels.items())
        return f"with labels {labels}"
    return f"of {command.workload or hook.workload}"


def _looked_at(
    hook: Hook, status: HookStatus, owner: Owner, world: World
) -> tuple[HookStatus, tuple[Action, ...]]:
    """Return how a hook that was begun stands, and what to do about it."""
    if hook.spec.exec is not None:
        return _command(hook, hook.spec.exec, status, world)
    job = world.jobs.get(_job_name(hook, owner))
    if job is not None:
        return _of_job(hook, status.model_copy(update={"job": job.name}), job, world)
    if status.job:
        return _ended(status, world.now, Outcome.UNKNOWN, f"Job {status.job} was deleted by somebody"), ()
    refused = world.hooks.known.get(hook.part)
    if refused is not None and refused.error:
        return _ended(status, world.now, Outcome.FAILED, refused.error), ()
    if _is_late(hook, status, world.now):
        late = f"its Job could not be made within {hook.spec.timeout}"
        return _ended(status, world.now, Outcome.TIMED_OUT, late), ()
    return _made(hook, status, owner, world)


def _made(
    hook: Hook, status: HookStatus, owner: Owner, world: World
) -> tuple[HookStatus, tuple[Action, ...]]:
    try:
        job = _job(hook, owner, world)
    except ValueError as error:  # another version has let it pass; what is down must be started all the same
        return _ended(status, world.now, Outcome.FAILED, f"job.template: {error}"), ()
    return status, (ApplyHookJob(hook.part, job),)


def _is_late(hook: Hook, status: HookStatus, now: datetime, spare_seconds: int = 0) -> bool:
    return (now - status.started_at).total_seconds() > hook.timeout_seconds + spare_seconds


def _command(
    hook: Hook, command: ExecHook, status: HookStatus, world: World
) -> tuple[HookStatus, tuple[Action, ...]]:
    if status.started_by != world.hooks.process:
        lost = "the operator was restarted while it ran, so nobody knows how it ended; it is not repeated"
        return _ended(status, world.now, Outcome.UNKNOWN, lost), ()
    known = world.hooks.known.get(hook.part)
    if known is None:
        run = RunCommand(
            hook.part, status.pod, command.container, command.command, float(hook.timeout_seconds)
        )
        return status, (run,)
    if not known.ended and _is_late(hook, status, world.now, _SPARE_SECONDS):
        lost = f"the end of the command in pod {status.pod} was never told"
        return _ended(status, world.now, Outcome.UNKNOWN, lost), (EndCommand(hook.part),)
    return (_of_command(hook, status, known, world.now) if known.ended else status), ()


def _of_command(hook: Hook, status: HookStatus, known: HookState, now: datetime) -> HookStatus:
    if known.timed_out:
        told = f"the command in pod {status.pod} did not end within {hook.spec.timeout}; it may still run"
        return _ended(status, now, Outcome.TIMED_OUT, told, known.output)
    if known.error:
        return _ended(status, now, Outcome.FAILED, known.error, known.output)
    if known.exit_code is None:
        lost = f"the connection to the command in pod {status.pod} was lost, so nobody knows how it ended"
        return _ended(status, now, Outcome.UNKNOWN, lost, known.output)
    if known.exit_code == 0:
        return _ended(
            status, now, Outcome.SUCCEEDED, f"the command in pod {status.pod} succeeded", known.output
        )
    told = f"the command in pod {status.pod} ended with exit code {known.exit_code}"
    return _ended(status, now, Outcome.FAILED, told, known.output)


def _of_job(
    hook: Hook, status: HookStatus, job: JobState, world: World
) -> tuple[HookStatus, tuple[Action, ...]]:
    """Return how a hook's Job stands. Its pod has to be gone: it may write to a volume."""
    if job.finished and not job.active:
        return _of_ended_job(status, job, world.now), ()
    if not _is_late(hook, status, world.now):
        return status, ()
    stuck = f": {job.stuck}" if job.stuck else ""
    late = f"Job {job.name} did not end within {hook.spec.timeout}{stuck}"
    return _ended(status, world.now, Outcome.TIMED_OUT, late), (DeleteJob(job.name),)


def _of_ended_job(status: HookStatus, job: JobState, now: datetime) -> HookStatus:
    if job.succeeded:
        return _ended(status, now, Outcome.SUCCEEDED, f"Job {job.name} succeeded", job.report)
    how = "failed" if job.exit_code is None else f"ended with exit code {job.exit_code}"
    return _ended(status, now, Outcome.FAILED, f"Job {job.name} {how}", job.report)


def _ended(status: HookStatus, now: datetime, outcome: Outcome, message: str, output: str = "") -> HookStatus:
    """Return a status of a hook that has ended. What others have written is made harmless for a terminal."""
    return status.model_copy(
        update={
            "finished_at": to_utc(now),
            "outcome": outcome,
            "message": harmless(message)[:_MOST_MESSAGE_CHARS],
            "output": harmless(output.strip())[-MOST_OUTPUT_CHARS:],
        }
    )


def harmless(text: str) -> str:
    """Return a text with all but what can be seen, and ends of lines, spelled out."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape", "replace").decode()
        for char in text.encode(errors="replace").decode()
    )


def _job_name(hook: Hook, owner: Owner) -> str:
    return job_name(owner.name, owner.uid, HOOK, hook.part)


def _job(hook: Hook, owner: Owner, world: World) -> V1Job:
    if hook.spec.http is not None:
        return http_job(owner, hook.part, hook.spec.http, hook.timeout_seconds, world.image)
    assert hook.spec.job is not None
    return own_job(owner, hook.part, hook.spec.job, hook.timeout_seconds)
