"""Pods that are gone: Jobs are told, so that no lock of theirs keeps one out."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.plan import backup, leftovers, repository, restore
from becalm_operator.plan.steps import Action, ApplyJob, DeleteJob, Plan, RequestProbe
from becalm_operator.plan.world import RepositoryWorld
from tests.operator.manifests.examples import command_of
from tests.operator.plan import worlds
from tests.operator.plan.worlds import IMAGE, NOW

GONE = st.lists(st.from_regex(r"[a-z]{1,20}-[a-z0-9]{5}", fullmatch=True), max_size=5, unique=True)


def told(actions: list[Action]) -> list[str]:
    words = [word for action in actions if isinstance(action, ApplyJob) for word in command_of(action.job)]
    return [word.removeprefix("--gone-host=") for word in words if word.startswith("--gone-host=")]


@given(GONE)
def test_the_jobs_of_every_run_and_repository_know_who_is_gone(gone: list[str]) -> None:
    world = dataclasses.replace(worlds.a_world(), gone=tuple(gone))

    opening = backup.decide(worlds.a_backup(Phase.PREFLIGHT), world)
    restoring = restore.decide(
        worlds.a_restore(Phase.RESTORING, workloads=(), targets=worlds.targets()),
        dataclasses.replace(world, pods=()),
    )
    probing = worlds.a_repository()
    status = probing.status.model_copy(update={"probing": True, "probe": 1})
    probe = repository.decide(
        probing.model_copy(update={"status": status}), RepositoryWorld(NOW, IMAGE, {}, tuple(gone))
    )

    assert [told([*plan.actions]) for plan in (opening, restoring, probe)] == [gone] * 3


def test_other_actions_are_as_they_were() -> None:
    asked = Plan(BackupStatus(), (DeleteJob("a"), RequestProbe("main")))

    assert list(leftovers.passed_over(asked, ("b",)).actions) == [DeleteJob("a"), RequestProbe("main")]
