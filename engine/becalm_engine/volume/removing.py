"""Removes what a restore is to delete, whatever its depth, and through no link."""

import os
from collections.abc import Callable, Iterator

from becalm_engine.volume.target import is_directory, list_names, open_directory

Told = Callable[[bytes], None]
"""Told of each path that was removed."""

Spares = Callable[[bytes], bool]
"""Says of a path whether it stays, and with it all below it."""


def _spares_nothing(_path: bytes) -> bool:
    return False


def remove(folder: int, name: bytes, told: Told | None = None, spares: Spares = _spares_nothing) -> None:
    """Remove a file or a whole directory below `folder`; one that is not there is no error.

    `told` hears of each file and directory as it goes: its path from `folder`, which `spares` is asked about too.
    """
    for parent, inner, is_folder, above in everything_at(folder, name, spares):
        if is_folder:
            os.rmdir(inner, dir_fd=parent)
        else:
            os.unlink(inner, dir_fd=parent)
        if told is not None:
            told(b"/".join((*above, inner)))


def everything_at(
    folder: int, name: bytes, spares: Spares = _spares_nothing
) -> Iterator[tuple[int, bytes, bool, list[bytes]]]:
    """Yield what is at a name, directories after what is in them; each may be removed when it is yielded.

    What is spared is left out, with all that is below it and the directories that lead to it.
    Yields the open directory it is in, its name there, whether it is a directory, and the names of the
    directories above it from `folder` on, good until the next. Not recursive: trees may be deep.
    """
    if spares(name):
        return
    try:
        if not is_directory(folder, name):
            yield folder, name, False, []
            return
    except FileNotFoundError:
        return
    stack: list[tuple[int, Iterator[bytes]]] = []
    names: list[bytes] = [name]
    spared = 0  # so deep lies what was spared last; the directory that it is in is one level above
    try:
        stack.append(_opened(folder, name))
        while stack:
            handle, inside = stack[-1]
            inner = next(inside, None)
            if inner is None:
                os.close(stack.pop()[0])
                parent = stack[-1][0] if stack else folder
                last = names.pop()
                if spared > len(names):
                    spared = len(names)
                else:
                    yield parent, last, True, names
            elif spares(b"/".join((*names, inner))):
                spared = len(names)
            elif is_directory(handle, inner):
                names.append(inner)
                stack.append(_opened(handle, inner))
            else:
                yield handle, inner, False, names
    finally:
        for handle, _ in stack:
            os.close(handle)


def _opened(folder: int, name: bytes) -> tuple[int, Iterator[bytes]]:
    handle = open_directory(folder, name)
    return handle, iter(list_names(handle))
