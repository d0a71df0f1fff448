"""A run and its repository: it waits for one that is away, and makes no Jobs meanwhile."""

from datetime import datetime
from typing import Any

import pytest

from becalm_engine.contract import AccessReport, ExitCode, Problem
from becalm_operator.api import names
from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.api.base import time_text
from becalm_operator.api.conditions import Reason
from becalm_operator.api.limits import Needs
from becalm_operator.api.repository import BackupRepository
from becalm_operator.manifests.jobs import ACCESS
from becalm_operator.plan import backup
from becalm_operator.plan.steps import DeleteJob, Plan, RequestProbe
from tests.operator.plan.worlds import (
    NOW,
    a_backup,
    a_condition,
    a_repository,
    a_world,
    failed,
    jobs_made,
    later,
    opened,
)

AWAY = failed(ACCESS, AccessReport(exit_code=1, error=Problem("StorageUnavailable", "no route")))
LOCKED = failed(ACCESS, exit_code=ExitCode.LOCKED)
ASKED = time_text(NOW)
DOWN = a_repository(a_condition("False", Reason.STORAGE_UNAVAILABLE))


def asked_again(**status: Any) -> BackupRepository:
    found = a_repository(**status)
    metadata = found.metadata.model_copy(update={"annotations": {names.PROBE_ANNOTATION: ASKED}})
    return found.model_copy(update={"metadata": metadata})


def decide(run: Backup, **world: Any) -> Plan[BackupStatus]:
    return backup.decide(run, a_world(**world))


@pytest.mark.parametrize("job", [AWAY, LOCKED], ids=["away", "locked"])
def test_a_store_that_is_away_sends_a_run_back_to_wait_and_has_it_opened_again(job: Any) -> None:
    plan = decide(a_backup(Phase.PREFLIGHT, needs=Needs(movers=2)), jobs=[job])

    status = plan.status
    assert (status.phase, status.reason, status.repository_wait_since) == (Phase.PENDING, "", NOW)
    assert status.message.startswith("waiting for repository main: ")
    assert status.needs is None
    assert plan.actions == [RequestProbe("main"), DeleteJob(job.name)]
    assert plan.again_seconds


@pytest.mark.parametrize(
    ("repository", "waits"),
    [
        (asked_again(handled_request=""), True),
        (asked_again(handled_request=ASKED, probing=True), True),
        (asked_again(handled_request=ASKED), False),
        (a_repository(probing=True), False),
    ],
    ids=["not begun", "under way", "answered", "the hourly one"],
)
def test_a_run_begins_only_when_a_doubt_about_its_repository_has_an_answer(
    repository: BackupRepository, waits: bool
) -> None:
    plan = decide(a_backup(), repository=repository)

    assert (plan.status.phase is Phase.PENDING) is waits
    assert jobs_made(plan) == []


def wait(since: datetime | None, now: datetime) -> BackupStatus:
    return decide(a_backup(repository_wait_since=since), repository=DOWN, now=now).status


def test_the_patience_counts_from_when_the_repository_was_lost() -> None:
    night = later(hours=9)  # it has stood in a queue that long

    first = wait(None, night)

    assert (first.phase, first.repository_wait_since) == (Phase.PENDING, night)
    assert wait(night, later(hours=10)).phase is Phase.PENDING
    given_up = wait(night, later(hours=10, seconds=1))
    assert (given_up.phase, given_up.reason) == (Phase.FAILED, "RepositoryNotReady")
    assert given_up.message == "gave up after 60m of waiting for repository main: told"


def test_a_store_that_comes_and_goes_keeps_nobody_for_ever() -> None:
    run = a_backup(Phase.PREFLIGHT, repository_wait_since=NOW)

    plan = decide(run, jobs=[AWAY], now=later(hours=1, seconds=1))

    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, "RepositoryNotReady")


def test_a_repository_that_opens_ends_the_waiting() -> None:
    begun = decide(a_backup(repository_wait_since=NOW)).status
    assert (begun.phase, begun.repository_wait_since) == (Phase.PREFLIGHT, NOW)

    planned = decide(a_backup(Phase.PREFLIGHT, repository_wait_since=NOW), jobs=[opened()]).status

    assert planned.repository_wait_since is None
