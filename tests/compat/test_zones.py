"""Snapshots of several zones, written by becalm and by restic: the same texts, the same days."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from tests.compat.programs import Program, becalm, restic

pytestmark = [pytest.mark.restic, pytest.mark.slow]

NIGHTS = {
    "Europe/Berlin": (
        "2026-03-28 01:30:00",
        "2026-03-29 01:30:00",
        "2026-03-30 01:30:00",
        "2026-10-24 00:30:00",
        "2026-10-25 02:30:00",  # comes twice
        "2026-10-26 00:30:00",
    ),
    "America/New_York": (
        "2026-03-07 23:30:00",
        "2026-03-08 02:30:00",  # never comes
        "2026-03-09 21:30:00",
        "2026-11-01 01:30:00",  # comes twice
    ),
    "UTC": ("2026-03-29 01:30:00",),
}


def living_in(program: Program, zone: str) -> Program:
    known = {"TZ": zone, "ZONEINFO": str(files("tzdata") / "zoneinfo")}
    return replace(program, environment={**program.environment, **known})


@pytest.fixture(scope="session")
def several(scratch: Path) -> Path:
    """A repository with the nights of three zones, each written by either program under its own host."""
    place, folder = scratch / "zones", scratch / "zones-source"
    folder.mkdir()
    (folder / "file").write_text("content")
    ours, theirs = becalm(place), restic("0.19", place, scratch / "zones-cache")
    ours.init()
    for zone, nights in NIGHTS.items():
        for night in nights:
            for host, program in (("becalm", ours), ("restic", theirs)):
                flags = f"--host={host}", f"--tag={zone}", f"--time={night}"
                living_in(program, zone).run("backup", *flags, folder)
    return place


def listed(program: Program, *flags: str) -> list[tuple[str, str]]:
    return [(one["id"], one["time"]) for one in program.json("snapshots", "--no-lock", *flags)]


@pytest.mark.parametrize("zone", NIGHTS)
def test_the_time_of_a_snapshot_is_written_as_restic_writes_it(several: Path, zone: str) -> None:
    by_becalm, by_restic = (
        [time for _, time in listed(becalm(several), f"--host={host}", f"--tag={zone}")]
        for host in ("becalm", "restic")
    )

    assert len(by_becalm) == len(NIGHTS[zone])
    assert by_becalm == by_restic


def test_times_are_listed_in_the_zone_in_which_they_were_written(
    several: Path, version: str, place: Path
) -> None:
    theirs = restic(version, several, place / "cache")

    for zone in ("UTC", "Asia/Kathmandu"):
        expected = listed(living_in(theirs, zone))
        # both sort by instants; of two that are alike, neither says which comes first
        assert sorted(listed(living_in(becalm(several), zone))) == sorted(expected)


def decided(program: Program, *flags: str) -> dict[str, list[set[str]]]:
    """Return what stays and what goes of each group."""
    groups = program.json("forget", "--dry-run", "--no-lock", "--group-by=host,tags", *flags)
    return {
        f"{group['host']} {group['tags']}": [
            {one["id"] for one in group[verb] or ()} for verb in ("keep", "remove")
        ]
        for group in groups
    }


@pytest.mark.parametrize(
    "flags", [("--keep-daily=14",), ("--keep-hourly=3",), ("--keep-weekly=3", "--keep-monthly=2")]
)
def test_the_same_nights_of_mixed_zones_stay(
    several: Path, version: str, place: Path, flags: tuple[str, ...]
) -> None:
    theirs = restic(version, several, place / "cache")

    for zone in ("UTC", "Europe/Berlin"):
        found = decided(living_in(becalm(several), zone), *flags)
        assert found == decided(living_in(theirs, zone), *flags)
        if flags == ("--keep-daily=14",):
            assert not any(removed for _, removed in found.values())
