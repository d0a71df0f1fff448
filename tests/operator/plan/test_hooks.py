"""Hooks: when each is due, that it is begun once, and what its end means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.hooks import HookStatus, Outcome, When
from becalm_operator.manifests.hooks import HOOK
from becalm_operator.plan.hooks import harmless
from becalm_operator.plan.steps import ApplyHookJob, DeleteJob, EndCommand, RequestProbe, RunCommand
from becalm_operator.plan.world import Hooking, HookState, JobState, Pod, World
from tests.operator.plan.hook_worlds import EXEC, a_job_hook, a_lock, begun, decide, here, hooked, kinds
from tests.operator.plan.worlds import (
    NOW,
    a_job,
    a_world,
    all_captured,
    db,
    held_web,
    later,
    opened,
    planned,
    stopped,
    volumes,
)

# --- begun once


def test_that_a_hook_is_begun_is_written_before_anything_is_done() -> None:
    plan = decide(hooked(before=[a_lock()]), here())

    (told,) = plan.status.hooks
    assert (told.name, told.pod, told.started_by, told.finished_at) == ("lock", "db-0", "here", None)
    assert plan.actions == []
    assert plan.finalizer is True
    assert plan.again_seconds


def test_a_command_is_run_by_the_process_that_has_written_it_down() -> None:
    plan = decide(hooked(before=[a_lock(timeout="90s")], hooks=(begun(),)), here())

    assert plan.actions == [RunCommand("before.lock", "db-0", "", ("lock",), 90.0)]


def test_another_process_does_not_run_it_again() -> None:
    elsewhere = begun(started_by="there")

    plan = decide(hooked(before=[a_lock()], hooks=(elsewhere,)), here())

    (told,) = plan.status.hooks
    assert (told.outcome, plan.actions) == (Outcome.UNKNOWN, [])
    assert "restarted" in told.message
    assert [event.reason for event in plan.events] == ["HookFailed"]


def test_what_runs_already_is_waited_for() -> None:
    plan = decide(hooked(before=[a_lock()], hooks=(begun(),)), here(known={"before.lock": HookState()}))

    assert (plan.actions, plan.status.hooks) == ([], (begun(),))
    assert plan.status.message == "before-hook lock"


@pytest.mark.parametrize(
    ("known", "outcome", "message"),
    [
        (HookState(ended=True, exit_code=0, output="well\n"), Outcome.SUCCEEDED, "succeeded"),
        (HookState(ended=True, exit_code=3), Outcome.FAILED, "ended with exit code 3"),
        (HookState(ended=True, error="no such container"), Outcome.FAILED, "no such container"),
        (HookState(ended=True, timed_out=True), Outcome.TIMED_OUT, "did not end within 1m"),
        (HookState(ended=True), Outcome.UNKNOWN, "was lost"),
    ],
)
def test_the_end_of_a_command_is_told(known: HookState, outcome: Outcome, message: str) -> None:
    plan = decide(hooked(before=[a_lock()], hooks=(begun(),)), here(known={"before.lock": known}))

    (told,) = plan.status.hooks
    assert (told.outcome, told.finished_at, told.output) == (outcome, NOW, known.output.strip())
    assert message in told.message
    assert [event.reason for event in plan.events] == [
        "HookSucceeded" if outcome is Outcome.SUCCEEDED else "HookFailed"
    ]


def job_of(part: str, **more: Any) -> JobState:
    return a_job(HOOK, part, **more)


def test_a_job_is_made_and_found_again_by_whoever_looks() -> None:
    stamped = begun("own", started_by="", pod="")
    made = decide(hooked(before=[a_job_hook()], hooks=(stamped,)), here())
    seen = decide(
        hooked(before=[a_job_hook()], hooks=(stamped,)), here(jobs=[job_of("before.own", active=True)])
    )

    assert kinds(made) == ["ApplyHookJob"]
    assert seen.actions == []
    assert seen.status.hooks[0].job == job_of("before.own").name


def test_a_job_that_somebody_has_deleted_is_not_made_again() -> None:
    plan = decide(hooked(before=[a_job_hook()], hooks=(begun("own", job="b-hook-x"),)), here())

    assert plan.actions == []
    assert plan.status.hooks[0].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        (job_of("before.own", succeeded=True, exit_code=0, report="did\x07it"), Outcome.SUCCEEDED),
        (job_of("before.own", failed=True, exit_code=9), Outcome.FAILED),
        (job_of("before.own", failed=True), Outcome.FAILED),
        (job_of("before.own", failed=True, active=True), None),
    ],
)
def test_the_end_of_a_job_is_that_of_its_pod(job: JobState, outcome: Outcome | None) -> None:
    plan = decide(hooked(before=[a_job_hook()], hooks=(begun("own"),)), here(jobs=[job]))

    assert plan.status.hooks[0].outcome is outcome
    assert plan.status.hooks[0].output == job.report.replace("\x07", "\\x07")


def test_a_job_that_takes_too_long_is_deleted() -> None:
    stuck = job_of("before.own", stuck="ErrImagePull: no such image")

    plan = decide(
        hooked(before=[a_job_hook()], hooks=(begun("own"),)), here(jobs=[stuck], now=later(seconds=61))
    )

    assert plan.status.hooks[0].outcome is Outcome.TIMED_OUT
    assert "no such image" in plan.status.hooks[0].message
    assert plan.actions == [DeleteJob(stuck.name)]


def test_a_job_that_the_api_server_refuses_has_failed() -> None:
    refused = HookState(ended=True, error="making Job x: quota")

    plan = decide(hooked(before=[a_job_hook()], hooks=(begun("own"),)), here(known={"before.own": refused}))

    assert (plan.status.hooks[0].outcome, plan.status.hooks[0].message) == (Outcome.FAILED, refused.error)


def test_a_job_that_cannot_be_made_holds_up_nobody() -> None:
    plan = decide(hooked(before=[a_job_hook()], hooks=(begun("own"),)), here(now=later(seconds=61)))

    assert (plan.status.hooks[0].outcome, plan.actions) == (Outcome.TIMED_OUT, [])


def test_a_command_whose_end_is_never_told_holds_up_nobody() -> None:
    silent, run = {"before.lock": HookState()}, hooked(before=[a_lock()], hooks=(begun(),))

    assert decide(run, here(known=silent, now=later(seconds=119))).status.hooks[0].outcome is None
    plan = decide(run, here(known=silent, now=later(seconds=121)))
    assert (plan.status.hooks[0].outcome, plan.actions) == (Outcome.UNKNOWN, [EndCommand("before.lock")])


def test_a_template_that_another_version_let_pass_keeps_nothing_down() -> None:
    states = (stopped()[0], stopped(started_at=NOW)[1])
    bad = {"template": {"spec": {"containers": [{"name": "x", "imagee": "y"}]}}}
    workloads = [
        {"kind": "Deployment", "name": "web"},
        {"kind": "StatefulSet", "name": "db", "hooks": {"after": [a_job_hook(job=bad)]}},
    ]
    going = (begun("own", When.AFTER, workload="statefulset/db"),)
    run = hooked(
        Phase.RESUMING, more={"workloads": workloads}, workloads=states, volumes=volumes(), hooks=going
    )

    plan = decide(run, here(held_web(), db(), jobs=all_captured()))

    assert kinds(plan) == ["ScaleUp"]
    assert plan.status.hooks[0].outcome is Outcome.FAILED


# --- where


def test_a_command_runs_in_the_first_ready_pod() -> None:
    plan = decide(hooked(of_web={"before": [{"name": "flush", "exec": EXEC}]}), here())

    assert (plan.status.hooks[0].pod, plan.status.hooks[0].workload) == ("web-1", "deployment/web")


def test_without_a_ready_pod_it_has_failed_at_once() -> None:
    plan = decide(hooked(before=[a_lock()]), here(pods=()))

    assert plan.status.hooks[0].outcome is Outcome.FAILED
    assert plan.status.hooks[0].message == "there is no Ready pod of statefulset/db"


def test_a_selector_never_picks_a_pod_of_becalm() -> None:
    labels = {"app": "db"}
    theirs = Pod("z", "", (), ready=True, labels=labels)
    ours = Pod("a", "job/m", (), ours=True, ready=True, labels={**labels, "becalm.dev/owner-uid": "u"})
    aimed = {"name": "lock", "exec": {"podSelector": {"matchLabels": labels}, "command": ["x"]}}

    assert decide(hooked(before=[aimed]), here(pods=(ours, theirs))).status.hooks[0].pod == "z"
    alone = decide(hooked(before=[aimed]), here(pods=(ours,))).status.hooks[0]
    assert alone.message == "there is no Ready pod with labels app=db"


# --- refused


def preflight(
    world: World | None = None, more: dict[str, Any] | None = None, **hooks: Any
) -> tuple[str, str]:
    run = hooked(Phase.PREFLIGHT, workloads=(), more=more, **hooks)
    plan = decide(run, world or here(jobs=[opened()]))
    assert [action for action in plan.actions if not isinstance(action, RequestProbe)] == []
    return plan.status.reason, plan.status.message


def an_https_hook(ca_bundle: str) -> dict[str, Any]:
    return {"name": "lock", "http": {"url": "https://gate", "caBundle": ca_bundle}}


@pytest.mark.parametrize(
    ("hooking", "complaint"),
    [
        (Hooking(), "hooks.enabled in the values of the chart"),
        (Hooking(refusal="not where the operator runs"), "not where the operator runs"),
        (Hooking(enabled=True, refusal="it needs create and get on pods/exec"), "pods/exec"),
    ],
)
def test_hooks_that_are_not_allowed_are_refused_before_anything_stops(
    hooking: Hooking, complaint: str
) -> None:
    reason, message = preflight(a_world(hooks=hooking), before=[a_lock()])

    assert reason == Reason.HOOKS_NOT_ALLOWED
    assert complaint in message


def test_a_permission_that_nobody_needs_may_lack() -> None:
    lacking = here(hooks=Hooking(enabled=True, refusal="pods/exec"), jobs=[opened()])

    assert preflight(lacking, before=[a_job_hook()]) == ("", "starting movers")


@pytest.mark.parametrize(
    ("hook", "complaint"),
    [
        (a_lock(timeout="30m"), "before-hook lock: its timeout (30m) has to be below maxDowntime (30m)"),
        (a_lock(timeout="0s"), "its timeout has to be more than 0"),
        ({"name": "lock"}, "exactly one of exec, http and job"),
        ({"name": "lock", "exec": EXEC}, "exec needs a workload or a podSelector"),
        (an_https_hook("bm8gUEVN"), "http.caBundle: it holds something that is no certificate"),
        (an_https_hook("w7w="), "http.caBundle: it is not PEM in base64"),
        (
            a_job_hook(job={"template": {"spec": {"containers": [{"name": "x", "imagee": "y"}]}}}),
            "job.template: spec.containers[0].imagee is no field",
        ),
    ],
)
def test_a_hook_that_makes_no_sense_is_refused(hook: dict[str, Any], complaint: str) -> None:
    reason, message = preflight(before=[hook])

    assert reason == Reason.INVALID_HOOK
    assert complaint in message


def test_an_after_hook_may_take_longer_than_the_downtime() -> None:
    assert preflight(after=[a_lock(timeout="45m")]) == ("", "starting movers")


def test_a_command_in_a_workload_that_does_not_exist_is_refused() -> None:
    aimed = {"workload": {"kind": "Deployment", "name": "none"}, "command": ["x"]}

    assert preflight(after=[a_lock(exec=aimed)])[0] == Reason.WORKLOAD_NOT_FOUND


# --- always


_KNOWN = st.dictionaries(
    st.sampled_from(["before.lock", "before.own", "before.flush.0", "after.unlock", "after.warm.0"]),
    st.builds(
        HookState,
        ended=st.booleans(),
        exit_code=st.none() | st.integers(0, 255),
        error=st.sampled_from(["", "refused"]),
        timed_out=st.booleans(),
    ),
)
_PLACES = [
    ("lock", When.BEFORE, ""),
    ("own", When.BEFORE, ""),
    ("flush", When.BEFORE, "deployment/web"),
    ("warm", When.AFTER, "deployment/web"),
    ("unlock", When.AFTER, ""),
]
_STATUSES = st.lists(st.sampled_from(_PLACES), unique=True).flatmap(
    lambda places: st.tuples(
        *(
            st.builds(
                HookStatus,
                name=st.just(name),
                when=st.just(when),
                workload=st.just(workload),
                started_at=st.just(NOW),
                started_by=st.sampled_from(["here", "there"]),
                pod=st.just("db-0"),
                finished_at=st.sampled_from([None, NOW]),
                outcome=st.sampled_from(Outcome),
            )
            for name, when, workload in places
        )
    )
)


@given(
    phase=st.sampled_from([Phase.QUIESCING, Phase.RESUMING]),
    statuses=_STATUSES,
    known=_KNOWN,
    states=st.sampled_from([planned(), stopped(), stopped(started_at=NOW)]),
    reason=st.sampled_from(["", "Deleted"]),
    seconds=st.integers(0, 4000),
)
def test_nothing_is_begun_that_was_not_written_down_by_this_process_before(
    phase: Phase,
    statuses: tuple[HookStatus, ...],
    known: dict[str, HookState],
    states: Any,
    reason: str,
    seconds: int,
) -> None:
    run = hooked(
        phase,
        before=[a_lock(), a_job_hook()],
        after=[a_lock(name="unlock")],
        of_web={"before": [{"name": "flush", "exec": EXEC}], "after": [{"name": "warm", "exec": EXEC}]},
        hooks=statuses,
        workloads=states,
        volumes=volumes(),
        reason=reason,
    )

    plan = decide(run, here(known=known, now=later(seconds=seconds)))

    going = {(hook.when.lower(), hook.name): hook for hook in statuses if hook.finished_at is None}
    for action in plan.actions:
        if isinstance(action, RunCommand | ApplyHookJob):
            stamp = going[action.part.split(".")[0], action.part.split(".")[1]]
            assert isinstance(action, ApplyHookJob) or stamp.started_by == "here"
            assert action.part not in known
    kept = [hook for hook in statuses if hook.finished_at is not None]
    assert [hook for hook in plan.status.hooks if hook in kept] == kept, "what has ended stays as it is"


@given(st.text())
def test_what_others_write_cannot_steer_a_terminal(text: str) -> None:
    told = harmless(text)

    assert all(char.isprintable() or char == "\n" for char in told)
    told.encode()  # it can be stored, too
    if text.isprintable():
        assert told == text
