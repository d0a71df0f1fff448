"""What a policy keeps, and why: becalm's answer beside restic's, for random snapshots and random policies."""

import contextlib
import io
import json
import random
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.cli.entry import run_command
from becalm_engine.repository import lock
from becalm_engine.repository.repository import initialise, open_repository
from becalm_engine.storage.local import LocalStorage
from tests.compat import retention_cases
from tests.compat.programs import PASSWORD, Program, restic
from tests.engine.repository.repositories import CHEAP

pytestmark = [pytest.mark.restic, pytest.mark.slow]

SETS = 40
POLICIES = {"0.14": 15, "0.18": 15, "0.19": 50}
MANY = 100
Answer = dict[str, Any]


@pytest.fixture(scope="session")
def sets(scratch: Path) -> Path:
    """Random sets of snapshots, each with a host of its own."""
    retention_cases.write_sets(scratch / "sets", SETS, random.Random("sets"))
    return scratch / "sets"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.0)


def of_becalm(theirs: Program, flags: Sequence[str]) -> list[Answer] | None:
    """Return becalm's answer, or None if it refuses. It runs in this process: a start costs more than the answer."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = run_command(["forget", "--dry-run", "--json", *flags], theirs.all_environment())
    return answers(out.getvalue()) if status == 0 else None


def of_restic(theirs: Program, flags: Sequence[str]) -> list[Answer] | None:
    """Return restic's answer, or None if it refuses; 0.14 says nothing to a policy without a rule, and ends with 0."""
    done = theirs.attempt("forget", "--dry-run", "--no-lock", "--json", *flags)
    return answers(done.stdout.decode()) if done.returncode == 0 and done.stdout else None


def answers(printed: str) -> list[Answer]:
    """Return which snapshots of each group stay, which go, in which order, and why; restic's groups are in no order."""

    def ids(snapshots: Any) -> list[str]:
        return [snapshot["id"] for snapshot in snapshots or ()]

    found = [
        {
            "group": [group["host"], group["paths"], group["tags"]],
            "keep": ids(group["keep"]),
            "remove": ids(group["remove"]),
            # in the order of those that stay; 0.14 does not say whose reasons they are
            "reasons": [reason["matches"] for reason in group["reasons"] or ()],
        }
        for group in json.loads(printed)
    ]
    return sorted(found, key=lambda answer: str(answer["group"]))


def as_0_14_decides(answer: Answer) -> Answer:
    """Return what 0.14 decides, which does not keep the oldest snapshot for being the oldest: it is the last one."""
    reasons = [[why for why in matches if not why.startswith("oldest ")] for matches in answer["reasons"]]
    if all(reasons):
        return {**answer, "reasons": reasons}
    kept, oldest = answer["keep"][:-1], answer["keep"][-1:]
    return {**answer, "keep": kept, "remove": answer["remove"] + oldest, "reasons": reasons[:-1]}


def compare(theirs: Program, source: random.Random, policies: int) -> None:
    """Let both decide by random policies, and see that they agree."""
    old, decided = theirs.version == "0.14", 0
    for _ in range(policies):
        flags = retention_cases.policy(source, unlimited=not old)
        expected, found = of_restic(theirs, flags), of_becalm(theirs, flags)
        if found is None:
            # 0.14 would remove the last snapshot of a group, too
            assert expected is None or (old and not all(answer["keep"] for answer in expected)), flags
            continue
        assert expected is not None, flags
        for theirs_of_group, ours_of_group in zip(expected, found, strict=True):
            assert (as_0_14_decides(ours_of_group) if old else ours_of_group) == theirs_of_group, flags
        decided += 1
    assert decided > policies / 2


def test_the_same_snapshots_stay_for_the_same_reasons(sets: Path, version: str, place: Path) -> None:
    theirs = restic(version, sets, place / "cache")

    compare(theirs, random.Random(version), POLICIES[version])


def test_restic_counts_spans_in_its_own_summer_time_and_becalm_in_the_zone_of_the_snapshot(
    place: Path,
) -> None:
    """The newest is of summer time, so two weeks before it is an hour later for whoever lived through the change."""
    newest, between = "2026-04-05T12:00:00+02:00", "2026-03-22T11:30:00+01:00"
    storage = LocalStorage(place / "sets")
    initialise(storage, PASSWORD, cost=CHEAP)
    repository = open_repository(storage, PASSWORD)
    for time in (newest, between):
        retention_cases.write_snapshot(repository, time, "host", ["/data"])
    utc = restic("0.19", place / "sets", place / "cache")
    zones = {**utc.environment, "TZ": "Europe/Berlin", "ZONEINFO": str(files("tzdata") / "zoneinfo")}
    berlin = Program(utc.binary, utc.repository, zones)

    kept = [
        [len(answer["keep"]) for answer in decide(program, ["--keep-within=14d"]) or ()]
        for decide, program in ((of_restic, utc), (of_becalm, utc), (of_becalm, berlin), (of_restic, berlin))
    ]

    assert kept == [[2], [2], [2], [1]]


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(25))
def test_the_same_snapshots_stay_for_thousands_of_policies(seed: int, version: str, place: Path) -> None:
    source = random.Random(f"{version} {seed}")
    retention_cases.write_sets(place / "sets", SETS, source)

    compare(restic(version, place / "sets", place / "cache"), source, MANY)
