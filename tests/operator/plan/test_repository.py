"""A repository is opened, made once, and watched."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import AccessReport, ExitCode, InitReport, Problem
from becalm_operator.api import names
from becalm_operator.api.conditions import Reason
from becalm_operator.api.repository import BackupRepository, BackupRepositoryStatus
from becalm_operator.manifests.jobs import ACCESS, INIT
from becalm_operator.plan import conditions, repository
from becalm_operator.plan.steps import DeleteJob, Plan
from becalm_operator.plan.world import JobState, RepositoryWorld
from tests.operator.plan import worlds
from tests.operator.plan.worlds import IMAGE, NOW, REPOSITORY_ID, jobs_made, later, told

RepositoryPlan = Plan[BackupRepositoryStatus]
ME = ("main", "uid-main")


def a_repository(
    *, spec: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **status: Any
) -> BackupRepository:
    made = worlds.a_repository()
    fields = {**made.spec.model_dump(), **(spec or {})}
    return BackupRepository.model_validate(
        {"metadata": worlds.a_metadata("main", **(meta or {})), "spec": fields, "status": status}
    )


def probing(*, spec: dict[str, Any] | None = None, **status: Any) -> BackupRepository:
    return a_repository(spec=spec, **{"probe": 1, "probing": True, "last_probe_time": NOW, **status})


def ready(**status: Any) -> BackupRepository:
    known = conditions.merged((), "Ready", holds=True, reason=Reason.READY, message="", generation=1, now=NOW)
    fields = {"conditions": known, "repository_id": REPOSITORY_ID, "last_probe_time": NOW, "probe": 1}
    return a_repository(**{**fields, **status})


def decide(what: BackupRepository, *jobs: JobState, now: datetime = NOW) -> RepositoryPlan:
    return repository.decide(what, RepositoryWorld(now, IMAGE, {job.name: job for job in jobs}))


def opened(found: str = REPOSITORY_ID, part: str = "1") -> JobState:
    return worlds.succeeded(ACCESS, AccessReport(repository_id=found, version=2), part, owner=ME)


def refused(
    code: int, role: str = ACCESS, part: str = "1", error: str = "Some", message: str = "no"
) -> JobState:
    report = AccessReport(exit_code=code, error=Problem(error, message))
    return worlds.failed(role, report, part, owner=ME, exit_code=code)


MISSING = refused(ExitCode.NO_REPOSITORY)


# --- when it is opened


def test_a_new_repository_is_opened_at_once() -> None:
    first = decide(a_repository())
    second = decide(probing())

    assert (first.status.probe, first.status.probing, told(first)) == (1, True, ("Unknown", "Probing"))
    assert jobs_made(second) == [ACCESS]


def test_an_opening_that_goes_on_is_waited_for() -> None:
    plan = decide(probing(), worlds.a_job(ACCESS, "1", owner=ME, active=True))

    assert plan.actions == ()
    assert plan.again_seconds


def test_a_repository_that_opens_is_ready_and_its_id_is_pinned() -> None:
    plan = decide(probing(), opened())

    assert told(plan) == ("True", "Ready")
    assert (plan.status.repository_id, plan.status.probing, plan.status.failures) == (REPOSITORY_ID, False, 0)
    assert [event.reason for event in plan.events] == ["Ready"]


def test_a_ready_repository_is_opened_again_after_an_hour() -> None:
    assert decide(ready(), now=later(minutes=59)).status.probing is False
    assert decide(ready(), now=later(minutes=59)).again_seconds == 60
    assert decide(ready(), now=later(minutes=60)).status.probe == 2


def test_a_ready_repository_stays_ready_while_it_is_opened_again() -> None:
    begun = decide(ready(), now=later(hours=1))
    stuck = decide(ready(probing=True), worlds.a_job(ACCESS, "1", owner=ME, stuck="Unschedulable"))

    assert told(begun) == ("True", "Ready")
    assert told(stuck) == ("True", "Ready")


def test_a_changed_spec_is_looked_at_at_once() -> None:
    changed = ready().model_copy(update={"metadata": ready().metadata.model_copy(update={"generation": 2})})

    assert decide(changed).status.probing


def test_a_request_is_handled_once() -> None:
    asked = a_repository(
        meta={"annotations": {names.PROBE_ANNOTATION: "today"}}, **ready().status.model_dump(by_alias=False)
    )

    plan = decide(asked)

    assert (plan.status.probing, plan.status.handled_request) == (True, "today")
    handled = asked.model_copy(update={"status": plan.status.model_copy(update={"probing": False})})
    assert not decide(handled).status.probing


def test_a_deleted_repository_is_left_alone() -> None:
    plan = decide(a_repository(meta={"deletionTimestamp": NOW}))

    assert plan.actions == ()
    assert not plan.status.probing


def test_the_jobs_of_the_opening_before_are_cleared_away() -> None:
    before = opened()

    assert decide(ready(), before, now=later(hours=2)).actions == (DeleteJob(before.name),)


# --- when it is made


def test_a_repository_that_is_not_there_is_made() -> None:
    plan = decide(probing(), MISSING)

    assert jobs_made(plan) == [INIT]
    assert told(plan) == ("Unknown", "Initialising")


def test_a_repository_that_was_made_is_ready() -> None:
    made = worlds.succeeded(INIT, InitReport(repository_id=REPOSITORY_ID), "1", owner=ME)

    plan = decide(probing(), MISSING, made)

    assert told(plan) == ("True", "Ready")
    assert plan.status.repository_id == REPOSITORY_ID


def test_one_that_was_there_once_is_never_made_anew() -> None:
    plan = decide(probing(repository_id=REPOSITORY_ID), MISSING)

    assert jobs_made(plan) == []
    assert told(plan) == ("False", "RepositoryMissing")


def test_nothing_is_made_where_the_spec_forbids_it() -> None:
    plan = decide(probing(spec={"create": False}), MISSING)

    assert jobs_made(plan) == []
    assert told(plan) == ("False", "RepositoryMissing")


def test_nothing_is_made_for_an_exit_without_a_report_of_absence() -> None:
    vague = worlds.failed(ACCESS, "", "1", owner=ME, exit_code=1)

    assert jobs_made(decide(probing(), vague)) == []


def test_a_making_that_fails_says_why() -> None:
    plan = decide(probing(), MISSING, refused(1, INIT, error="StorageDenied", message="403"))

    assert told(plan) == ("False", "RepositoryNotReady")  # an init's report is of another kind
    assert plan.status.failures == 1


# --- when it does not open


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (refused(ExitCode.WRONG_PASSWORD), "WrongPassword"),
        (refused(ExitCode.LOCKED), "RepositoryLocked"),
        (refused(1, error="StorageUnavailable"), "StorageUnavailable"),
        (refused(1, error="StorageDenied"), "StorageDenied"),
        (refused(1, error="Damaged"), "RepositoryDamaged"),
        (worlds.failed(ACCESS, "", "1", owner=ME, exit_code=None), "RepositoryNotReady"),
        (worlds.succeeded(ACCESS, "", "1", owner=ME), "RepositoryNotReady"),
    ],
)
def test_a_repository_that_does_not_open_is_not_ready(job: JobState, reason: str) -> None:
    plan = decide(probing(), job)

    assert told(plan) == ("False", reason)
    assert (plan.status.failures, plan.status.probing) == (1, False)
    assert [event.type for event in plan.events] == ["Warning"]


def test_another_repository_at_the_place_is_refused() -> None:
    plan = decide(probing(repository_id=REPOSITORY_ID), opened("cd" * 32))

    assert told(plan) == ("False", "RepositoryReplaced")
    assert plan.status.repository_id == REPOSITORY_ID


def test_a_missing_secret_is_told_at_once_and_its_job_taken_away() -> None:
    stuck = worlds.a_job(ACCESS, "1", owner=ME, stuck='FailedMount: secret "password" not found')

    plan = decide(probing(), stuck)

    assert told(plan) == ("False", "SecretNotFound")
    assert plan.actions == (DeleteJob(stuck.name),)


def test_what_keeps_the_first_opening_from_starting_is_shown() -> None:
    waiting = conditions.merged(
        (), "Ready", holds=None, reason=Reason.PROBING, message="", generation=1, now=NOW
    )
    stuck = worlds.a_job(ACCESS, "1", owner=ME, stuck="ErrImagePull: no such image")

    plan = decide(probing(conditions=waiting), stuck)

    assert plan.status.conditions[0].message == "ErrImagePull: no such image"


def test_the_same_failure_again_is_no_new_event() -> None:
    failing = decide(probing(), MISSING, refused(1, INIT)).status
    again = probing(**failing.model_copy(update={"probing": True}).model_dump())

    assert decide(again, MISSING, refused(1, INIT)).events == ()


def test_retries_come_at_growing_intervals_up_to_a_bound() -> None:
    waits = [
        repository.time_to_probe(ready(failures=failures), NOW).total_seconds() for failures in range(1, 9)
    ]

    assert waits[:5] == [15, 30, 60, 120, 240]
    assert waits[5:] == [300, 300, 300]


# --- properties

_JOBS = st.sets(
    st.sampled_from(
        [
            opened(),
            opened("cd" * 32),
            MISSING,
            refused(1),
            refused(ExitCode.LOCKED),
            worlds.a_job(ACCESS, "1", owner=ME),
        ]
    ),
    max_size=1,
)


@given(_JOBS, st.sampled_from(["", REPOSITORY_ID]), st.booleans(), st.booleans(), st.integers(0, 9000))
def test_a_pinned_id_never_changes_and_nothing_is_made_over_it(
    jobs: set[JobState], pinned: str, create: bool, is_probing: bool, seconds: int
) -> None:
    what = probing(spec={"create": create}, repository_id=pinned, probing=is_probing)

    plan = decide(what, *jobs, now=later(seconds=seconds))

    assert not pinned or plan.status.repository_id == pinned
    assert INIT not in jobs_made(plan) or (create and not pinned and MISSING in jobs)
    assert plan == decide(what, *jobs, now=later(seconds=seconds))
    assert plan.again_seconds is not None


@pytest.mark.parametrize(
    ("failure", "helps"),
    [
        (refused(ExitCode.WRONG_PASSWORD), "no; see key password of Secret password"),
        (
            refused(1, error="StorageDenied"),
            "no; see the keys in Secret s3, and what it may do in bucket backups",
        ),
        (
            refused(1, error="StorageUnavailable"),
            "no; see spec.storage and the network: it is tried again by itself",
        ),
        (refused(1, error="Damaged"), "no"),
    ],
)
def test_where_to_look_is_told(failure: JobState, helps: str) -> None:
    plan = decide(probing(), failure)

    assert plan.status.conditions[0].message.endswith(helps)
