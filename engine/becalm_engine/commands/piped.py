"""Contents that come through a pipe: standard input, a named pipe, or a command. A signal ends the waiting for them."""

import contextlib
import os
import select
import stat
import subprocess
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import SourceFailedError

_LOOK_SECONDS = 0.2
_END_SECONDS = 5.0


class Pipe:
    """Reads from an open descriptor."""

    def __init__(self, handle: int, progress: Progress) -> None:
        self._handle = handle
        self._progress = progress

    def readinto(self, place: memoryview) -> int:
        """Wait for something to read, and return how many bytes came; 0 at the end.

        Raises:
            StoppedError: A signal came first.
        """
        while True:
            self._progress.check()
            if select.select([self._handle], [], [], _LOOK_SECONDS)[0]:
                return os.readv(self._handle, [place])


@contextlib.contextmanager
def opened_fifo(path: str, progress: Progress) -> Iterator[Pipe]:
    """Open a named pipe for the block. What is read ends when its last writer has closed it; none need be there yet.

    Raises:
        SourceFailedError: It is no named pipe, or cannot be opened.
    """
    try:
        # not to wait for a writer: a signal would not end that; the pipe counts as readable once one has come
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceFailedError(f"cannot open {path}: {error.strerror}") from error
    try:
        if not stat.S_ISFIFO(os.fstat(handle).st_mode):
            raise SourceFailedError(f"{path} is not a named pipe")
        yield Pipe(handle, progress)
    finally:
        os.close(handle)


class Command:
    """Runs a command for the block, and reads what it writes to its standard output."""

    def __init__(self, words: Sequence[str], progress: Progress) -> None:
        self._words = words
        self._progress = progress

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(  # noqa: S603  the user's own command
                self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise SourceFailedError(f"cannot start {self._words[0]}: {error.strerror}") from error
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._pipe = Pipe(self._output.fileno(), self._progress)
        return self

    def readinto(self, place: memoryview) -> int:
        """Return how many bytes came; 0 once the command has ended well.

        Raises:
            SourceFailedError: It has failed, so what it wrote is not all there is.
            StoppedError: A signal came first.
        """
        count = self._pipe.readinto(place)
        if not count and (code := self._awaited()):
            self._progress.check()  # a signal to all processes of a terminal ends the command, too
            reason = f"exit status {code}" if code > 0 else f"signal {-code}"
            raise SourceFailedError(f"{self._words[0]} ended with {reason}; there is no snapshot of it")
        return count

    def _awaited(self) -> int:
        while True:
            try:
                return self._process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                self._progress.check()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._output.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
