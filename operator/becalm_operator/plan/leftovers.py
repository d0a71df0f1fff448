"""What pods leave in a repository that were killed: their locks, which would stand in the way for half an hour."""

import dataclasses
from collections.abc import Sequence

from becalm_operator.manifests.jobs import breaking_locks
from becalm_operator.plan.steps import Action, ApplyJob, Plan, StatusT


def passed_over(plan: Plan[StatusT], gone: Sequence[str]) -> Plan[StatusT]:
    """Return a plan whose Jobs know which pods are gone, so that no lock of these keeps them out."""
    if not gone:
        return plan
    return dataclasses.replace(plan, actions=[_told(action, gone) for action in plan.actions])


def _told(action: Action, gone: Sequence[str]) -> Action:
    return ApplyJob(breaking_locks(action.job, gone)) if isinstance(action, ApplyJob) else action
