"""`becalm forget`: applies a retention policy, group by group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from becalm_engine.errors import StorageError, UsageError
from becalm_engine.policy import retention
from becalm_engine.policy.grouping import Grouping, Key
from becalm_engine.policy.retention import Policy, Verdict
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import DamagedSnapshot, Filter, StoredSnapshot


@dataclass(frozen=True, slots=True)
class Group:
    """Snapshots that a policy looks at together, and what it decided."""

    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    verdicts: tuple[Verdict[StoredSnapshot], ...]


def plan(
    repository: Repository,
    policy: Policy,
    wanted: Filter,
    group_by: str,
    *,
    now: datetime,
    allow_remove_all: bool = False,
    broken: Broken | None = None,
) -> list[Group]:
    """Decide which snapshots stay; nothing is changed. No policy keeps none, if that is allowed.

    With `broken`, a snapshot that is told to it stays, and counts for nothing.

    Raises:
        UsageError: The policy is empty, or would leave nothing of a group.
    """
    if not policy:
        _refuse_careless(wanted, allow_remove_all=allow_remove_all)
    groups = []
    for key, members in grouped(snapshots.list_snapshots(repository, wanted, broken), group_by).items():
        verdicts = (
            retention.apply(((s, s.snapshot) for s in members), policy, now=now)
            if policy
            else _doomed(reversed(members))
        )
        if policy and not any(verdict.kept for verdict in verdicts):
            raise UsageError(
                f"the policy would remove all {len(verdicts)} snapshots of a group; nothing was removed"
            )
        groups.append(Group(key[0], key[1], key[2], tuple(verdicts)))
    return groups


def _refuse_careless(wanted: Filter, *, allow_remove_all: bool) -> None:
    if not allow_remove_all:
        raise UsageError("no --keep-… rule given: that would remove every snapshot")
    if wanted == Filter():
        raise UsageError("--unsafe-allow-remove-all without a --keep-… rule needs a --host, --tag or --path")


def plan_named(named: Sequence[StoredSnapshot]) -> list[Group]:
    """Return the plan by which the snapshots go that are named, and no others."""
    return [Group("", (), (), tuple(_doomed(named)))] if named else []


def _doomed(stored: Iterable[StoredSnapshot]) -> list[Verdict[StoredSnapshot]]:
    return [Verdict(one, one.snapshot, ()) for one in stored]


def grouped(stored: Iterable[StoredSnapshot], group_by: str) -> dict[Key, list[StoredSnapshot]]:
    """Group snapshots by host, paths or tags; what is not grouped by is empty in the key."""
    grouping, groups = Grouping.parse(group_by), dict[Key, list[StoredSnapshot]]()
    for one in stored:
        groups.setdefault(grouping.key_of(one.snapshot), []).append(one)
    return dict(sorted(groups.items()))


def remove(
    repository: Repository,
    groups: Iterable[Group],
    damaged: Iterable[DamagedSnapshot] = (),
    *,
    failed: Broken | None = None,
) -> int:
    """Remove what the plan does not keep, and those that are damaged; return how many went.

    With `failed`, one that the store does not let go, for instance because it is retained, is told and the others
    are tried. A store that is away ends it all the same: each of them would be waited for as long.
    """
    doomed: list[StoredSnapshot | DamagedSnapshot] = []
    doomed += [verdict.key for group in groups for verdict in group.verdicts if not verdict.kept]
    doomed += damaged
    removed = 0
    for one in doomed:
        try:
            snapshots.remove_snapshot(repository, one)
        except StorageError as error:
            if failed is None or error.retryable:
                raise
            failed(one.name, error)
        else:
            removed += 1
    return removed
