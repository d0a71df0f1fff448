"""Folders to back up: everything that a file system can hold, and a lot of it."""

import os
import random
import socket
from pathlib import Path

MIB = 1024 * 1024
GIB = 1024 * MIB

NAMES = (
    b"plain", b"two words", b" leading", b"trailing ", b"tab\there", b"line\nbreak", b"return\rhere", b"bell\a\b\v\f",
    b'quo"te', b"apos'trophe", b"back\\slash", b"\\x41", b"\\n", b"star*?[a]", b"<html>&amp;", b"-rf", b"#hash",
    b"$HOME",
    b"`id`", b"%s%d", b"...", b"..hidden", b"\x01\x02\x1f\x7f", b"\xff\xfe", b"caf\xe9", b"half\xc3", b"\xed\xa0\x80",
    b"\xc0\xaf", "größe".encode(), "日本語".encode(), "nfd-e\u0301".encode(), "no-break\u00a0space".encode(),
    "zero\u200bwidth".encode(), "soft\u00adhyphen".encode(), "bom\ufeff".encode(), "line\u2028sep".encode(),
    "replacement\ufffd".encode(), "emoji😀".encode(), "private\ue000".encode(), "tag\U000e0001".encode(),
    "wide\u3000space".encode(), b"n" * 255,
)  # fmt: skip
"""Names that are quoted in a tree, in every way there is, and names that look as if they were."""


def write_odd(folder: Path) -> None:
    """Write names, types, modes, times, owners and attributes of every kind."""
    folder.mkdir(parents=True)
    _write_names(folder / "names")
    _write_links(folder / "links")
    _write_modes(folder / "modes")
    _write_contents(folder / "contents")
    _write_attributes(folder / "attributes")
    if os.geteuid() == 0:
        _write_as_root(folder / "root")
    _write_times(folder / "times")


def write_deep(folder: Path, levels: int = 250) -> None:
    """Write a tree that is as deep as a path may be long."""
    current = folder
    for level in range(levels):
        current /= f"level-{level}"
    current.mkdir(parents=True)
    (current / "bottom").write_text("as deep as it gets")


def write_many(folder: Path, count: int = 20_000, *, each: int = 100) -> None:
    """Write many small files, some alike."""
    source = random.Random(count)
    for number in range(count // each):
        inside = folder / f"{number % 16:x}" / f"{number}"
        inside.mkdir(parents=True)
        for at in range(each):
            (inside / f"file-{at}").write_bytes(source.randbytes(source.randrange(900)))


def write_sparse(path: Path, size: int = 5 * GIB) -> None:
    """Write a file that is nearly all hole, with data at its start, in its middle and near its end."""
    source = random.Random(size)
    with path.open("wb") as file:
        file.truncate(size)
        for at in (0, size // 2 + 12_345, size - 3 * MIB):
            file.seek(at)
            file.write(source.randbytes(700_000))


def _write_names(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text(f"{number}")
    for name in (b"dir \xff", b"dir\n", b'dir "\\'):
        inside = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        inside.mkdir()
        (inside / "file").write_text("inside")


def _write_links(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_text("linked")
    (folder / "hard").hardlink_to(folder / "file")
    (folder / "other").mkdir()
    (folder / "other" / "hard").hardlink_to(folder / "file")
    for name, to in (
        ("relative", b"file"),
        ("absolute", b"/etc/passwd"),
        ("broken", b"nowhere"),
        ("up", b"../../.."),
    ):
        (folder / name).symlink_to(os.fsdecode(to))
    for kind, target in ((b"binary", b"\xff\xfe\n"), (b"unicode", "größe".encode()), (b"long", b"x" * 4000)):
        (folder / os.fsdecode(kind)).symlink_to(os.fsdecode(target))
    os.mkfifo(folder / "fifo", 0o640)
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # a socket's path may have no more than 107 bytes
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
        listening.close()


def _write_modes(folder: Path) -> None:
    folder.mkdir()
    for mode in (0o400, 0o600, 0o644, 0o777, 0o4755, 0o2755, 0o1644, 0o7777):
        (folder / f"{mode:o}").write_text(f"{mode:o}")
        (folder / f"{mode:o}").chmod(mode)
    for mode in (0o700, 0o755, 0o1777, 0o2775, 0o500):
        (folder / f"dir-{mode:o}").mkdir()
        (folder / f"dir-{mode:o}" / "inside").write_text("x")
        (folder / f"dir-{mode:o}").chmod(mode)
    if os.geteuid() == 0:
        (folder / "none").write_text("only root reads this")
        (folder / "none").chmod(0)


def _write_contents(folder: Path) -> None:
    folder.mkdir()
    source = random.Random(1)
    (folder / "empty").touch()
    (folder / "empty-dir").mkdir()
    (folder / "like-empty-dir").write_text('{"nodes":[]}\n')  # what is stored of the empty folder
    for size in (1, 511 * 1024, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 3 * MIB, 20 * MIB + 7):
        (folder / f"random-{size}").write_bytes(source.randbytes(size))
    (folder / "copy").write_bytes((folder / f"random-{3 * MIB}").read_bytes())
    (folder / "text").write_text("the same line, again and again\n" * 100_000)
    (folder / "zeros").write_bytes(bytes(5 * MIB + 3))
    with (folder / "hole").open("wb") as file:
        file.truncate(40 * MIB)
        file.seek(17 * MIB + 5)
        file.write(source.randbytes(100))


def _write_attributes(folder: Path) -> None:
    folder.mkdir()
    for name, value in (("empty", b""), ("text", b"value"), ("binary", bytes(range(256)))):
        (folder / name).write_text(name)
        os.setxattr(folder / name, f"user.{name}", value)
    (folder / "dir").mkdir()
    os.setxattr(folder / "dir", "user.on.dir", b"1")
    os.setxattr(folder / "dir", "user.a", b"2")


def _write_as_root(folder: Path) -> None:
    folder.mkdir()
    for uid, gid in ((0, 0), (1000, 100), (65534, 65534), (4_000_000_000, 3_000_000_000)):
        (folder / f"owner-{uid}").write_text("owned")
        os.chown(folder / f"owner-{uid}", uid, gid)
    (folder / "owned-link").symlink_to("x")
    os.chown(folder / "owned-link", 1234, 5678, follow_symlinks=False)
    (folder / "owned-dir").mkdir()
    os.chown(folder / "owned-dir", 1234, 5678)
    os.mknod(folder / "null", 0o20666, os.makedev(1, 3))
    os.mknod(folder / "loop", 0o60640, os.makedev(7, 300))
    os.setxattr(folder / "owner-0", "trusted.note", b"for root only")
    # one capability, cap_net_bind_service, as the kernel stores it
    os.setxattr(folder / "owner-1000", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))


def _write_times(folder: Path) -> None:
    folder.mkdir()
    for name, nanos in (
        ("epoch", 0), ("before", -86_400_000_000_000), ("nanos", 1_700_000_000_123_456_789),
        ("micros", 1_700_000_000_120_000_000), ("future", 4_102_444_800_000_000_000),
    ):  # fmt: skip
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(nanos, nanos))
    (folder / "link").symlink_to("epoch")
    os.utime(folder / "link", ns=(1, 1_600_000_000_000_000_001), follow_symlinks=False)
    (folder / "dir").mkdir()
    os.utime(folder / "dir", ns=(1, 1_500_000_000_000_000_001))
