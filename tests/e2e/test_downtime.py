"""What the benchmark of downtime makes of what it sees."""

import pytest
from e2e.downtime.outage import Prober, Seen, Stream, downtime_seconds
from e2e.downtime.page import ALONE, page
from e2e.downtime.ways import documents
from e2e.objects import Document


def _deployment(replicas: int, ready: int, *, generation: int = 1, observed: int = 1) -> Document:
    status = {"readyReplicas": ready, "observedGeneration": observed}
    return {"metadata": {"generation": generation}, "spec": {"replicas": replicas}, "status": status}


def test_downtime_is_from_the_count_of_0_to_the_first_ready_after_it() -> None:
    seen = [
        (1.0, _deployment(1, 1)),
        (2.0, _deployment(0, 1, generation=2)),
        (3.0, _deployment(0, 0, generation=2, observed=2)),
        (5.0, _deployment(1, 1, generation=3, observed=2)),  # what is Ready is what was there before
        (6.0, _deployment(1, 0, generation=3, observed=3)),
        (8.5, _deployment(1, 1, generation=3, observed=3)),
        (9.0, _deployment(1, 1, generation=3, observed=3)),
    ]

    assert downtime_seconds(seen) == 6.5


def test_the_workload_is_ready_when_it_answers_and_waits_for_nothing_else() -> None:
    """The shop's own program, in whose place it runs, says otherwise when it is ready."""
    [deployment] = [one for one in documents(1000) if one["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]

    probes = {name: list(probe) for name, probe in container.items() if name.endswith("Probe")}
    assert probes == {"readinessProbe": ["httpGet", "periodSeconds"]}


def test_an_outage_is_the_longest_time_without_an_answer() -> None:
    prober = Prober(Stream.__new__(Stream), answered=[1.0, 1.5, 4.5, 5.0])

    assert prober.outage_seconds == 3.0


def test_the_page_tells_what_comes_on_top_of_stopping_and_starting_alone() -> None:
    found = {
        ALONE: [Seen(3.0, 2.0), Seen(4.0, 3.0), Seen(5.0, 4.0)],
        "becalm": [Seen(9.0, 8.0), Seen(6.0, 5.5), Seen(7.0, 6.5)],
    }

    rows = [line for line in page(4096, 20_000, found, [12, 9]).splitlines() if line.startswith("| ")]

    assert rows[2:] == [
        f"| {ALONE} | 3.0 | 2.0 | -1.0 | 4.5 (5.0) | 3.5 | +0.5 |",
        "| becalm | 9.0 | 8.0 | +5.0 | 6.5 (7.0) | 6.0 | +2.5 |",
    ]


@pytest.mark.parametrize(("mib", "told"), [(4096, "4 GiB"), (2560, "2.5 GiB"), (64, "64 MiB")])
def test_the_page_tells_how_much_the_claim_holds_and_what_the_driver_took(mib: int, told: str) -> None:
    text = page(mib, 20_000, {ALONE: [Seen(3.0, 2.0), Seen(4.0, 3.0)]}, [12, 9])

    assert f"a claim of {told} in 20,000 files" in text
    assert "more than a minute old" in text
    assert "for 9 to 12 s of each" in text.replace("\n", " ")
