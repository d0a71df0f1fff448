"""Runs with hooks, and worlds in which they are due."""

from dataclasses import replace
from typing import Any

from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.api.hooks import HookStatus, Outcome, When
from becalm_operator.plan import backup
from becalm_operator.plan.steps import Plan
from becalm_operator.plan.world import Hooking, HookState, World
from tests.operator.plan.worlds import NOW, a_backup, a_pod, a_world, planned, volumes

EXEC = {"command": ["flush"]}
_AT_DB = {"workload": {"kind": "StatefulSet", "name": "db"}, "command": ["lock"]}
_JOB = {"template": {"spec": {"containers": [{"name": "own", "image": "own:1"}]}}}
_READY = (
    a_pod("db-0", "statefulset/db", "data-db-0", ready=True),
    a_pod("web-1", "deployment/web", "uploads", ready=True),
    a_pod("web-0", "deployment/web", "uploads", ready=False),
)
HERE = Hooking(enabled=True, process="here")


def hooked(
    phase: Phase = Phase.QUIESCING,
    *,
    before: list[dict[str, Any]] | None = None,
    after: list[dict[str, Any]] | None = None,
    of_web: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **status: Any,
) -> Backup:
    workloads = [
        {"kind": "Deployment", "name": "web", "hooks": of_web or {}},
        {"kind": "StatefulSet", "name": "db"},
    ]
    hooks = {"before": before or [], "after": after or []}
    spec = {"workloads": workloads, "hooks": hooks, **(more or {})}
    return a_backup(phase, spec=spec, **{"workloads": planned(), "volumes": volumes(tree=""), **status})


def here(*workloads: Any, known: dict[str, HookState] | None = None, **more: Any) -> World:
    hooks = replace(HERE, known=known or {})
    return a_world(*workloads, **{"pods": _READY, "hooks": hooks, **more})


def a_lock(**more: Any) -> dict[str, Any]:
    return {"name": "lock", "exec": _AT_DB, **more}


def begun(name: str = "lock", when: When = When.BEFORE, **more: Any) -> HookStatus:
    fields = {"started_at": NOW, "started_by": "here", "pod": "db-0", **more}
    return HookStatus(name=name, when=when, **fields)


def over(name: str = "lock", when: When = When.BEFORE, **more: Any) -> HookStatus:
    return begun(name, when, **{"finished_at": NOW, "outcome": Outcome.SUCCEEDED, **more})


def decide(run: Backup, world: World) -> Plan[BackupStatus]:
    return backup.decide(run, world)


def kinds(plan: Plan[Any]) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


def a_job_hook(**more: Any) -> dict[str, Any]:
    return {"name": "own", "job": _JOB, **more}
