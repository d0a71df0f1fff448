"""Random sets of snapshots, and random policies to apply to them. The same seed gives the same ones."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from becalm_engine.format.gotime import NANOS, from_datetime
from becalm_engine.repository.repository import Repository, initialise, open_repository
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.compat.programs import PASSWORD
from tests.engine.repository.repositories import CHEAP

HOUR, DAY = 3600, 86400
_MOST_SNAPSHOTS = 36
_ZONES = (0, 0, 0, 60, 120, -300, 330, 345, -570, 840, -720)
"""Minutes east of UTC."""
_TAGS = ("a", "b", "c d", "ü")
_PATHS = ("/data", "/etc", "/home/ü")
_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_SPANS = (
    "30m",
    "1h",
    "5h",
    "23h",
    "24h",
    "1d",
    "3d",
    "7d",
    "31d",
    "1m",
    "2m",
    "11m",
    "1y",
    "4y",
    "1y6m3d7h",
    "9999y",
)
_GROUPINGS = ("host", "host,paths", "host,tags", "host,paths,tags", "paths", "tags", "")


def write_sets(folder: Path, count: int, source: random.Random) -> None:
    """Make a repository of as many sets of snapshots; each has a host of its own, so that one run decides on all."""
    storage = LocalStorage(folder)
    initialise(storage, PASSWORD, cost=CHEAP)
    repository = open_repository(storage, PASSWORD)
    taken: set[int] = set()
    for number in range(count):
        times = _times(source) - taken  # of snapshots of one time, neither program says which comes first
        taken |= times
        for nanos in times:
            write_snapshot(
                repository,
                _written(nanos, source.choice(_ZONES)),
                f"host-{number}",
                source.choice((_PATHS[:1], _PATHS[:1], _PATHS, _PATHS[::-1], _PATHS[1:])),
                source.sample(_TAGS, source.choice((0, 0, 1, 1, 2, 3))),
            )


def write_snapshot(
    repository: Repository, time: str, host: str, paths: Sequence[str], tags: Sequence[str] = ()
) -> None:
    """Store a snapshot of a tree that is not there: nothing that only decides looks for it."""
    document = {"time": time, "tree": "00" * 32, "paths": paths, "hostname": host, "tags": tags or None}
    repository.save_document(FileKind.SNAPSHOT, json.dumps(document).encode())


def policy(source: random.Random, *, unlimited: bool) -> list[str]:
    """Return the flags of a policy of a few rules, its grouping, and now and then a filter."""
    rules = [_count, _span, _count, _span, _all_within, _tag]
    flags = [rule(source) for rule in source.sample(rules, source.choice((1, 1, 2, 2, 3, 6)))]
    flags.append(f"--group-by={source.choice(_GROUPINGS)}")
    if source.random() < 0.2:
        flags.append(source.choice(("--host=host-1", "--tag=a", "--tag=b,a", "--tag=", "--path=/etc")))
    return flags if unlimited else [flag.replace("unlimited", "1000") for flag in flags]


def _count(source: random.Random) -> str:
    number = source.choice(("0", "1", "2", "3", "5", "8", "20", "unlimited"))
    return f"--keep-{source.choice(('last', *_PERIODS))}={number}"


def _span(source: random.Random) -> str:
    return f"--keep-within-{source.choice(_PERIODS)}={source.choice(_SPANS)}"


def _all_within(source: random.Random) -> str:
    return f"--keep-within={source.choice(_SPANS)}"


def _tag(source: random.Random) -> str:
    tags = source.sample(_TAGS, source.choice((0, 1, 1, 2)))
    return f"--keep-tag={source.choice(('', '', ' ', ','))}{source.choice((',', ', ')).join(tags)}"


def _times(source: random.Random) -> set[int]:
    """Return times in nanoseconds since 1970: some on the very edges of periods and spans, some in the future."""
    newest = from_datetime(
        datetime(source.randrange(1995, 2026), source.randrange(1, 13), source.randrange(1, 29), tzinfo=UTC)
    )
    newest += source.randrange(DAY * NANOS)
    step = source.choice((60, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY))
    shapes: list[Callable[[], int]] = [
        lambda: newest - source.randrange(1 + 40 * step * NANOS),
        lambda: newest - source.randrange(40) * step * NANOS,
        lambda: (
            newest - source.choice((1, 24, 7 * 24, 31 * 24)) * HOUR * NANOS + source.choice((-1, 0, 1, 1000))
        ),
        lambda: newest - newest % (DAY * NANOS) - source.randrange(60) * DAY * NANOS - source.choice((0, 1)),
        lambda: (
            from_datetime(datetime(source.randrange(1970, 2026), 12, 31, 23, 59, 59, tzinfo=UTC))
            + source.choice((0, NANOS))
        ),
        lambda: from_datetime(datetime(2090, 1, source.randrange(1, 29), tzinfo=UTC)),
    ]
    weights = [source.choice((0, 1, 5)) for _ in shapes[:-1]] + [source.choice((0, 0, 0, 1))]
    chosen = source.choices(
        shapes, [*weights[:-1], weights[-1]] if any(weights) else None, k=source.randrange(_MOST_SNAPSHOTS)
    )
    return {newest, *(shape() for shape in chosen)}


def _written(nanos: int, zone_minutes: int) -> str:
    seconds, fraction = divmod(nanos, NANOS)
    there = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=zone_minutes)))
    day, zone = there.isoformat()[:19], there.isoformat()[19:]
    return f"{day}.{fraction:09d}{zone}"
