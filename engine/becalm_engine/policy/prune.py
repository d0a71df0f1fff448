"""What a prune removes, what it writes again, and what it leaves alone.

A pack counts only if it is sound: listed once and the same everywhere, present, and as long as the index says.
Packs that are not are neither trusted nor touched; if a blob is needed and lies in no sound pack, there is no plan.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.pack import LENGTH_BYTES, BlobKind, PackedBlob, header_entry_bytes
from becalm_engine.ids import PackID
from becalm_engine.policy.blob_counts import MOST, BlobCounts, Copies, Copy

_FEWEST_SMALL_PACKS = 10
"""Fewer are not worth the trouble, and one that cannot grow would be written again for ever."""
_MANY_BLOBS = 10_000
"""A pack of so many is not small, however short they are."""
_CHOSEN, _LAST_COPY = 1, 0


class Placed(Protocol):
    """A blob and the pack that holds it."""

    @property
    def pack(self) -> PackID:
        """The pack."""
        ...

    @property
    def blob(self) -> PackedBlob:
        """The blob, and where in the pack it lies."""
        ...


@dataclass(frozen=True, slots=True)
class UnusedLimit:
    """How much unused data may stay: so many bytes, or a share of the whole below 100 %; all if neither."""

    size_bytes: int | None = None
    percent: float | None = None

    def allowed_bytes(self, used_bytes: int) -> int | None:
        """Return the limit for so much used data; None means no limit."""
        if self.percent is not None:
            return int(used_bytes * self.percent / (100 - self.percent))
        return self.size_bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a prune goes. Packs shorter than `small_*_bytes` are merged once there are ten of them."""

    unused: UnusedLimit = field(default_factory=lambda: UnusedLimit(percent=5))
    repack_bytes: int | None = None
    cacheable_only: bool = False
    compress_trees: bool = True
    compress_data: bool = False
    small_data_bytes: int = 0
    small_tree_bytes: int = 0


@dataclass(slots=True)
class Amount:
    """Some blobs, and how long they are as they are stored."""

    blobs: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int, blobs: int = 1) -> None:
        """Count blobs in."""
        self.blobs += blobs
        self.size_bytes += size_bytes


@dataclass(slots=True)
class Statistics:
    """What was found, and what the plan does to it. `used`, `duplicate` and `unused` make up all sound packs."""

    used: Amount = field(default_factory=Amount)
    duplicate: Amount = field(default_factory=Amount)
    unused: Amount = field(default_factory=Amount)
    remove: Amount = field(default_factory=Amount)
    repack: Amount = field(default_factory=Amount)
    repack_removes: Amount = field(default_factory=Amount)
    unreferenced_bytes: int = 0
    uncompressed_bytes: int = 0
    packs_used: int = 0
    packs_partly_used: int = 0
    packs_unused: int = 0
    packs_keep: int = 0

    @property
    def total(self) -> Amount:
        """All that the repository holds."""
        blobs = self.used.blobs + self.duplicate.blobs + self.unused.blobs
        size = self.used.size_bytes + self.duplicate.size_bytes + self.unused.size_bytes
        return Amount(blobs, size + self.unreferenced_bytes)

    @property
    def pruned(self) -> Amount:
        """All that the plan takes away."""
        size = self.remove.size_bytes + self.repack_removes.size_bytes + self.unreferenced_bytes
        return Amount(self.remove.blobs + self.repack_removes.blobs, size)

    @property
    def unused_bytes_after(self) -> int:
        """What stays though nobody needs it."""
        unused = self.duplicate.size_bytes + self.unused.size_bytes
        return unused - self.remove.size_bytes - self.repack_removes.size_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with each pack that does not simply stay.

    `missing` are listed and not there; the index forgets them. `doubtful` are left alone, listed as they are.
    """

    unreferenced: tuple[PackID, ...]
    remove: tuple[PackID, ...]
    repack: tuple[PackID, ...]
    missing: tuple[PackID, ...]
    doubtful: tuple[PackID, ...]
    statistics: Statistics


@dataclass(slots=True)
class _Pack:
    """What is known of one listed pack. `kinds` has a bit for each kind of blob in it."""

    size_bytes: int = OVERHEAD_BYTES + LENGTH_BYTES
    stored_bytes: int = 0
    end: int = 0
    kinds: int = 0
    uncompressed: bool = False
    used: Amount = field(default_factory=Amount)
    unused: Amount = field(default_factory=Amount)
    duplicates: int = 0

    def take(self, blob: PackedBlob) -> None:
        """Count a blob into the length of the pack."""
        self.size_bytes += blob.stored_bytes + header_entry_bytes(compressed=bool(blob.plain_bytes))
        self.stored_bytes += blob.stored_bytes
        self.end = max(self.end, blob.offset + blob.stored_bytes)
        self.kinds |= 1 << blob.kind
        self.uncompressed |= not blob.plain_bytes and blob.content_bytes > 0

    @property
    def holds_data_only(self) -> bool:
        """Whether no directory lies in it."""
        return self.kinds == 1 << BlobKind.DATA

    @property
    def is_mixed(self) -> bool:
        """Whether it holds data and directories, which restic writes apart."""
        return self.kinds == (1 << BlobKind.DATA | 1 << BlobKind.TREE)

    def is_small(self, limits: Limits) -> bool:
        """Say whether it is short enough to be merged with others."""
        limit = limits.small_data_bytes if self.holds_data_only else limits.small_tree_bytes
        return self.size_bytes < limit and self.used.blobs + self.unused.blobs < _MANY_BLOBS

    def must_compress(self, limits: Limits) -> bool:
        """Say whether it is written again only to be compressed."""
        wanted = limits.compress_data if self.holds_data_only else limits.compress_trees
        return wanted and self.uncompressed


def parse_unused_limit(text: str, parse_size: "_ParseSize") -> UnusedLimit:
    """Read the value of `--max-unused`: a size, a percentage below 100, or `unlimited`.

    Raises:
        UsageError: It is none of them.
    """
    if text == "unlimited":
        return UnusedLimit()
    if not text.endswith("%"):
        return UnusedLimit(size_bytes=parse_size(text))
    try:
        percent = float(text[:-1])
    except ValueError:
        percent = -1.0
    if not 0 <= percent < 100:
        raise UsageError(f"--max-unused {text!r} is not a percentage from 0 to below 100")
    return UnusedLimit(percent=percent)


class _ParseSize(Protocol):
    def __call__(self, text: str, /) -> int:
        """Read a size like 10M."""
        ...


def make_plan(
    index: Iterable[Placed],
    used: BlobCounts,
    sizes: Mapping[PackID, int],
    limits: Limits,
    *,
    doubtful: Collection[PackID] = (),
    damaged: Collection[Copy] = (),
) -> Plan:
    """Decide about every pack. `sizes` are the packs that are there; `index` is gone through several times.

    `used` holds what the snapshots need, all with the number 0. Afterwards those have the number 1 which have to
    be copied from the packs to repack, and all others 0. `damaged` copies are known to be of no use: each counts as a
    blob that nobody needs.

    Raises:
        DamagedError: A used blob lies in no sound pack.
    """
    copies = Copies(used, frozenset(damaged))
    packs = _listed(index)
    missing = tuple(pack for pack in packs if pack not in sizes)
    unsound = _unsound(packs, sizes, doubtful)
    sound = {pack: about for pack, about in packs.items() if pack not in {*missing, *unsound}}
    statistics = Statistics()
    _count_copies(index, copies, sound)
    _refuse_missing(index, used, missing, unsound)
    _sort_blobs(index, copies, sound, statistics)
    _choose_copies(index, copies, sound, statistics)
    remove, candidates = _sorted_packs(sound, limits, statistics)
    repack = _within_limits(candidates, sound, limits, statistics)
    _keep_only_copied(index, copies, sound, {*remove, *repack})
    unreferenced = tuple(pack for pack in sizes if pack not in packs and pack not in doubtful)
    statistics.unreferenced_bytes = sum(sizes[pack] for pack in unreferenced)
    statistics.packs_keep = len(sound) - len(remove) - len(repack)
    return Plan(unreferenced, tuple(remove), tuple(repack), missing, unsound, statistics)


def _listed(index: Iterable[Placed]) -> dict[PackID, _Pack]:
    packs: dict[PackID, _Pack] = {}
    for placed in index:
        packs.setdefault(placed.pack, _Pack()).take(placed.blob)
    return packs


def unsound_packs(
    index: Iterable[Placed], sizes: Mapping[PackID, int], doubtful: Collection[PackID]
) -> tuple[PackID, ...]:
    """Return the packs that are there and cannot be what the index says."""
    return _unsound(_listed(index), sizes, doubtful)


def _unsound(
    packs: Mapping[PackID, _Pack], sizes: Mapping[PackID, int], doubtful: Collection[PackID]
) -> tuple[PackID, ...]:
    return tuple(p for p in sizes if p in doubtful or (p in packs and not _fits(packs[p], sizes[p])))


def _fits(pack: _Pack, size_bytes: int) -> bool:
    """Say whether a pack can be what the index says: as long, and its blobs end to end."""
    return pack.size_bytes == size_bytes and pack.stored_bytes == pack.end


def _count_copies(index: Iterable[Placed], used: Copies, sound: Collection[PackID]) -> None:
    for placed in index:
        copies = used.get(placed.pack, placed.blob)
        if copies is not None and copies < MOST and placed.pack in sound:
            used.put(placed.blob, copies + 1)


def _refuse_missing(
    index: Iterable[Placed], used: BlobCounts, missing: Collection[PackID], unsound: Collection[PackID]
) -> None:
    lost = {(kind, blob) for kind, blob, copies in used if copies == 0}
    if not lost:
        return
    packs = {placed.pack for placed in index if (placed.blob.kind, placed.blob.id) in lost}
    reasons = [f"pack {pack.hex()} is missing" for pack in missing if pack in packs]
    reasons += [f"pack {pack.hex()} is not as the index says" for pack in unsound if pack in packs]
    kind, blob = min(lost)
    raise DamagedError(
        f"{len(lost)} blobs that snapshots need are in no sound pack, e.g. {kind.name.lower()} blob {blob.hex()}"
        f"{''.join(f'; {reason}' for reason in reasons[:3])}. Nothing was deleted. "
        "Look with `becalm check`; `becalm repair index` finds packs that the index has lost"
    )


def _sort_blobs(
    index: Iterable[Placed], used: Copies, sound: Mapping[PackID, _Pack], statistics: Statistics
) -> None:
    """Count used and unused blobs. What has several copies is unused for now; one copy is chosen afterwards."""
    for placed in index:
        pack, blob = sound.get(placed.pack), placed.blob
        if pack is None:
            continue
        copies = used.get(placed.pack, placed.blob)
        if copies == _CHOSEN:
            pack.used.add(blob.stored_bytes)
            statistics.used.add(blob.stored_bytes)
            continue
        pack.unused.add(blob.stored_bytes)
        if copies is None:
            statistics.unused.add(blob.stored_bytes)
        else:
            pack.duplicates += 1
            statistics.duplicate.add(blob.stored_bytes)


def _choose_copies(
    index: Iterable[Placed], used: Copies, sound: Mapping[PackID, _Pack], statistics: Statistics
) -> None:
    """Choose which copy stays: one in a pack that stays anyway, or that an interrupted prune has written."""
    if not statistics.duplicate.blobs:
        return
    for placed in index:
        pack, blob = sound.get(placed.pack), placed.blob
        copies = used.get(placed.pack, placed.blob)
        if pack is None or copies is None or copies == _CHOSEN:
            continue
        only_duplicates = pack.duplicates == pack.unused.blobs
        if pack.used.blobs or only_duplicates or copies == _LAST_COPY:
            for amount in (pack.used, statistics.used):
                amount.add(blob.stored_bytes)
            for amount in (pack.unused, statistics.duplicate):
                amount.add(-blob.stored_bytes, -1)
            used.put(placed.blob, _CHOSEN)
        else:
            used.put(placed.blob, _LAST_COPY if copies == _CHOSEN + 1 else copies - 1)


def _sorted_packs(
    sound: Mapping[PackID, _Pack], limits: Limits, statistics: Statistics
) -> tuple[list[PackID], list[PackID]]:
    """Return the packs to remove, and those that may be written again, the best ones first."""
    remove: list[PackID] = []
    candidates: list[PackID] = []
    small: list[PackID] = []
    for name, pack in sound.items():
        statistics.uncompressed_bytes += pack.size_bytes if pack.uncompressed else 0
        if not pack.used.blobs:
            statistics.packs_unused += 1
            statistics.remove.add(pack.unused.size_bytes, pack.unused.blobs)
            remove.append(name)
            continue
        statistics.packs_partly_used += bool(pack.unused.blobs)
        statistics.packs_used += not pack.unused.blobs
        if limits.cacheable_only and pack.holds_data_only:
            continue
        if pack.unused.blobs or pack.is_mixed or pack.must_compress(limits):
            candidates.append(name)
        elif pack.is_small(limits):
            small.append(name)
    if len(small) >= _FEWEST_SMALL_PACKS:
        candidates += small
    return remove, sorted(candidates, key=lambda name: _rank(sound[name], limits))


def _rank(pack: _Pack, limits: Limits) -> tuple[bool, bool, float]:
    """Directories come first, then small packs, then those with the largest share of unused data."""
    return pack.holds_data_only, not pack.is_small(limits), -pack.unused.size_bytes / pack.size_bytes


def _within_limits(
    candidates: Iterable[PackID], sound: Mapping[PackID, _Pack], limits: Limits, statistics: Statistics
) -> list[PackID]:
    """Take candidates until little enough would stay unused, or too much would have to be written."""
    allowed = limits.unused.allowed_bytes(statistics.used.size_bytes)
    repack = []
    for name in candidates:
        pack = sound[name]
        if (
            limits.repack_bytes is not None
            and statistics.repack.size_bytes + pack.size_bytes > limits.repack_bytes
        ):
            continue
        enough = allowed is None or statistics.unused_bytes_after <= allowed
        optional = pack.holds_data_only and not pack.must_compress(limits) and not pack.is_small(limits)
        if enough and optional:
            continue
        statistics.repack.add(pack.size_bytes, pack.used.blobs + pack.unused.blobs)
        statistics.repack_removes.add(pack.unused.size_bytes, pack.unused.blobs)
        statistics.uncompressed_bytes -= pack.size_bytes if pack.uncompressed else 0
        repack.append(name)
    return repack


def _keep_only_copied(
    index: Iterable[Placed], used: Copies, sound: Collection[PackID], leaving: Collection[PackID]
) -> None:
    """What lies in a pack that stays needs no copy."""
    for placed in index:
        if (
            placed.pack in sound
            and placed.pack not in leaving
            and used.get(placed.pack, placed.blob) is not None
        ):
            used.put(placed.blob, 0)
