"""What a prune plans, in restic's words."""

from typing import Any

from becalm_engine.cli.output import Output, size_text
from becalm_engine.policy.prune import Amount, Plan, Statistics


def prune_plan(output: Output, plan: Plan, *, dry_run: bool) -> None:
    """Print what will be done, or would be."""
    found = plan.statistics
    for pack in plan.doubtful:
        output.warn(
            f"Warning: pack {pack.hex()} is not as the index says, and is left alone; "
            "`becalm repair index` sets that right, or says what does"
        )
    for pack in plan.missing:
        output.warn(f"Warning: pack {pack.hex()} is missing and not needed; the index will forget it")
    if output.verbose:
        _found(output, found)
    if dry_run:
        output.say("\nWould have made the following changes:")
    _changes(output, found)
    if output.verbose:
        _packs(output, plan)
    output.message(summary(plan, dry_run=dry_run))


def _amount(output: Output, title: str, amount: Amount) -> None:
    output.say(f"{title:<14}{amount.blobs:10d} blobs / {size_text(amount.size_bytes)}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "0.00%"


def _found(output: Output, found: Statistics) -> None:
    output.say("")
    _amount(output, "used:", found.used)
    if found.duplicate.blobs:
        _amount(output, "duplicates:", found.duplicate)
    _amount(output, "unused:", found.unused)
    if found.unreferenced_bytes:
        output.say(f"unreferenced:                    {size_text(found.unreferenced_bytes)}")
    _amount(output, "total:", found.total)
    unused = found.duplicate.size_bytes + found.unused.size_bytes
    output.say(f"unused size: {_share(unused, found.total.size_bytes)} of total size")


def _changes(output: Output, found: Statistics) -> None:
    remaining = _remaining(found)
    output.say("")
    _amount(output, "to repack:", found.repack)
    _amount(output, "this removes:", found.repack_removes)
    removed = Amount(found.remove.blobs, found.remove.size_bytes + found.unreferenced_bytes)
    _amount(output, "to delete:", removed)
    _amount(output, "total prune:", found.pruned)
    if found.uncompressed_bytes:
        output.say(f"not yet compressed:              {size_text(found.uncompressed_bytes)}")
    _amount(output, "remaining:", remaining)
    unused = found.unused_bytes_after
    output.say(
        f"unused size after prune: {size_text(unused)} ({_share(unused, remaining.size_bytes)} of remaining size)\n"
    )


def _remaining(found: Statistics) -> Amount:
    total, pruned = found.total, found.pruned
    return Amount(total.blobs - pruned.blobs, total.size_bytes - pruned.size_bytes)


def _packs(output: Output, plan: Plan) -> None:
    found = plan.statistics
    output.say(
        f"totally used packs: {found.packs_used:10d}\n"
        f"partly used packs:  {found.packs_partly_used:10d}\n"
        f"unused packs:       {found.packs_unused:10d}\n\n"
        f"to keep:      {found.packs_keep:10d} packs\n"
        f"to repack:    {len(plan.repack):10d} packs\n"
        f"to delete:    {len(plan.remove):10d} packs"
    )
    if plan.unreferenced:
        output.say(f"to delete:    {len(plan.unreferenced):10d} unreferenced packs")


def summary(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    """Return the plan as a document; restic prints none, so the names are those of its statistics."""
    found = plan.statistics
    amounts = {
        "used": found.used,
        "duplicate": found.duplicate,
        "unused": found.unused,
        "total": found.total,
        "repack": found.repack,
        "repackrm": found.repack_removes,
        "remove": found.remove,
        "remove_total": found.pruned,
        "remain": _remaining(found),
    }
    sizes = {name: amount.size_bytes for name, amount in amounts.items()}
    sizes["unref"] = found.unreferenced_bytes
    sizes["uncompressed"] = found.uncompressed_bytes
    sizes["remain_unused"] = found.unused_bytes_after
    return {
        "message_type": "summary",
        "dry_run": dry_run,
        "blobs": {name: amount.blobs for name, amount in amounts.items()},
        "bytes": sizes,
        "packs": _pack_counts(plan),
    }


def _pack_counts(plan: Plan) -> dict[str, int]:
    found = plan.statistics
    return {
        "used": found.packs_used,
        "partly_used": found.packs_partly_used,
        "unused": found.packs_unused,
        "unref": len(plan.unreferenced),
        "keep": found.packs_keep,
        "repack": len(plan.repack),
        "remove": len(plan.remove),
        "missing": len(plan.missing),
        "doubtful": len(plan.doubtful),
    }
