"""What the API server refuses: Jobs that are not made, and workloads that are not started."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from becalm_operator.api.backup import Backup, Phase, Quiesce, WorkloadStatus
from becalm_operator.api.dumps import DumpStatus
from becalm_operator.api.record import Holder
from becalm_operator.manifests.dumps import DUMP
from becalm_operator.manifests.jobs import ACCESS, COMMIT, FORGET, INIT, MOVER, RESTORE, attempt_part
from becalm_operator.plan import backup, conditions, quiesce, repository, restore, run, unscaled
from becalm_operator.plan.outcome import cannot_start
from becalm_operator.plan.quiesce import Run, Step
from becalm_operator.plan.run import SOON, WAITING, WATCHED
from becalm_operator.plan.steps import Event, Plan, ScaleUp
from becalm_operator.plan.world import JobState, RepositoryWorld, World
from tests.operator.plan.worlds import (
    DB,
    IMAGE,
    NOW,
    UID,
    WEB,
    a_backup,
    a_job,
    a_record,
    a_repository,
    a_restore,
    a_schedule,
    a_world,
    all_captured,
    committed,
    db,
    failed,
    held_db,
    held_web,
    jobs_made,
    later,
    planned,
    role_of,
    stopped,
    targets,
    volumes,
    web,
)

QUOTA = "making Job shop/x: exceeded quota: count/jobs.batch=9"
DENIED = "admission webhook denied the request"
RUN = Run(Holder(kind="Backup", name="b", uid=UID), "shop", Quiesce())
DUMPED = {
    "dumps": [
        {"name": "main", "filename": "all.sql", "container": {"image": "postgres", "command": ["dump"]}}
    ]
}


def refused(role: str, part: str = "", **more: Any) -> JobState:
    return a_job(role, part, **{"refused": True, "stuck": QUOTA, **more})


# --- Jobs


def opening(*jobs: JobState, now: datetime) -> Plan[Any]:
    return backup.decide(a_backup(Phase.PREFLIGHT), a_world(jobs=jobs, now=now))


def dumping(*jobs: JobState, now: datetime) -> Plan[Any]:
    made = a_backup(
        Phase.PREPARING, spec=DUMPED, dumps=(DumpStatus(name="main", path="/all.sql"),), workloads=planned()
    )
    return backup.decide(made, a_world(jobs=jobs, now=now))


def preparing(*jobs: JobState, now: datetime) -> Plan[Any]:
    made = a_backup(Phase.PREPARING, volumes=volumes()[:1], workloads=planned())
    return backup.decide(made, a_world(jobs=jobs, now=now))


def uploading(*jobs: JobState, now: datetime) -> Plan[Any]:
    made = a_backup(Phase.UPLOADING, volumes=volumes(tree="")[:1], workloads=planned())
    return backup.decide(made, a_world(jobs=jobs, now=now))


def committing(*jobs: JobState, now: datetime) -> Plan[Any]:
    made = a_backup(Phase.FINISHING, volumes=volumes(), workloads=planned())
    return backup.decide(made, a_world(jobs=(*all_captured(), *jobs), now=now))


def restoring(*jobs: JobState, now: datetime) -> Plan[Any]:
    return restore.decide(
        a_restore(Phase.RESTORING, targets=targets()), a_world(web(0), db(), jobs=jobs, now=now)
    )


DECISIONS: dict[str, tuple[Callable[..., Plan[Any]], JobState]] = {
    ACCESS: (opening, refused(ACCESS)),
    DUMP: (dumping, refused(DUMP, "main")),
    MOVER: (preparing, refused(MOVER, "uploads")),
    "the mover of a snapshot": (uploading, refused(MOVER, "uploads")),
    COMMIT: (committing, refused(COMMIT)),
    RESTORE: (restoring, a_job(RESTORE, "uploads", owner=("r", "uid-r"), refused=True, stuck=QUOTA)),
}


@pytest.mark.parametrize("what", DECISIONS)
def test_a_refused_job_is_asked_for_again_for_five_minutes_and_shown(what: str) -> None:
    decide, job = DECISIONS[what]

    plan = decide(job, now=later(minutes=5))

    assert plan.status.message == QUOTA
    assert len(jobs_made(plan)) == 1
    assert plan.again_seconds in (WAITING, WATCHED)


@pytest.mark.parametrize("what", DECISIONS)
def test_a_job_that_is_refused_for_longer_fails_the_run(what: str) -> None:
    decide, job = DECISIONS[what]

    plan = decide(job, now=later(minutes=5, seconds=1))

    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, "MoverNotStarted")
    assert plan.status.message.endswith(QUOTA)
    assert jobs_made(plan) == []


@pytest.mark.parametrize("what", [ACCESS, DUMP, COMMIT])
def test_a_job_that_a_phase_began_with_is_not_waited_for_for_ever_whoever_has_refused_it(what: str) -> None:
    decide, job = DECISIONS[what]

    assert len(jobs_made(decide(now=later(hours=1)))) == 1
    assert decide(now=later(hours=1, seconds=1)).status.message.endswith("the log of the operator says why")
    known = decide(replace(job, created=later(hours=1)), now=later(hours=1, seconds=1))
    assert known.status.message.endswith(QUOTA)
    assert known.status.reason == "MoverNotStarted"


def test_a_commit_that_is_to_be_tried_again_has_its_own_time() -> None:
    now = later(hours=2)
    lost = failed(COMMIT, exit_code=None)
    second = attempt_part(2)

    assert [role_of(action) for action in committing(lost, now=now).actions] == [COMMIT]
    again = committing(lost, refused(COMMIT, second, created=now), now=now)
    assert (again.status.message, jobs_made(again)) == (QUOTA, [COMMIT])


def test_what_was_published_is_not_given_up_since_its_job_is_gone() -> None:
    made = a_backup(Phase.FINISHING, volumes=volumes(snapshot_id="s"), workloads=planned())

    plan = backup.decide(made, a_world(jobs=all_captured(), now=later(hours=2)))

    assert jobs_made(plan) == [COMMIT]


@pytest.mark.parametrize(("minutes", "asked"), [(5, True), (6, False)])
def test_a_backup_is_good_though_its_retention_was_refused(minutes: int, asked: bool) -> None:
    made = a_backup(Phase.FINISHING, volumes=volumes(), workloads=planned())
    job = refused(FORGET, created=later(hours=3))
    world = a_world(
        jobs=(*all_captured(), committed(), job),
        now=later(hours=3, minutes=minutes),
        schedule=a_schedule({"retention": {"keepLast": 1}}),
    )

    plan = backup.decide(made, world)

    assert plan.status.phase is (Phase.FINISHING if asked else Phase.SUCCEEDED)
    assert jobs_made(plan) == ([FORGET] if asked else [])
    assert plan.status.message.endswith(QUOTA)
    gone = backup.decide(made, replace(world, repository=None))
    assert gone.status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("role", [ACCESS, INIT])
def test_a_probe_that_is_refused_says_so_and_is_asked_for_again(role: str) -> None:
    owner = "main", "uid-main"
    made = a_repository(conditions=(), repository_id="", probe=1, probing=True, last_probe_time=NOW)
    missing = failed(ACCESS, part="1", owner=owner, exit_code=10)
    job = a_job(role, "1", owner=owner, refused=True, stuck=QUOTA)
    jobs = {one.name: one for one in ((missing, job) if role == INIT else (job,))}

    early = repository.decide(made, RepositoryWorld(later(minutes=5), IMAGE, jobs))
    assert (jobs_made(early), early.again_seconds) == ([role], WAITING)
    late = repository.decide(made, RepositoryWorld(later(minutes=6), IMAGE, jobs))
    ready = conditions.find(late.status.conditions, "Ready")
    assert ready is not None
    assert (ready.reason, ready.message) == ("MoverNotStarted", QUOTA)


def test_a_refusal_is_not_waited_for_as_long_as_a_copy_of_a_claim() -> None:
    job = refused(MOVER, "uploads")

    assert cannot_start(job, later(minutes=6), patience=later(hours=6) - NOW) is not None
    assert cannot_start(replace(job, refused=False), later(minutes=6), patience=later(hours=6) - NOW) is None


# --- starts


def resume(world: World, states: tuple[WorkloadStatus, ...]) -> Step:
    return quiesce.resume(RUN, world, states, since=NOW, hurry=False)


def refused_db(error: str = DENIED) -> tuple[WorkloadStatus, ...]:
    """Return two workloads that are down; the last time the database could not be started."""
    front, back = stopped()
    return front, back.model_copy(update={"error": error})


def started(step: Step) -> list[str]:
    return [str(action.workload) for action in step.actions if isinstance(action, ScaleUp)]


@pytest.mark.parametrize(
    ("states", "seconds", "expected"),
    [
        (refused_db(), 60, [str(DB)]),
        (refused_db(), 61, [str(DB), str(WEB)]),
        (stopped(), 600, [str(DB)]),
        (stopped(), 601, [str(DB), str(WEB)]),
    ],
)
def test_what_cannot_be_started_keeps_the_others_waiting_for_a_while_only(
    states: tuple[WorkloadStatus, ...], seconds: int, expected: list[str]
) -> None:
    step = resume(a_world(held_web(), held_db(), now=later(seconds=seconds)), states)

    assert started(step) == expected


@pytest.mark.parametrize("ready", [0, 1])
def test_the_error_goes_when_the_workload_is_started(ready: int) -> None:
    step = resume(a_world(held_web(), db(1, ready=ready)), refused_db())

    assert [state.error for state in step.workloads] == ["", ""]


def resuming(*, reason: str = "", **world: Any) -> Plan[Any]:
    made: Backup = a_backup(
        Phase.RESUMING,
        workloads=refused_db(),
        volumes=volumes(),
        reason=reason,
        message="why it failed" if reason else "",
    )
    return backup.decide(made, a_world(held_web(), held_db(), **world))


def test_what_could_not_be_started_is_told_in_the_message_and_the_condition() -> None:
    plan = resuming()

    told = f"statefulset/db could not be started: {DENIED}"
    assert plan.status.message == f"starting workloads: 0 of 2 up; {told}"
    quiesced = conditions.find(plan.status.conditions, "Quiesced")
    assert quiesced is not None
    assert quiesced.message.endswith(f"at the latest; {told}")


def test_why_a_run_failed_stays_its_message() -> None:
    plan = resuming(reason="Tainted")

    assert plan.status.message == "why it failed"
    quiesced = conditions.find(plan.status.conditions, "Quiesced")
    assert quiesced is not None
    assert DENIED in quiesced.message


def test_what_was_refused_is_tried_every_few_seconds_and_what_is_new_is_looked_at_soon() -> None:
    assert resuming().again_seconds == WATCHED
    assert resuming(now=later(seconds=61)).again_seconds == SOON


@pytest.mark.parametrize(("before", "told"), [("", ["NotStarted"]), ("another reason", [])])
def test_a_start_that_was_refused_is_claimed_by_nobody_and_announced_once(
    before: str, told: list[str]
) -> None:
    made = a_backup(Phase.RESUMING, workloads=refused_db(before))
    step = quiesce.resume(RUN, a_world(held_web(), held_db()), made.status.workloads, since=NOW, hurry=True)
    status = run.changed(made.status, workloads=step.workloads)
    hook = Event("HookSucceeded", "done")

    plan = unscaled.unstarted(
        Plan(status, step.actions, (*step.events, hook)), made.status, {str(DB): DENIED}
    )

    front, back = plan.status.workloads
    assert (front.released_at, front.error) == (NOW, "")
    assert (back.released_at, back.error) == (None, DENIED)
    about_db = [event.reason for event in plan.events if event.workload == DB]
    assert about_db == told
    assert [event.reason for event in plan.events if event.workload != DB] == ["Released", "HookSucceeded"]


def test_a_record_that_is_not_in_status_yet_is_not_lost_by_a_refusal() -> None:
    made = a_backup(Phase.RESUMING, workloads=planned())
    world = a_world(web(0, record=a_record(3)), held_db())
    absorbed = quiesce.absorb(RUN, world, made.status.workloads)
    step = quiesce.resume(RUN, world, absorbed, since=NOW, hurry=True)
    status = run.changed(made.status, workloads=step.workloads)

    plan = unscaled.unstarted(Plan(status, step.actions, step.events), made.status, {str(DB): DENIED})

    assert [state.stopped_at for state in plan.status.workloads] == [NOW, NOW]
