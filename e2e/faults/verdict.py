"""Whether a run has ended as promised, whatever befell it. Pure."""

from dataclasses import dataclass

from becalm_operator.api.backup import Phase


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found when a run was over."""

    phase: Phase | None
    """How the Backup ended; None if it is gone."""
    reason: str
    told: frozenset[str]
    """The snapshots that its status names."""
    found: frozenset[str]
    """The snapshots that came into the repository meanwhile, as the real restic lists them."""
    volumes: int
    """How many volumes it was to read."""
    unlike: tuple[str, ...]
    """What a restore of the snapshots by the real restic has shown to be wrong."""
    not_up: tuple[str, ...]
    """The workloads that are not as before, or carry a record."""
    finalizers: tuple[str, ...]
    """What is left on the ended Backup."""
    working: tuple[str, ...]
    """Its Jobs that still have a pod at work, with their kind."""
    orphans: tuple[str, ...]
    """What it owned that is still there when it has been deleted: kinds and names."""
    down_seconds: float
    """How long its workloads were not all up, as seen from outside."""


def broken_promises(facts: Facts, expected: frozenset[Phase | None]) -> list[str]:
    """Return what is not as it must be; nothing if all is well."""
    broken = [f"{one} is not as before" for one in facts.not_up]
    broken += [f"finalizer {one} is left" for one in facts.finalizers]
    broken += [f"{one} still works" for one in facts.working]
    broken += [f"{one} has outlived its Backup" for one in facts.orphans]
    broken += list(facts.unlike)
    if facts.phase not in expected:
        broken.append(f"the Backup {outcome(facts)}")
    return broken + _untruths(facts)


def _untruths(facts: Facts) -> list[str]:
    count = len(facts.found)
    if facts.phase is Phase.SUCCEEDED and (facts.told != facts.found or count != facts.volumes):
        return [f"it says {sorted(facts.told)}, and the repository has {sorted(facts.found)}"]
    if facts.phase is Phase.FAILED and facts.found:
        return [f"it has failed, and left {sorted(facts.found)}"]
    if facts.phase is Phase.FAILED and not facts.reason:
        return ["it has failed and does not say why"]
    if facts.phase is None and count not in (0, facts.volumes):
        return [f"it is gone, and left {count} of {facts.volumes} snapshots"]
    return []


def outcome(facts: Facts) -> str:
    """Return how a run ended, for people."""
    if facts.phase is None:
        return "gone, its snapshots whole" if facts.found else "gone, no snapshot"
    return f"{facts.phase}: {facts.reason}" if facts.reason else str(facts.phase)
