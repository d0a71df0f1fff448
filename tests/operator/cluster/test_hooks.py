"""What the process keeps of the hooks that it has begun."""

import asyncio
from typing import cast

from kubernetes.aio.client import ApiClient

from becalm_operator.cluster.hooks import Hooks
from becalm_operator.cluster.jobs import Jobs
from becalm_operator.plan.steps import RunCommand
from becalm_operator.settings import Settings
from tests.operator.cluster.lab import a_backup, a_backup_with_hooks


def hooks(*, enabled: bool = False) -> Hooks:
    settings = Settings(namespace="becalm", image="becalm:test", hooks_enabled=enabled)
    return Hooks(cast("ApiClient", object()), settings, cast("Jobs", object()))


async def test_a_fault_of_our_own_is_the_end_of_a_hook_and_told() -> None:
    kept, backup = hooks(), a_backup_with_hooks("shop", "b")

    await kept.apply("shop", "", RunCommand("before.one", "web-1", "", ("true",), 5.0))
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "hook before.one"])

    known = (await kept.look(backup)).known["before.one"]
    assert known.ended
    assert known.error == "a fault of becalm itself: AttributeError"


async def test_hooks_are_refused_where_the_operator_itself_runs() -> None:
    seen = await hooks(enabled=True).look(a_backup_with_hooks("becalm", "b"))

    assert not seen.enabled
    assert "where the operator itself runs" in seen.refusal


async def test_of_a_backup_without_hooks_nothing_is_asked() -> None:
    assert not (await hooks(enabled=True).look(a_backup("shop", "b"))).enabled


def test_each_process_has_a_name_of_its_own() -> None:
    async def name() -> str:
        return (await hooks().look(a_backup_with_hooks("shop", "b"))).process

    assert asyncio.run(name()) != asyncio.run(name())
