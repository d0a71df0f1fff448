"""A Backup's plans with the hooks that come before a stop, and after a start."""

from dataclasses import replace

from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.api.hooks import When
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import hooks
from becalm_operator.plan.hooks import Step
from becalm_operator.plan.run import SOON, WATCHING, changed, entered, failing
from becalm_operator.plan.steps import Plan, ScaleDown
from becalm_operator.plan.world import World

BackupPlan = Plan[BackupStatus]


def before_stop(
    backup: Backup, status: BackupStatus, owner: Owner, world: World, plan: BackupPlan
) -> BackupPlan:
    """Return what has to come before a plan of Quiescing: the hooks that are due, or else the plan itself."""
    if plan.status.reason:
        return plan
    due = [*hooks.of_run(backup.spec, When.BEFORE)]
    for action in plan.actions:
        if isinstance(action, ScaleDown):
            due += hooks.of_workload(backup.spec, When.BEFORE, action.workload)
    step = hooks.advance(due, status.hooks, owner, world)
    if step.failure:
        return Plan(failing(status, step.failure, world.now), again_seconds=SOON)
    if step.done:
        return plan
    hooked = changed(status, hooks=step.hooks)
    if step.hooks != status.hooks and not any(state.stopped_at for state in status.workloads):
        # nothing is stopped yet: what the hooks take is no downtime
        hooked = entered(hooked, Phase.QUIESCING, world.now)
    return _waiting(hooked, step, status)


def after_start(
    backup: Backup, status: BackupStatus, owner: Owner, world: World, plan: BackupPlan | None
) -> BackupPlan | None:
    """Return a plan of Resuming with the hooks that are due beside it. Nothing is held up by them but the run's end.

    `plan` None: all workloads are up; so returns this, once there is no hook left either.
    """
    step = hooks.abandon(backup.spec, status.hooks, owner, world)
    queues = hooks.due_after(backup.spec, status)
    done = True
    for queue in queues:
        step, over = _joined(step, hooks.advance(queue, step.hooks, owner, world))
        done = done and over
    if plan is None and done:
        last = hooks.of_run(backup.spec, When.AFTER)
        step, done = _joined(step, hooks.advance(last, step.hooks, owner, world))
    if done and step.hooks == status.hooks:
        return plan
    if plan is None:
        return _waiting(changed(status, hooks=step.hooks), step, status)
    return replace(
        plan,
        status=changed(plan.status, hooks=step.hooks),
        actions=(*plan.actions, *step.actions),
        events=(*plan.events, *step.events),
        again_seconds=min(plan.again_seconds or WATCHING, _again(step, status)),
    )


def _joined(one: Step, other: Step) -> tuple[Step, bool]:
    """Return two steps as one, and whether the second part is over."""
    actions, events = (*one.actions, *other.actions), (*one.events, *other.events)
    return Step(other.hooks, actions, events, current=other.current or one.current), other.done


def _waiting(status: BackupStatus, step: Step, before: BackupStatus) -> BackupPlan:
    message = status.message if status.reason or step.current is None else str(step.current)
    return Plan(
        changed(status, message=message), step.actions, step.events, again_seconds=_again(step, before)
    )


def _again(step: Step, before: BackupStatus) -> float:
    return SOON if step.actions or step.hooks != before.hooks else WATCHING
