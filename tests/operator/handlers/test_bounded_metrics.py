"""However many objects people make and delete: what is shown has no more values than there are objects."""

from typing import Any

import pytest

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.names import SCHEDULE_LABEL
from becalm_operator.cluster.port import Key
from becalm_operator.handlers.metrics import Metrics
from tests.operator.handlers.examples import backup
from tests.operator.handlers.test_metrics import MAKER, RUN, SCHEDULE, a_schedule, an_ended_run, values


def a_run(name: str, phase: Phase, owner: dict[str, Any], label: str = "nightly") -> Backup:
    made = backup(phase, name=name, labels={SCHEDULE_LABEL: label}, ownerReferences=[owner])
    done = an_ended_run(phase).status if phase.finished else made.status
    return made.model_copy(update={"status": done})


def play(metrics: Metrics, name: str, owner: dict[str, Any], label: str = "nightly") -> Key:
    key = Key("Backup", "shop", name)
    metrics.saw(key, a_run(name, Phase.RESUMING, owner, label))
    metrics.saw(key, a_run(name, Phase.SUCCEEDED, owner, label))
    return key


@pytest.mark.parametrize(
    "owner",
    [
        {},
        {**MAKER, "controller": False},
        {**MAKER, "kind": "CronJob", "apiVersion": "batch/v1"},
        {**MAKER, "name": "weekly"},
        {**MAKER, "uid": "uid-of-another"},
    ],
)
def test_a_run_is_counted_with_a_schedule_only_if_that_controls_it(owner: dict[str, Any]) -> None:
    metrics = Metrics()
    metrics.saw(SCHEDULE, a_schedule())

    play(metrics, "b", owner)

    assert list(values(metrics, "becalm_downtime_seconds_sum")) == [("Backup", "shop", "")]
    assert values(metrics, "becalm_schedule_last_downtime_seconds") == {}


def test_labels_that_anybody_may_set_leave_nothing_behind() -> None:
    metrics = Metrics()
    play(metrics, "b", {})
    before = len(metrics.text().splitlines())

    for at in range(20):
        metrics.saw(play(metrics, f"b{at}", {**MAKER, "name": f"x{at}"}, label=f"x{at}"), None)

    assert len(metrics.text().splitlines()) == before
    assert (metrics._ledger._last, metrics._ledger._good) == ({}, {})


def test_what_the_runs_of_a_schedule_have_said_outlives_them_and_not_the_schedule() -> None:
    metrics = Metrics()
    metrics.saw(SCHEDULE, a_schedule())
    metrics.saw(play(metrics, "b", MAKER), None)
    names = ("becalm_schedule_last_downtime_seconds", "becalm_downtime_seconds_sum")

    assert [list(values(metrics, name)) for name in names] == [
        [("shop", "nightly")],
        [("Backup", "shop", "nightly")],
    ]
    assert list(values(metrics, "becalm_runs_ended_total"))

    metrics.saw(SCHEDULE, None)

    for name in (*names, "becalm_runs_ended_total"):
        assert values(metrics, name) == {}, name


def test_a_run_that_is_seen_before_its_schedule_is_shown_with_it() -> None:
    metrics = Metrics()
    metrics.saw(RUN, an_ended_run())
    assert values(metrics, "becalm_schedule_last_downtime_seconds") == {}

    metrics.saw(SCHEDULE, a_schedule())

    assert values(metrics, "becalm_schedule_last_downtime_seconds") == {("shop", "nightly"): 42}
