"""`becalm tag`: changes the tags of snapshots."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from becalm_engine.commands.edit import Replacer, first_id, with_tags, without_tags
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import UsageError
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot


@dataclass(frozen=True, slots=True)
class TagChange:
    """What to do to the tags: replace them all, or add some and then remove some. `new` None replaces nothing."""

    new: tuple[str, ...] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def refuse_senseless(self) -> None:
        """Raise `UsageError` if it says nothing, or two things at once."""
        if self.new is None and not self.add and not self.remove:
            raise UsageError("nothing to do: give --set, --add or --remove")
        if self.new is not None and (self.add or self.remove):
            raise UsageError("--set cannot be given together with --add or --remove")

    def applied(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tags after the change."""
        if self.new is not None:
            return self.new
        return tuple(without_tags(with_tags(tags, self.add), self.remove))


def tag(
    repository: Repository, every: Iterable[StoredSnapshot], change: TagChange, progress: Progress
) -> Iterator[tuple[StoredSnapshot, StoredSnapshot]]:
    """Change the tags of snapshots; yield old and new of each that differs. The lock is exclusive."""
    replacer = Replacer(repository)
    for stored in every:
        progress.check()
        tags = change.applied(stored.snapshot.tags)
        if tags != stored.snapshot.tags or change.new is not None:
            changes = {"tags": list(tags), "original": first_id(stored)}
            yield stored, replacer.replace(stored, changes)
