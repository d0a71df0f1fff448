"""docs/downtime.md: what was measured, as a table."""

import os
import statistics
from collections.abc import Mapping, Sequence

from e2e.downtime.outage import Seen

ALONE = "stop and start alone"


def page(mib: int, files: int, found: Mapping[str, Sequence[Seen]], copied_seconds: Sequence[int]) -> str:
    """Return the page: for each way its first backup and then incremental ones. One of the ways is `ALONE`.

    `copied_seconds` is how long the storage driver took to make each snapshot.
    """
    floor = statistics.median(seen.downtime for seen in found[ALONE])
    return _TEXT.format(
        size=f"{mib / 1024:g} GiB" if mib >= 1024 else f"{mib} MiB",
        files=f"{files:,}",
        repeats=min(len(seen) for seen in found.values()) - 1,
        cores=os.cpu_count(),
        rows="\n".join(_row(title, seen, floor) for title, seen in found.items()),
        copied=_span(copied_seconds),
    )


def _row(title: str, seen: Sequence[Seen], floor: float) -> str:
    first, later = seen[0], seen[1:]
    down = statistics.median(one.downtime for one in later)
    worst = max(one.downtime for one in later)
    outage = statistics.median(one.outage for one in later)
    return (
        f"| {title} | {first.downtime:.1f} | {first.outage:.1f} | {first.downtime - floor:+.1f} "
        f"| {down:.1f} ({worst:.1f}) | {outage:.1f} | {down - floor:+.1f} |"
    )


def _span(seconds: Sequence[int]) -> str:
    least, most = min(seconds), max(seconds)
    return f"{least}" if least == most else f"{least} to {most}"


_TEXT = """# Downtime

Written by `make bench-downtime`, on a real cluster: a Deployment that answers HTTP within a moment of its start and
ends at once when told to, with a claim of {size} in {files} files of random bytes. It goes on writing: one file in a
hundred is rewritten again and again, while becalm reads ahead, too. The others are more than a minute old, as most
files of a volume are: what changed in the last minute before becalm reads ahead is read again while all is down. The
repository is on an S3 server of the same machine, on which everything else runs as well ({cores} cores), so that the
rows compare with each other alone.

*Down* is the time from the Deployment's count being 0 to its being Ready again, as a watch sees it; *no answer* is the
longest time in which its Service's endpoints gave none. Seconds; those of incremental backups are medians of {repeats}
(the worst in brackets). *Above* is what comes on top of the median of stopping and starting alone. Two runs that do the
same differ by a second or two, since the kubelet looks for ended containers once a second: a row below stop and start
alone means no difference.

| way | down, first | no answer | above | down, incremental | no answer | above |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

What a snapshot costs is up to the storage driver. That of this cluster copies every file: for {copied} s of each
downtime above with `capture: Snapshot`. A driver that shares blocks takes a second or two however large the volume is;
what is left then is the table's row without those seconds.
"""
