"""restic's table of snapshots, byte for byte."""

import os
from collections.abc import Mapping, Sequence

from becalm_engine.cli.output import size_text, table
from becalm_engine.cli.times import local_text
from becalm_engine.format.shown import shown_text
from becalm_engine.policy.grouping import Key
from becalm_engine.repository.snapshots import StoredSnapshot

Reasons = Mapping[str, Sequence[str]]
"""Why snapshots stay, by their names."""
_Column = tuple[str, list[list[str]]]


def snapshot_lines(
    members: Sequence[StoredSnapshot], *, compact: bool, reasons: Reasons | None = None
) -> list[str]:
    """Return the lines of a table, with its footer."""
    columns = _columns(members, compact=compact, reasons=reasons)
    head = [title for title, _ in columns]
    rows = [[cells[at] for _, cells in columns] for at in range(len(members))]
    several = not compact and any(len(one.snapshot.paths) > 1 for one in members)
    lines = table(head, rows, apart=several)
    return [*lines, f"Timestamps shown in {_zone()}", f"{len(members)} snapshots"]


def _columns(members: Sequence[StoredSnapshot], *, compact: bool, reasons: Reasons | None) -> list[_Column]:
    """Return the columns that restic has: titles that end with blanks keep a column wide."""
    snapshots = [one.snapshot for one in members]
    tags = [list(map(shown_text, one.tags)) for one in snapshots]
    columns: list[_Column] = [
        ("ID", [[one.short] for one in members]),
        ("Time", [[local_text(one.time_nanos)] for one in snapshots]),
        ("Host" if compact else "Host      ", [[shown_text(one.hostname)] for one in snapshots]),
        ("Tags  ", tags) if compact else ("Tags      ", [[",".join(names)] for names in tags]),
    ]
    if not compact:
        if reasons:
            columns.append(("Reasons", [list(reasons.get(one.name, ())) for one in members]))
        columns.append(("Paths", [list(map(shown_text, one.paths)) for one in snapshots]))
    if any(one.summary for one in snapshots):
        columns.append(("Size", [[_size(one)] for one in members]))
    return columns


def _size(one: StoredSnapshot) -> str:
    size = one.snapshot.summary.get("total_bytes_processed", 0)
    return size_text(size) if one.snapshot.summary and isinstance(size, int) else ""


def _zone() -> str:
    """Return the name of the zone that times are shown in, as Go names it."""
    name = os.environ.get("TZ")
    return "local time" if name is None else name.removeprefix(":") or "UTC"


def group_line(key: Key) -> str:
    """Return the line above the table of a group; none if it is not grouped by anything."""
    host, paths, tags = key
    parts = [f"host [{shown_text(host)}]"] if host else []
    parts += [f"tags [{', '.join(map(shown_text, tags))}]"] if tags else []
    parts += [f"paths [{', '.join(map(shown_text, paths))}]"] if paths else []
    return f"snapshots for ({', '.join(parts)}):" if parts else ""
