"""An event that a signal may set, whatever it interrupts."""

import contextlib
import os
import select
import threading
import weakref

_LONGEST_SECONDS = 24 * 3600.0


class SignalEvent(threading.Event):
    """An event whose `set` takes no lock, so that the handler of a signal may call it.

    A handler runs in the main thread between any two of its steps, also inside `wait`. There a `threading.Event` holds
    the lock that its own `set` would wait for, for ever. This one is a file that can be read once it is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._file = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._file)

    def is_set(self) -> bool:
        """Say whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Wake all that wait, now and later."""
        self._is_set = True
        os.eventfd_write(self._file, 1)

    def clear(self) -> None:
        """Have the next ones wait."""
        self._is_set = False
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._file)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; say whether it is."""
        if not self._is_set:
            seconds = _LONGEST_SECONDS if timeout is None else min(max(timeout, 0.0), _LONGEST_SECONDS)
            waiting = select.poll()
            waiting.register(self._file, select.POLLIN)
            while not waiting.poll(1000 * seconds) and timeout is None:
                pass
        return self._is_set
