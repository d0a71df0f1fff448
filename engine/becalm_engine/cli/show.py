"""How results look: restic's tables for people, restic's documents for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from becalm_engine.cli.output import Output
from becalm_engine.cli.snapshot_table import Reasons, group_line, snapshot_lines
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.forget import Group
from becalm_engine.contract import summary_of
from becalm_engine.format import config
from becalm_engine.format.config import Config
from becalm_engine.format.snapshot import to_document
from becalm_engine.repository.snapshots import StoredSnapshot

GroupKey = tuple[str, tuple[str, ...], tuple[str, ...]]
_NAMED_PACKS = 20


def snapshots(
    output: Output,
    groups: Mapping[GroupKey, Sequence[StoredSnapshot]],
    *,
    compact: bool,
    latest: int,
    grouped: bool,
) -> None:
    """Print the table of snapshots, or their documents."""
    chosen = {key: _latest(members, latest) for key, members in groups.items()}
    if output.json:
        listed = [
            {"group_key": _key_document(key), "snapshots": [snapshot_document(one) for one in members]}
            for key, members in chosen.items()
        ]
        flat = [document for group in listed for document in group["snapshots"]]
        output.message(listed if grouped else flat)
        return
    for key, members in chosen.items():
        if grouped and (line := group_line(key)):
            output.result(line)
        for line in snapshot_lines(members, compact=compact):
            output.result(line)
    if not chosen:
        output.warn("no snapshots")


def _latest(members: Sequence[StoredSnapshot], count: int) -> list[StoredSnapshot]:
    """Return the newest `count` of each host and set of paths, or all."""
    if count <= 0:
        return list(members)
    taken: dict[object, int] = {}
    chosen = []
    for one in reversed(members):
        key = (one.snapshot.hostname, one.snapshot.paths)
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= count:
            chosen.append(one)
    return chosen[::-1]


def snapshot_document(one: StoredSnapshot) -> dict[str, Any]:
    """Return restic's JSON of a listed snapshot."""
    return {**to_document(one.snapshot), "id": one.name, "short_id": one.short}


def _key_document(key: GroupKey) -> dict[str, Any]:
    return {"hostname": key[0], "paths": list(key[1]) or None, "tags": list(key[2]) or None}


def backup_summary(captured: Captured, snapshot: str, *, dry_run: bool) -> dict[str, Any]:
    """Return restic's summary message; `snapshot_id` is absent if none was written."""
    summary: dict[str, Any] = {
        "message_type": "summary",
        **summary_of(captured.report),
        "total_duration": captured.seconds,
        "tree": captured.report.tree,
    }
    if dry_run:
        return {**summary, "dry_run": True}
    return {**summary, "snapshot_id": snapshot} if snapshot else summary


def findings(output: Output, found: Findings) -> None:
    """Print what a check found, and what can be done about it."""
    for hint in found.hints:
        output.say(f"hint: {hint}")
    for error in found.errors:
        output.warn(f"error: {error}")
        output.message({"message_type": "error", "message": error}, to_error=True)
    for name in found.damaged_snapshots:
        output.warn(f"error: snapshot {name[:8]} is damaged")
    if found.errors:
        output.warn("\n".join(_advice(found)))
    output.say("the repository contains errors" if found.errors else "no errors were found")
    output.message(
        {
            "message_type": "summary",
            "num_errors": len(found.errors),
            "broken_packs": found.broken_packs or None,
            "suggest_repair_index": _wants_index(found),
            "suggest_prune": bool(found.unlisted_packs),
            "damaged_snapshots": found.damaged_snapshots,
        }
    )


def _wants_index(found: Findings) -> bool:
    """Say whether the index comes first: what seems to be lost may lie in packs that it does not list."""
    return found.broken_index or bool(found.errors and found.unlisted_packs)


def _advice(found: Findings) -> list[str]:
    lines = ["Make a copy of the repository before it is repaired. Then, in this order:"]
    if _wants_index(found):
        lines.append("  becalm repair index")
    if found.broken_packs:
        more = " …" if len(found.broken_packs) > _NAMED_PACKS else ""
        lines.append(f"  becalm repair packs {' '.join(found.broken_packs[:_NAMED_PACKS])}{more}")
    if found.damaged_snapshots:
        lines.append("  becalm backup …   (files that are still as they were fill what is missing)")
        lines.append("  becalm repair snapshots --dry-run")
    return lines


def forget_plan(output: Output, groups: Sequence[Group], *, compact: bool) -> None:
    """Print which snapshots stay and why, and which go."""
    output.message([_group_document(group) for group in groups])
    for group in groups:
        if line := group_line((group.host, group.paths, group.tags)):
            output.say(line)
        kept = [verdict for verdict in group.verdicts if verdict.kept]
        gone = [verdict.key for verdict in group.verdicts if not verdict.kept]
        reasons = {verdict.key.name: verdict.reasons for verdict in kept}
        if kept:
            _say_table(output, "keep", [verdict.key for verdict in kept], compact=compact, reasons=reasons)
        if gone:
            _say_table(output, "remove", gone, compact=compact)


def _say_table(
    output: Output,
    verb: str,
    members: Sequence[StoredSnapshot],
    *,
    compact: bool,
    reasons: Reasons | None = None,
) -> None:
    output.say(f"{verb} {len(members)} snapshots:")
    for line in snapshot_lines(members, compact=compact, reasons=reasons):
        output.say(line)
    output.say("")


def _group_document(group: Group) -> dict[str, Any]:
    return {
        "tags": list(group.tags) or None,
        "host": group.host,
        "paths": list(group.paths) or None,
        "keep": [snapshot_document(v.key) for v in group.verdicts if v.kept] or None,
        "remove": [snapshot_document(v.key) for v in group.verdicts if not v.kept] or None,
        "reasons": [
            {"snapshot": snapshot_document(v.key), "matches": list(v.reasons)}
            for v in group.verdicts
            if v.kept
        ]
        or None,
    }


def config_text(settings: Config) -> str:
    """Return a config as JSON for people."""
    return json.dumps(json.loads(config.encode(settings)), indent=2) + "\n"
