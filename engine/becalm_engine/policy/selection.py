"""Which paths are wanted: those that are included, or all, without those that are excluded."""

from dataclasses import dataclass

from becalm_engine.policy.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Selection:
    """Lists of patterns, as each family of flags gives one: with case, and without."""

    include: tuple[Patterns, ...] = ()
    exclude: tuple[Patterns, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether every path is wanted."""
        return not any((*self.include, *self.exclude))

    def excludes(self, path: str) -> bool:
        """Say whether a path is left out, and with it all below it."""
        return bool(self.exclude) and any(patterns.match(path) for patterns in self.exclude)

    def includes(self, path: str) -> bool:
        """Say whether a path is among what is asked for."""
        return not any(self.include) or any(patterns.covers(path) for patterns in self.include)

    def may_include_below(self, path: str) -> bool:
        """Say whether something below a folder may be asked for."""
        return not any(self.include) or any(patterns.may_cover_below(path) for patterns in self.include)

    def wants(self, path: str) -> bool:
        """Say whether a path is asked for and not left out. Of its parents only the includes are asked."""
        return not self.excludes(path) and self.includes(path)
