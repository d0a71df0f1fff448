"""Turns at the cluster: many tests at once, each in namespaces of its own, or one that disturbs everybody, alone.

Files that are locked hold among the processes of a test run, and the kernel unlocks what a process leaves behind.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Turns:
    """What the processes of one test run agree on, by files in a folder that they share."""

    folder: Path

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Work beside others, as soon as nobody is alone or waits to be."""
        with ExitStack() as held:
            with self._locked("next", fcntl.LOCK_EX):
                held.enter_context(self._locked("cluster", fcntl.LOCK_SH))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work as soon as all others have ended. Those who come later wait."""
        with self._locked("next", fcntl.LOCK_EX), self._locked("cluster", fcntl.LOCK_EX):
            yield

    def once(self, what: str, do: Callable[[], None]) -> None:
        """Do something unless another process has done it. The others wait until it is done."""
        done = self.folder / f"{what}.done"
        with self._locked(what, fcntl.LOCK_EX):
            if not done.exists():
                do()
                done.touch()

    @contextmanager
    def together(self, what: str, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
        """Be one of several for whom something has begun: the first begins it, the last ends it."""
        with self._locked(what, fcntl.LOCK_EX):
            if not self._count(what):
                begin()
            self._set_count(what, self._count(what) + 1)
        try:
            yield
        finally:
            with self._locked(what, fcntl.LOCK_EX):
                self._set_count(what, self._count(what) - 1)
                if not self._count(what):
                    end()

    def _count(self, what: str) -> int:
        file = self.folder / f"{what}.count"
        return int(file.read_text()) if file.exists() else 0

    def _set_count(self, what: str, count: int) -> None:
        (self.folder / f"{what}.count").write_text(str(count))

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, how)
            yield
