"""Reads trees with their neighbours: those of one snapshot lie side by side, and a request costs more than a MiB."""

import threading
from collections import OrderedDict

from becalm_engine.ids import PackID
from becalm_engine.storage.base import FileKind, Storage

_WINDOW_BYTES = 1024 * 1024
_OVERLAP_BYTES = 64 * 1024
_MOST_WINDOWS = 64


class Windows:
    """Keeps the parts of packs that were read last, at most 68 MiB of them. Safe to use from several threads."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: OrderedDict[tuple[PackID, int], bytes] = OrderedDict()
        self._changing = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether what is read next pushes out what was read before."""
        return len(self._known) >= _MOST_WINDOWS

    def over(self, storage: Storage) -> "Windows":
        """Return the same windows, with more to be read in another way."""
        copy = Windows(storage)
        with self._changing:
            copy._known.update(self._known)
        return copy

    def load(self, pack: PackID, *, offset: int, length: int, end: int) -> bytes:
        """Return a part of a pack of which `end` bytes are known to exist; a long part is read by itself."""
        number, start = divmod(offset, _WINDOW_BYTES)
        if start + length > _WINDOW_BYTES + _OVERLAP_BYTES:
            return self._read(pack, offset, length)
        key = pack, number
        with self._changing:
            window = self._known.get(key)
            if window is not None:
                self._known.move_to_end(key)
        if window is None:
            first = number * _WINDOW_BYTES
            window = self._read(pack, first, min(_WINDOW_BYTES + _OVERLAP_BYTES, end - first))
            self._keep(key, window)
        return window[start : start + length]

    def forget(self, pack: PackID, *, offset: int) -> None:
        """Drop what is kept of a place that turned out damaged: the next read may bring it whole."""
        with self._changing:
            self._known.pop((pack, offset // _WINDOW_BYTES), None)

    def _keep(self, key: tuple[PackID, int], window: bytes) -> None:
        with self._changing:
            self._known[key] = window
            while len(self._known) > _MOST_WINDOWS:
                self._known.popitem(last=False)

    def _read(self, pack: PackID, offset: int, length: int) -> bytes:
        return self._storage.load_range(FileKind.PACK, pack.hex(), offset=offset, length=length)
