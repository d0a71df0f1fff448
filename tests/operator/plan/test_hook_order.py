"""When hooks are due, and what waits for them."""

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.api.hooks import Outcome, When
from becalm_operator.plan.steps import EndCommand, ScaleDown, ScaleUp
from becalm_operator.plan.world import HookState
from tests.operator.plan.hook_worlds import EXEC, a_lock, begun, decide, here, hooked, kinds, over
from tests.operator.plan.worlds import (
    NOW,
    all_captured,
    committed,
    db,
    held_db,
    held_web,
    later,
    stopped,
    volumes,
    web,
)


def test_nothing_is_stopped_before_the_runs_hooks_have_ended() -> None:
    run = hooked(before=[a_lock()], hooks=(over(),))

    assert kinds(decide(run, here())) == ["ScaleDown"]


def test_a_workloads_hooks_come_just_before_its_own_stop() -> None:
    of_web = {"before": [{"name": "flush", "exec": EXEC}]}
    ended = over("flush", workload="deployment/web")

    assert decide(hooked(of_web=of_web), here()).status.hooks[0].name == "flush"
    (stop,) = decide(hooked(of_web=of_web, hooks=(ended,)), here()).actions
    assert isinstance(stop, ScaleDown)
    assert stop.workload.name == "web"


def test_a_workload_that_is_at_0_gets_no_hooks() -> None:
    of_web = {"before": [{"name": "flush", "exec": EXEC}], "after": [{"name": "warm", "exec": EXEC}]}

    plan = decide(hooked(of_web=of_web), here(web(0), db()))

    (stop,) = plan.actions
    assert isinstance(stop, ScaleDown)
    assert (stop.workload.name, plan.status.hooks) == ("db", ())


def test_what_hooks_take_before_the_first_stop_is_no_downtime() -> None:
    run = hooked(before=[a_lock()], hooks=(begun(),), phase_time=NOW)
    ended = {"before.lock": HookState(ended=True, exit_code=0)}

    plan = decide(run, here(known=ended, now=later(minutes=29)))

    assert plan.status.phase_time == later(minutes=29)


def test_a_failing_hook_ends_a_run_that_has_stopped_nothing_by_way_of_its_after_hooks() -> None:
    failed = over(outcome=Outcome.FAILED, message="ended with exit code 3", output="why")
    run = hooked(before=[a_lock()], after=[a_lock(name="unlock")], hooks=(failed,))

    plan = decide(run, here())
    then = decide(run.model_copy(update={"status": plan.status}), here())

    assert (plan.status.phase, plan.status.reason, plan.actions) == (Phase.RESUMING, "HookFailed", [])
    assert plan.status.message == "before-hook lock: ended with exit code 3: why"
    assert [hook.name for hook in then.status.hooks] == ["lock", "unlock"]
    assert then.finalizer is True


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNKNOWN])
def test_a_hook_that_may_fail_lets_the_run_go_on(outcome: Outcome) -> None:
    run = hooked(before=[a_lock(onError="Continue")], hooks=(over(outcome=outcome),))

    assert kinds(decide(run, here())) == ["ScaleDown"]


def test_a_run_that_fails_leaves_its_hook_alone_and_says_so() -> None:
    run = hooked(Phase.RESUMING, before=[a_lock()], hooks=(begun(),), reason="Deleted", message="deleted")

    plan = decide(run, here(known={"before.lock": HookState()}))

    assert plan.status.hooks[0].outcome is Outcome.UNKNOWN
    assert EndCommand("before.lock") in plan.actions


def test_after_hooks_of_a_workload_do_not_hold_up_the_next_one() -> None:
    states = (
        stopped(started_at=None)[0],
        stopped()[1].model_copy(update={"started_at": NOW, "released_at": NOW}),
    )
    workloads = [
        {"kind": "Deployment", "name": "web"},
        {"kind": "StatefulSet", "name": "db", "hooks": {"after": [{"name": "warm", "exec": EXEC}]}},
    ]
    run = hooked(Phase.RESUMING, more={"workloads": workloads}, workloads=states, volumes=volumes())

    plan = decide(run, here(held_web(), db(), jobs=all_captured()))

    assert [type(action) for action in plan.actions] == [ScaleUp]
    assert [hook.name for hook in plan.status.hooks] == ["warm"]


def test_the_runs_after_hooks_wait_until_all_is_up() -> None:
    run = hooked(Phase.RESUMING, after=[a_lock(name="unlock")], workloads=stopped(), volumes=volumes())

    assert decide(run, here(held_web(), held_db())).status.hooks == ()
    up = run.model_copy(
        update={"status": run.status.model_copy(update={"workloads": stopped(started_at=NOW)})}
    )
    assert [hook.name for hook in decide(up, here()).status.hooks] == ["unlock"]


def test_an_after_hook_that_failed_is_told_with_the_good_backup() -> None:
    failed = over("unlock", When.AFTER, outcome=Outcome.TIMED_OUT, message="took too long")
    run = hooked(
        Phase.FINISHING,
        after=[a_lock(name="unlock")],
        workloads=stopped(started_at=NOW),
        volumes=volumes(),
        hooks=(failed,),
    )

    plan = decide(run, here(jobs=[*all_captured(), committed()]))

    assert plan.status.phase is Phase.SUCCEEDED
    assert plan.status.message.endswith(" added; but after-hook unlock: took too long")
