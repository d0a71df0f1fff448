"""Stopping, watching and starting workloads."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Quiesce, RunStatus, WorkloadStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.record import Holder
from becalm_operator.api.switches import KEDA_PAUSE, REPLICAS, SUSPENSION, Switch
from becalm_operator.plan import quiesce
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.quiesce import Run, Step
from becalm_operator.plan.steps import ScaleDown, ScaleUp
from becalm_operator.plan.world import Pod, Workload, World
from tests.operator.plan.worlds import (
    DB,
    NOW,
    PODS,
    UID,
    WEB,
    a_pod,
    a_record,
    a_world,
    db,
    held_db,
    held_web,
    later,
    planned,
    stopped,
    web,
)

RUN = Run(Holder(kind="Backup", name="b", uid=UID), "shop", Quiesce())
CLAIMS = frozenset({"uploads", "data-db-0"})


def stop(world: World, states: tuple[WorkloadStatus, ...] | None = None) -> Step:
    return quiesce.stop(RUN, world, quiesce.absorb(RUN, world, states or planned()))


def resume(world: World, states: tuple[WorkloadStatus, ...], *, hurry: bool = False) -> Step:
    return quiesce.resume(RUN, world, states, since=NOW, hurry=hurry)


def taint(world: World, states: tuple[WorkloadStatus, ...]) -> Failure | None:
    return quiesce.taint(RUN, world, states, CLAIMS, since=NOW)


# --- stopping


def test_the_first_workload_is_stopped_first_with_its_record() -> None:
    step = stop(a_world(now=later(seconds=5)))

    (action,) = step.actions
    assert isinstance(action, ScaleDown)
    assert (action.workload, action.uid, action.resource_version) == (WEB, "uid-web", "7")
    assert (action.record.by, action.record.replicas, action.record.at) == (RUN.holder, 3, later(seconds=5))
    assert action.record.deadline == later(seconds=5, minutes=30)
    assert not step.done


def test_the_record_says_how_to_undo_it_by_hand() -> None:
    step = stop(a_world())

    (action,) = step.actions
    assert isinstance(action, ScaleDown)
    assert action.record.undo.startswith("kubectl -n shop patch deployment web --type merge -p ")
    assert '"replicas":3' in action.record.undo
    assert action.record.undo in step.events[0].message


@pytest.mark.parametrize(("switch", "left"), [(REPLICAS, 5), (SUSPENSION, 5), (KEDA_PAUSE, 4)])
def test_the_record_says_which_generation_the_stop_leaves(switch: Switch, left: int) -> None:
    (action,) = stop(a_world(web(generation=4, switch=switch), db())).actions

    assert isinstance(action, ScaleDown)
    assert (action.switch, action.record.generation) == (switch, left)


def test_where_changes_are_not_counted_the_record_says_no_generation() -> None:
    (action,) = stop(a_world()).actions

    assert isinstance(action, ScaleDown)
    assert action.record.generation is None


@pytest.mark.parametrize(
    ("switch", "down", "up"),
    [
        (REPLICAS, "scaled deployment/web from 3 to 0", "scaled deployment/web back to 3"),
        (SUSPENSION, "suspended deployment/web", "resumed deployment/web"),
        (KEDA_PAUSE, "paused deployment/web", "resumed deployment/web"),
    ],
)
def test_events_say_what_was_done_to_a_workload_of_any_kind(switch: Switch, down: str, up: str) -> None:
    stopping = stop(a_world(web(switch=switch), db()))
    starting = resume(a_world(held_web(switch=switch), db()), stopped(), hurry=True)

    assert down in stopping.events[0].message
    assert up in starting.events[0].message
    (action,) = starting.actions
    assert isinstance(action, ScaleUp)
    assert action.switch == switch


def test_the_next_one_waits_for_the_pods_of_the_one_before() -> None:
    step = stop(a_world(held_web(), db(), pods=PODS))

    assert (step.actions, step.done, step.failure) == ((), False, None)


def test_the_next_one_is_stopped_when_the_pods_are_gone() -> None:
    (action,) = stop(a_world(held_web(), db(), pods=PODS[1:])).actions

    assert isinstance(action, ScaleDown)
    assert action.workload == DB


def test_pods_that_have_ended_are_not_waited_for() -> None:
    ended = tuple(replace(pod, ended=True) for pod in PODS)

    assert stop(a_world(held_web(), db(), pods=ended)).actions


def test_all_deadlines_count_from_the_first_stop() -> None:
    world = a_world(held_web(), db(), now=later(minutes=4))

    (action,) = stop(world).actions

    assert isinstance(action, ScaleDown)
    assert action.record.deadline == later(minutes=30)


def test_when_all_are_stopped_and_gone_it_is_done() -> None:
    assert stop(a_world(held_web(), held_db())).done


def test_what_is_at_zero_already_is_left_alone() -> None:
    step = stop(a_world(web(0), db(0)))

    assert step.done
    assert not step.actions


def test_pods_that_take_longer_than_the_drain_timeout_end_the_run() -> None:
    in_time = stop(a_world(held_web(), db(), pods=PODS, now=later(minutes=5)))
    late = stop(a_world(held_web(), db(), pods=PODS, now=later(minutes=5, seconds=1)))

    assert in_time.failure is None
    assert late.failure is not None
    assert late.failure.reason is Reason.DRAIN_TIMEOUT


@pytest.mark.parametrize(
    ("workload", "text"),
    [
        (web(uid="uid-new"), "was deleted or made anew"),
        (held_web(record=a_record(uid="uid-other")), "is held down by Backup b"),
        (held_web(2), "was scaled to 2 by somebody"),
        (web(record=None), "was started by somebody"),
        (web(0, record=None), "was robbed of its record by somebody"),
    ],
)
def test_interference_while_stopping_ends_the_run(workload: Workload, text: str) -> None:
    failure = stop(a_world(workload, db()), planned(web_stopped=NOW)).failure

    assert failure is not None
    assert failure.reason is Reason.WORKLOAD_CHANGED
    assert text in failure.message


def test_a_workload_that_is_gone_ends_the_run() -> None:
    assert stop(a_world(db())).failure is not None


# --- what the records say


def test_a_stop_that_never_came_into_status_is_read_from_the_record() -> None:
    recorded = held_web(record=a_record(5, at=later(seconds=-9)))

    first, second = quiesce.absorb(RUN, a_world(recorded, db()), planned())

    assert (first.stopped_at, first.replicas) == (later(seconds=-9), 5)
    assert second.stopped_at is None


def test_records_of_others_and_of_other_workloads_are_not_taken_over() -> None:
    others = held_web(record=a_record(uid="uid-other"))
    anew = held_db(uid="uid-anew")

    assert quiesce.absorb(RUN, a_world(others, anew), planned()) == planned()


def test_what_status_knows_is_not_changed() -> None:
    assert quiesce.absorb(RUN, a_world(held_web(), held_db()), stopped(later(hours=1))) == stopped(
        later(hours=1)
    )


# --- taint


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (held_web(2), "scaled to 2"),
        (web(3), "scaled to 3"),
        (held_web(uid="uid-new"), "deleted or made anew"),
        (held_web(record=a_record(uid="uid-other")), "by somebody"),
    ],
)
def test_a_stopped_workload_that_somebody_changed_is_a_taint(first: Workload, text: str) -> None:
    failure = taint(a_world(first, held_db()), stopped())

    assert failure is not None
    assert failure.reason is Reason.TAINTED
    assert text in failure.message


@pytest.mark.parametrize(
    ("generation", "recorded", "moved"),
    [(4, 4, False), (6, 4, True), (5, 4, True), (9, None, False), (0, 4, False)],
)
def test_what_somebody_changed_and_changed_back_is_a_taint(
    generation: int, recorded: int | None, moved: bool
) -> None:
    record = a_record().model_copy(update={"generation": recorded})
    world = a_world(held_web(record=record, generation=generation), held_db())

    tainted = taint(world, stopped())
    draining = quiesce.interference(RUN, world, stopped())

    assert (tainted is not None) == (draining is not None) == moved
    if tainted:
        assert tainted.reason is Reason.TAINTED
        assert "may have been up in between" in tainted.message


@pytest.mark.parametrize("owner", ["deployment/web", "deployment/other", ""])
def test_any_foreign_pod_on_a_claim_is_a_taint_and_is_named(owner: str) -> None:
    world = a_world(held_web(), held_db(), pods=(a_pod("x-1", owner, "uploads"),))

    failure = taint(world, stopped())

    assert failure is not None
    assert "x-1" in failure.message
    assert owner in failure.message


@pytest.mark.parametrize(
    "pod",
    [
        a_pod("m", "job/m", "uploads", ours=True),
        a_pod("e", "job/e", "uploads", ended=True),
        a_pod("f", "job/f", "uploads", ended=True, created=later(seconds=-1)),
        a_pod("g", "job/g", "uploads", ended=True, created=later(seconds=1), ours=True),
        a_pod("h", "job/h", "cache", ended=True, created=later(seconds=1)),
        a_pod("o", "job/o", "cache"),
    ],
)
def test_our_own_pods_and_ended_ones_and_those_elsewhere_are_no_taint(pod: Pod) -> None:
    assert taint(a_world(held_web(), held_db(), pods=(pod,)), stopped()) is None


@pytest.mark.parametrize("seconds", [0, 1, 3600])
def test_a_foreign_pod_that_came_and_ended_meanwhile_is_a_taint(seconds: float) -> None:
    visitor = a_pod("report-1", "job/report", "uploads", ended=True, created=later(seconds=seconds))

    failure = taint(a_world(held_web(), held_db(), pods=(visitor,)), stopped())

    assert failure is not None
    assert "report-1 of job/report" in failure.message


def test_a_workload_that_was_at_zero_anyhow_taints_only_by_its_pods() -> None:
    states = planned(db_stopped=NOW)

    assert taint(a_world(web(0), held_db()), states) is None


def test_the_pods_that_hold_claims_are_told_in_order() -> None:
    assert quiesce.drained(a_world(), CLAIMS) == "db-0 on node-1, web-1 on node-1"
    assert quiesce.drained(a_world(pods=()), CLAIMS) == ""


# --- starting


def test_the_last_one_stopped_is_started_first() -> None:
    step = resume(a_world(held_web(), held_db()), stopped())

    assert step.actions == (ScaleUp(DB, "uid-db", "7", 1),)
    assert not step.done


def test_the_one_before_waits_until_it_is_ready() -> None:
    starting = db(1, ready=0)

    assert resume(a_world(held_web(), starting), stopped()).actions == ()
    assert resume(a_world(held_web(), db(1, settled=False)), stopped()).actions == ()


def test_the_one_before_is_started_when_it_is_ready() -> None:
    step = resume(a_world(held_web(), db(1)), stopped())

    assert step.actions == (ScaleUp(WEB, "uid-web", "7", 3),)
    assert step.workloads[1].started_at == NOW


def test_a_statefulsets_pod_that_is_going_still_counts_as_ready_there_and_not_here() -> None:
    going = Pod("db-0", str(DB), ("db",))

    assert resume(a_world(held_web(), db(1), pods=(going,)), stopped()).actions == ()
    gone, back = replace(going, ended=True), replace(going, ready=True)
    assert resume(a_world(held_web(), db(1), pods=(gone, back)), stopped()).actions != ()


def test_a_deployment_does_not_wait_for_the_pods_that_go() -> None:
    going = Pod("web-0", str(WEB), ("web",))

    step = resume(a_world(web(), db(1), pods=(going,)), stopped())

    assert step.done


def test_a_workload_that_never_becomes_ready_keeps_nobody_waiting_for_ever() -> None:
    world = a_world(held_web(), db(1, ready=0), now=later(minutes=10, seconds=1))

    assert resume(world, stopped()).actions == (ScaleUp(WEB, "uid-web", "7", 3),)


def test_what_is_down_without_a_record_is_started_once_from_what_status_says() -> None:
    """Whoever took the record off has not started it."""
    step = resume(a_world(held_web(), db(0)), stopped())

    assert step.actions == (ScaleUp(DB, "uid-db", "7", 1),)
    assert step.workloads[1].released_at == NOW
    again = resume(a_world(held_web(), db(0)), step.workloads)
    assert again.actions == (ScaleUp(WEB, "uid-web", "7", 3),), (
        "somebody has scaled it down after it was started"
    )


def test_in_a_hurry_all_are_started_at_once() -> None:
    step = resume(a_world(held_web(), held_db()), stopped(), hurry=True)

    assert [action.workload for action in step.actions if isinstance(action, ScaleUp)] == [DB, WEB]


def test_when_all_are_ready_it_is_done() -> None:
    step = resume(a_world(pods=()), stopped(), hurry=True)

    assert step.done
    assert all(state.started_at == NOW for state in step.workloads)


def test_what_was_scaled_up_by_hand_keeps_the_count_of_the_hand() -> None:
    (action,) = resume(a_world(web(), held_db(4)), stopped()).actions

    assert action == ScaleUp(DB, "uid-db", "7", 4)


@pytest.mark.parametrize("taken", [held_db(uid="uid-new"), held_db(record=a_record(uid="uid-other"))])
def test_what_is_not_ours_any_more_is_left_alone(taken: Workload) -> None:
    step = resume(a_world(web(), taken), stopped())

    assert step.actions == ()
    assert step.done


def put_back(replicas: int = 0) -> Workload:
    """Return a workload on which somebody has put the record of a run that is long over."""
    return held_db(replicas, record=a_record(7, uid="uid-old", at=later(days=-9)))


def test_what_is_down_with_an_older_record_is_started_once_from_what_status_says() -> None:
    step = resume(a_world(held_web(), put_back()), stopped())

    assert step.actions == (ScaleUp(DB, "uid-db", "7", 1),)
    assert step.workloads[1].started_at is None
    again = resume(a_world(held_web(), put_back()), step.workloads)
    assert again.actions == (ScaleUp(WEB, "uid-web", "7", 3),), "somebody has done it after it was started"


def test_what_is_up_with_an_older_record_keeps_its_count() -> None:
    step = resume(a_world(web(), put_back(2)), stopped())

    assert step.actions == ()
    assert step.done


def test_an_older_record_is_a_taint_and_not_said_to_be_a_stop() -> None:
    world = a_world(held_web(), put_back())

    failure, draining = taint(world, stopped()), quiesce.interference(RUN, world, stopped())

    assert failure is not None
    assert draining is not None
    assert "statefulset/db was robbed of its record by somebody" in failure.message
    assert "statefulset/db was robbed of its record by somebody" in draining.message


def test_a_workload_that_is_gone_counts_as_started() -> None:
    assert resume(a_world(web()), stopped()).done


def test_a_run_is_quiesced_while_any_workload_is_down() -> None:
    assert not quiesce.is_quiesced(RunStatus(workloads=planned()))
    assert quiesce.is_quiesced(RunStatus(workloads=planned(db_stopped=NOW)))
    assert not quiesce.is_quiesced(RunStatus(workloads=stopped(started_at=NOW)))


# --- properties

_RECORDS = (
    st.none()
    | st.builds(a_record, st.integers(1, 9), uid=st.sampled_from([UID, "uid-other"]), at=st.just(NOW))
    | st.builds(a_record, st.integers(1, 9), uid=st.just("uid-old"), at=st.just(later(days=-9)))
)


def workloads() -> st.SearchStrategy[tuple[Workload, Workload]]:
    fields = {
        "replicas": st.integers(0, 5),
        "ready": st.integers(0, 5),
        "settled": st.booleans(),
        "record": _RECORDS,
    }
    return st.tuples(
        st.builds(web, uid=st.sampled_from(["uid-web", "uid-new"]), **fields),
        st.builds(db, uid=st.sampled_from(["uid-db", "uid-new"]), **fields),
    )


TIMES = st.none() | st.just(NOW)
STATES = st.builds(planned, web_stopped=TIMES, db_stopped=TIMES, started_at=TIMES)
PODS_SEEN = st.sets(st.sampled_from(PODS)).map(tuple)
CLOCK = st.integers(0, 4000).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(workloads(), STATES, PODS_SEEN, CLOCK)
def test_stopping_stops_at_most_one_and_never_one_at_zero_or_with_a_record(
    seen: tuple[Workload, Workload], states: tuple[WorkloadStatus, ...], pods: tuple[Pod, ...], now: object
) -> None:
    world = a_world(*seen, pods=pods, now=now)

    step = stop(world, states)

    assert len(step.actions) <= 1
    for action in step.actions:
        assert isinstance(action, ScaleDown)
        found = world.workloads[str(action.workload)]
        assert found.replicas > 0
        assert found.record is None
        assert (action.record.replicas, action.resource_version) == (found.replicas, found.resource_version)
    assert step.failure is None or not step.actions


@given(workloads(), STATES, st.booleans(), CLOCK)
def test_starting_scales_only_what_we_hold_and_only_to_its_record_or_the_count_of_a_hand(
    seen: tuple[Workload, Workload], states: tuple[WorkloadStatus, ...], hurry: bool, now: object
) -> None:
    world = a_world(*seen, now=now)

    step = resume(world, states, hurry=hurry)

    for action in step.actions:
        assert isinstance(action, ScaleUp)
        found = world.workloads[str(action.workload)]
        assert action.uid == found.uid
        if found.record is None or found.record.at < NOW:  # somebody took it off, and left the workload down
            (state,) = [one for one in states if one.reference == found.reference]
            assert (found.replicas, action.replicas) == (0, state.replicas)
            assert state.stopped_at is not None
            assert state.released_at is None
            continue
        assert found.record.by.uid == UID
        assert action.replicas == (found.replicas or found.record.replicas)


@given(workloads(), STATES, st.booleans())
def test_nothing_that_we_hold_is_down_when_starting_is_done(
    seen: tuple[Workload, Workload], states: tuple[WorkloadStatus, ...], hurry: bool
) -> None:
    world = a_world(*seen)
    states = tuple(
        state.model_copy(update={"started_at": None}) for state in quiesce.absorb(RUN, world, states)
    )

    step = resume(world, states, hurry=hurry)

    ours = [w for w in seen if w.record is not None and w.record.by.uid == UID and w.uid != "uid-new"]
    assert not (step.done and not step.actions and ours)
