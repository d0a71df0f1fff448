"""A copy of a pack in the current folder, made before a repair: for some blobs it may be the last there is."""

import contextlib
import os
import stat
from pathlib import Path

from becalm_engine.errors import MachineError, UsageError


def save_copy(name: str, data: bytes) -> None:
    """Store a pack beside whatever is in the current folder, and see to it that it survives a crash.

    The same copy may be there already. Nothing else is written over, and no link is followed.

    Raises:
        UsageError: Something else has its name.
        MachineError: It cannot be stored.
    """
    path = f"pack-{name}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _require_same(path, data)
    except OSError as error:
        raise _unsaved(path, error) from error
    else:
        _fill(handle, path, data)
    _sync_folder()


def _fill(handle: int, path: str, data: bytes) -> None:
    """Write a new file; one that cannot be written as a whole is taken away, so as not to be taken for a copy."""
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(path).unlink()
        if isinstance(error, OSError):
            raise _unsaved(path, error) from error
        raise


def _require_same(path: str, data: bytes) -> None:
    if not _holds(path, data):
        raise UsageError(
            f"{path} in the current folder is something else than a copy of that pack, and nothing was changed; "
            "move it away, or run this in another folder"
        )


def _holds(path: str, data: bytes) -> bool:
    """Say whether a file has this content, and have it stored for good then."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size != len(data) or file.read() != data:
            return False
        os.fsync(handle)
        return True


def _sync_folder() -> None:
    """Store the folder's entries; some file systems have no such call."""
    handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _unsaved(path: str, error: OSError) -> MachineError:
    return MachineError(
        f"a copy of the pack cannot be saved as {path} in the current folder ({error.strerror}), "
        "and nothing was changed"
    )
