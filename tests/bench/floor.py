"""`python -m tests.bench.floor`: what the libraries alone take for the same work, which bounds what can be had of them.

A process for each core passes over its share of the bytes as often as the format asks for, with the same libraries
and in memory of the same kind, opens or makes each file, and does nothing else: no index, no tree, no lock, no
metadata. Starting Python, importing the libraries and deriving a key are in, as they are for the programs.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.poly1305 import Poly1305

from becalm_engine.chunking import MAX_BYTES, MIN_BYTES, Chunker
from becalm_engine.format.compression import Codec
from becalm_engine.format.key_file import ScryptCost
from becalm_engine.heap import keep_freed_memory
from becalm_engine.ids import Buffer

WORKS = ("first backup", "restore", "check --read-data")

_PACK_BYTES = 16 * 1024 * 1024
_LENGTH_BYTES = 8
_END = bytes(_LENGTH_BYTES)
_KEY = bytes(32)
_IV = bytes(16)
_TAG_BYTES = 16


def main() -> int:
    """Do one kind of work on the files of a folder, or on the packs that a backup has left."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor", description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    keep_freed_memory()
    cost = ScryptCost()
    hashlib.scrypt(b"bench", salt=bytes(64), n=cost.n, r=cost.r, p=cost.p, maxmem=1 << 26, dklen=64)
    work = {"first backup": _back_up, "restore": _restore, "check --read-data": _check}[given.work]
    return _side_by_side(work, _shares(given.source), given.target)


def _shares(folder: Path) -> list[list[str]]:
    """Return the files of a folder in as many parts as there are cores: they are of one length, or many."""
    files = [f"{place}/{name}" for place, _, names in os.walk(folder) for name in names]
    cores = os.cpu_count() or 1
    return [files[at::cores] for at in range(cores)]


def _side_by_side(
    work: Callable[[Sequence[str], Path], None], parts: Sequence[list[str]], target: Path
) -> int:
    children = []
    for part in parts:
        pid = os.fork()
        if not pid:
            work(part, target)
            os._exit(0)
        children.append(pid)
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)


class _Sealing:
    """Encrypts and authenticates, or the other way round; each blob by itself, for packs are read in any order."""

    def __init__(self) -> None:
        self._stream = Cipher(AES(_KEY), CTR(_IV)).encryptor()
        self._place = memoryview(bytearray(MAX_BYTES))

    def seal(self, content: Buffer, place: memoryview) -> None:
        sealed = place[:-_TAG_BYTES]
        self._stream.reset_nonce(_IV)
        self._stream.update_into(content, sealed)
        place[-_TAG_BYTES:] = Poly1305.generate_tag(_KEY, sealed)

    def open(self, sealed: memoryview) -> memoryview:
        """Return what is good until the next call."""
        opened = self._place[: len(sealed) - _TAG_BYTES]
        Poly1305.verify_tag(_KEY, sealed[:-_TAG_BYTES], bytes(sealed[-_TAG_BYTES:]))
        self._stream.reset_nonce(_IV)
        self._stream.update_into(sealed[:-_TAG_BYTES], opened)
        return opened


def _back_up(files: Sequence[str], target: Path) -> None:
    sealing, codec = _Sealing(), Codec()
    pack = _NewPack(target)
    for path in files:
        for chunk in _chunks(path):
            hashlib.sha256(chunk).digest()
            gains = codec.seems_to_gain(chunk)
            content = codec.compress(chunk) if gains else chunk
            sealing.seal(content, pack.place(len(content) + _TAG_BYTES, compressed=gains))
        pack.end_file()
    pack.save()


def _chunks(path: str) -> Iterator[Buffer]:
    handle = os.open(path, os.O_RDONLY)
    size = os.fstat(handle).st_size
    if size > MIN_BYTES:
        yield from Chunker(1).cut(partial(_read_into, handle), expected_bytes=size)
    elif size:
        yield os.read(handle, size)
    os.close(handle)


def _read_into(handle: int, view: memoryview) -> int:
    return os.readv(handle, [view])


class _NewPack:
    """A pack as far as reading it again needs it: each blob after its length and whether it is compressed.

    A length of nothing ends a file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pack = memoryview(bytearray(_PACK_BYTES + MAX_BYTES + _PACK_BYTES // 2))
        self._end = 0
        self._count = 0

    def place(self, length: int, *, compressed: bool) -> memoryview:
        """Return where the next blob goes."""
        if self._end >= _PACK_BYTES:
            self.save()
        start = self._end + _LENGTH_BYTES
        self._pack[self._end : start] = (length << 1 | compressed).to_bytes(_LENGTH_BYTES)
        self._end = start + length
        return self._pack[start : self._end]

    def end_file(self) -> None:
        self._pack[self._end : self._end + _LENGTH_BYTES] = _END
        self._end += _LENGTH_BYTES

    def save(self) -> None:
        pack = self._pack[: self._end]
        hashlib.sha256(pack).digest()
        with (self._folder / f"{os.getpid()}-{self._count}").open("wb", buffering=0) as file:
            file.write(pack)
        self._end, self._count = 0, self._count + 1


def _blobs(packs: Sequence[str], *, hashed: bool) -> Iterator[tuple[memoryview, bool]]:
    for path in packs:
        pack, at = memoryview(Path(path).read_bytes()), 0
        if hashed:
            hashlib.sha256(pack).digest()
        while at < len(pack):
            start = at + _LENGTH_BYTES
            length = int.from_bytes(pack[at:start])
            at = start + (length >> 1)
            yield pack[start:at], bool(length & 1)


def _contents(packs: Sequence[str], *, hashed: bool) -> Iterator[Buffer]:
    """Yield the content of each blob, and nothing at the end of each file."""
    sealing, decompressor = _Sealing(), zstandard.ZstdDecompressor()
    for blob, compressed in _blobs(packs, hashed=hashed):
        if not blob:
            yield b""
            continue
        opened = sealing.open(blob)
        content: Buffer = decompressor.decompress(opened) if compressed else opened
        hashlib.sha256(content).digest()
        yield content


def _restore(packs: Sequence[str], target: Path) -> None:
    folder = target / str(os.getpid())
    folder.mkdir()
    where, handle, count = os.open(folder, os.O_RDONLY), -1, 0
    for content in _contents(packs, hashed=False):
        if handle < 0:
            handle, count = os.open(str(count), os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=where), count + 1
        if content:
            os.write(handle, content)
        else:
            os.close(handle)
            handle = -1


def _check(packs: Sequence[str], _target: Path) -> None:
    for _ in _contents(packs, hashed=True):
        pass


if __name__ == "__main__":
    sys.exit(main())
