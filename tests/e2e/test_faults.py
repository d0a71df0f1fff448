"""The judge of the fault matrix, and its page."""

from dataclasses import replace
from pathlib import Path

import pytest
from e2e.faults.fault import EITHER, GONE, GOOD
from e2e.faults.matrix import PHASES, Cell, Place, phases_to_strike
from e2e.faults.pace import Pace
from e2e.faults.page import page
from e2e.faults.results import Results
from e2e.faults.verdict import Facts, broken_promises, outcome
from e2e.faults.watch import Seen, down, is_whole

from becalm_operator.api.backup import Phase

BOTH = frozenset({"one", "two"})
SUCCEEDED = Facts(
    phase=Phase.SUCCEEDED,
    reason="",
    told=BOTH,
    found=BOTH,
    volumes=2,
    unlike=(),
    not_up=(),
    finalizers=(),
    working=(),
    orphans=(),
    down_seconds=12.3,
)
FAILED = replace(SUCCEEDED, phase=Phase.FAILED, reason="MoverFailed", told=frozenset(), found=frozenset())
DELETED = replace(FAILED, phase=None, reason="")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [(SUCCEEDED, GOOD), (SUCCEEDED, EITHER), (FAILED, EITHER), (DELETED, GONE)],
)
def test_what_has_ended_as_promised_is_good(facts: Facts, expected: frozenset[Phase | None]) -> None:
    assert broken_promises(facts, expected) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FAILED, GOOD),
        (SUCCEEDED, GONE),
        (replace(SUCCEEDED, phase=Phase.RESUMING), EITHER),
        (replace(SUCCEEDED, not_up=("Deployment web",)), EITHER),
        (replace(SUCCEEDED, finalizers=("becalm.dev/release-workloads",)), EITHER),
        (replace(SUCCEEDED, working=("a",)), EITHER),
        (replace(SUCCEEDED, orphans=("a",)), EITHER),
        (replace(SUCCEEDED, unlike=("/data is not of one instant",)), EITHER),
        (replace(SUCCEEDED, found=frozenset({"one"})), EITHER),
        (replace(SUCCEEDED, told=frozenset({"one", "three"})), EITHER),
        (replace(SUCCEEDED, told=frozenset({"one"}), found=frozenset({"one"})), EITHER),
        (replace(FAILED, found=frozenset({"one"})), EITHER),
        (replace(FAILED, reason=""), EITHER),
        (replace(DELETED, found=frozenset({"one"})), GONE),
    ],
)
def test_each_broken_promise_is_seen(facts: Facts, expected: frozenset[Phase | None]) -> None:
    assert len(broken_promises(facts, expected)) == 1


def test_a_deleted_run_may_leave_the_snapshots_of_its_whole_group() -> None:
    committed = replace(DELETED, found=BOTH)

    assert broken_promises(committed, GONE) == []
    assert outcome(committed) != outcome(DELETED)


def test_phases_that_no_undisturbed_run_comes_to_are_not_struck() -> None:
    assert phases_to_strike([[Phase.PENDING, Phase.SUCCEEDED], [Phase.CAPTURING]]) == [
        Phase.PENDING,
        Phase.CAPTURING,
    ]
    assert phases_to_strike([list(Phase)]) == PHASES


def test_a_run_has_come_to_a_phase_also_if_that_was_not_seen() -> None:
    seen = Seen("1", "shop/nightly", [Phase.PENDING, Phase.DRAINING], [1.0, 5.0])

    assert seen.has_come_to(Phase.QUIESCING)
    assert not seen.has_come_to(Phase.CAPTURING)
    assert seen.seconds_to(Phase.QUIESCING) == 4.0
    assert seen.seconds_to(Phase.CAPTURING) == 0.0


def test_runs_of_all_shapes_begin_so_that_they_come_to_a_phase_together() -> None:
    pace = Pace()
    for phase, slow, fast in [
        (Phase.PENDING, 0.0, 0.0),
        (Phase.DRAINING, 9.0, 4.0),
        (Phase.FINISHING, 20.0, 8.0),
    ]:
        pace.note("slow", phase, slow)
        pace.note("fast", phase, fast)

    assert [pace.head_start(one, {"slow", "fast"}, Phase.DRAINING) for one in ("slow", "fast")] == [0.0, 5.0]
    assert pace.head_start("fast", {"fast"}, Phase.DRAINING) == 0.0
    assert pace.head_start("fast", {"slow", "fast"}, Phase.CAPTURING) == 0.0


def test_what_comes_later_is_moved_with_what_was_seen() -> None:
    pace = Pace()
    for phase, seconds in [(Phase.PENDING, 0.0), (Phase.DRAINING, 9.0), (Phase.FINISHING, 20.0)]:
        pace.note("slow", phase, seconds)
    pace.note("fast", Phase.FINISHING, 1.0)

    pace.note("slow", Phase.DRAINING, 6.0)

    assert pace.head_start("fast", {"slow", "fast"}, Phase.FINISHING) == 16.0


def cell(fault: str, shape: str, phase: Phase, text: str = "Succeeded") -> Cell:
    return Cell(Place(fault, shape, phase), phase, text, 11.0)


def test_the_page_has_a_table_for_each_fault_with_the_phases_in_order() -> None:
    told = page(
        [cell("a kill", "group", Phase.CAPTURING), cell("a kill", "group", Phase.PENDING)], ["a kill"]
    )

    assert "## A kill\n\n| | Pending | Capturing |\n" in told
    assert "| group | Succeeded, 10 s | Succeeded, 10 s |" in told
    assert "Not played" not in told


def test_the_page_says_what_was_not_played() -> None:
    cells = [cell("a kill", "group", Phase.PENDING), cell("a fire", "one", Phase.CAPTURING)]

    told = page([*cells, cell("undisturbed", "one", Phase.PENDING)], ["a kill", "a cut", "a fire"])

    assert "| group | Succeeded, 10 s | not played |" in told
    assert "| one | not played | Succeeded, 10 s |" in told
    assert "## Undisturbed\n\n| | Pending |\n" in told
    assert told.endswith("## Not played\n\n- a cut\n")


def test_of_what_was_played_in_parts_the_last_counts(tmp_path: Path) -> None:
    results = Results(tmp_path / "faults" / "results.jsonl")
    first, other = cell("a kill", "group", Phase.PENDING), cell("a cut", "group", Phase.PENDING)
    again = replace(first, struck_in=None, broken=("all", "of it"))
    assert results.cells() == []

    for one in (first, other, again):
        results.add(one)

    assert results.cells() == [again, other]
    results.clear()
    assert results.cells() == []


def test_a_cell_says_where_it_was_struck_in_truth_and_what_is_broken() -> None:
    late = replace(cell("a kill", "group", Phase.PENDING), struck_in=Phase.PREFLIGHT, broken=("all",))

    assert late.text == "Succeeded, 10 s (struck in Preflight) **broken: all**"
    assert replace(late, struck_in=None).text == "-"


def test_a_workload_is_whole_when_all_of_it_is_up_and_nothing_holds_it() -> None:
    up = {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"readyReplicas": 2, "observedGeneration": 2},
    }
    held = {"generation": 2, "annotations": {"becalm.dev/quiesced": "{}"}}

    assert is_whole(up)
    assert not is_whole({**up, "metadata": held})
    assert not is_whole({**up, "spec": {"replicas": 0}, "status": {"observedGeneration": 2}})
    assert not is_whole({**up, "status": {"readyReplicas": 1, "observedGeneration": 2}})
    assert not is_whole({**up, "status": {"readyReplicas": 2, "observedGeneration": 1}})


def test_a_pod_that_is_about_to_end_serves_no_more_though_its_workload_counts_it_as_ready() -> None:
    up = {
        "metadata": {"namespace": "shop", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "db"}}},
        "status": {"readyReplicas": 1, "observedGeneration": 1},
    }
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"namespace": "shop", "labels": {"app": "db"}}
    pod = {"metadata": metadata, "status": ready}
    ending = {**pod, "metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}}

    assert down([up], [pod]) == set()
    assert down([up], [ending, pod]) == set()
    for pods in ([], [ending], [{**pod, "status": {}}]):
        assert down([up], pods) == {"shop"}
