"""What is told of workloads that the API server did not let be stopped or started."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from becalm_operator.api.backup import RunStatus, WorkloadReference
from becalm_operator.api.base import to_utc
from becalm_operator.plan.steps import Event, Plan

_REFUSED_SECONDS = 2.0
"""After how long to try again to stop what was refused."""

S = TypeVar("S", bound=RunStatus)


def unstopped(plan: Plan[S], before: RunStatus, errors: Mapping[str, str], now: datetime) -> Plan[S]:
    """Return what may be told of a plan when some workloads could not be stopped; `errors` has why, by their names."""
    plan = _refused(plan, before, errors)
    at = to_utc(now)
    workloads = tuple(
        state.model_copy(update={"refused_since": state.refused_since or at, "refused_at": at})
        if str(state.reference) in errors
        else state
        for state in plan.status.workloads
    )
    told = plan.status.model_copy(update={"workloads": workloads})
    return replace(plan, status=told, again_seconds=_REFUSED_SECONDS)


def unstarted(plan: Plan[S], before: RunStatus, errors: Mapping[str, str]) -> Plan[S]:
    """Return what may be told of a plan when some workloads could not be started; `errors` has why, by their names."""
    news = [state.reference for state in before.workloads if not state.error]
    told = [_unstarted(one, errors[str(one)]) for one in news if str(one) in errors]
    plan = _refused(plan, before, errors)
    return replace(plan, events=[*plan.events, *told])


def _refused(plan: Plan[S], before: RunStatus, errors: Mapping[str, str]) -> Plan[S]:
    """Return a plan without what it says of workloads that were not let be changed; they say why instead."""
    known = {str(state.reference): state for state in before.workloads}
    workloads = tuple(
        state.model_copy(update={"released_at": known[name].released_at, "error": errors[name]})
        if (name := str(state.reference)) in errors
        else state
        for state in plan.status.workloads
    )
    events = [event for event in plan.events if str(event.workload) not in errors]
    return replace(plan, status=plan.status.model_copy(update={"workloads": workloads}), events=events)


def _unstarted(workload: WorkloadReference, why: str) -> Event:
    told = f"{workload} could not be started, and is tried again: {why}"
    return Event("NotStarted", told, "Warning", workload)
