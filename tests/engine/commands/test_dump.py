import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import tarball
from becalm_engine.commands.dump import Tar, Zip, dump_file, dump_folder
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import subtree_at
from becalm_engine.errors import DamagedError, StoppedError
from becalm_engine.format.gotime import NANOS
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DEV, FIFO, SOCKET, SYMLINK, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, lose, node, plant, plant_content
from tests.engine.commands.world import World


def tar_of(world: World, tree: BlobID, above: bytes = b"") -> tarfile.TarFile:
    out = io.BytesIO()
    dump_folder(world.opened(), tree, above, Tar(out), Progress())
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()), errors="surrogateescape")


def zip_of(world: World, tree: BlobID) -> tuple[zipfile.ZipFile, list[str]]:
    out = io.BytesIO()
    left_out = dump_folder(world.opened(), tree, b"", Zip(out), Progress())
    return zipfile.ZipFile(io.BytesIO(out.getvalue())), left_out


def test_a_file_comes_out_as_it_went_in(world: World, tmp_path: Path) -> None:
    content = os.urandom(3_000_000) + bytes(2_000_000) + os.urandom(100_000)
    (tmp_path / "file").write_bytes(content)
    captured = world.backup(tmp_path)
    repository = world.opened()
    _, found = subtree_at(repository, captured.tree, f"{tmp_path}/file")
    assert found is not None
    out = io.BytesIO()

    dump_file(repository, found, out, Progress())

    assert out.getvalue() == content


def test_blocks_of_zeros_are_not_read(world: World) -> None:
    zeros = plant_content(world, ZERO_BLOCK)
    lose(world, zeros)
    sparse = node(b"sparse", size=3 * len(ZERO_BLOCK), content=(zeros,) * 3)
    out = io.BytesIO()

    dump_file(world.opened(), sparse, out, Progress())

    assert out.getvalue() == 3 * ZERO_BLOCK


def test_neighbours_in_a_pack_are_read_in_one_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"%d" % number for number in range(300)]
    with Writer(world.opened()) as writer:
        blobs = [writer.save(BlobKind.DATA, content) for content in contents]
    repository, reads = world.opened(), list[int]()
    load = repository.storage.load_range

    def counted(kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        reads.append(length)
        return load(kind, name, offset=offset, length=length)

    monkeypatch.setattr(repository.storage, "load_range", counted)
    out = io.BytesIO()
    content = (*blobs, *blobs)

    dump_file(repository, node(b"f", size=2 * len(b"".join(contents)), content=content), out, Progress())

    assert out.getvalue() == 2 * b"".join(contents)
    assert len(reads) <= 2


def test_more_than_a_batch_comes_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("becalm_engine.commands.fetch._BATCH_PARTS", 3)
    contents = [b"%d;" % number for number in range(20)]
    with Writer(world.opened()) as writer:
        blobs = [writer.save(BlobKind.DATA, content) for content in contents]
    out = io.BytesIO()

    whole = node(b"f", size=len(b"".join(contents)), content=tuple(blobs))
    dump_file(world.opened(), whole, out, Progress())

    assert out.getvalue() == b"".join(contents)


def test_a_size_that_is_not_that_of_the_content_is_refused_before_anything_is_written(world: World) -> None:
    blob = plant_content(world, b"content")
    out = io.BytesIO()

    for wrong in (node(b"f", size=6, content=(blob,)), node(b"f", size=9, content=(blob, BlobID(bytes(32))))):
        with pytest.raises(DamagedError):
            dump_file(world.opened(), wrong, out, Progress())

    assert out.getvalue() == b""


def test_a_dump_can_be_stopped(world: World) -> None:
    blob, progress = plant_content(world, b"content"), Progress()
    progress.stop.set()

    with pytest.raises(StoppedError):
        dump_file(world.opened(), node(b"f", size=7, content=(blob,)), io.BytesIO(), progress)


ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 2**32 - 1), (2, 4, 1001), (4, 2, 2**32 - 1), (8, 1, 39), (16, 7, 0), (32, 0, 0))
)


def planted_nodes(world: World) -> list[Node]:
    blob = plant_content(world, b"content")
    inner = plant(world, [node(b"x" * 200, size=7, content=(blob,))])
    return [
        node(b"acl", xattrs=(("system.posix_acl_access", ACL), ("user.a=b", b"\0\xff"), ("user.c", b"v"))),
        node(b"bin\xff\n", size=7, content=(blob,), mtime=1_600_000_000 * NANOS + 123_456_789),
        folder(b"dir", inner),
        node(b"early", mtime=-5 * NANOS - 500_000_000),
        node(b"fifo", FIFO),
        node(b"link", SYMLINK, link_target=b"to\xfe"),
        node(b"loop", DEV, device=7 << 8 | 3),
        node(b"socket", SOCKET),
        node(b"suid", mode=0o4755, user="größe", group="g" * 40),
    ]


def test_a_tar_holds_names_types_times_owners_attributes_and_access_lists(world: World) -> None:
    root = plant(world, planted_nodes(world))

    tar = tar_of(world, root)
    members = {member.name: member for member in tar}

    assert list(members) == [
        "acl", "bin\udcff\n", "dir", "dir/" + "x" * 200, "early", "fifo", "link", "loop", "suid",
    ]  # fmt: skip
    content = tar.extractfile(members["dir/" + "x" * 200])
    assert content is not None
    assert content.read() == b"content"
    assert members["bin\udcff\n"].pax_headers["mtime"] == "1600000000.123456789"
    assert members["early"].mtime == pytest.approx(-5.5)
    assert members["link"].linkname == "to\udcfe"
    assert members["fifo"].isfifo()
    assert (members["loop"].isblk(), members["loop"].devmajor, members["loop"].devminor) == (True, 7, 3)
    assert members["dir"].isdir()
    suid = members["suid"]
    assert (suid.mode, suid.uname, suid.gname) == (0o4755, "größe", "g" * 40)
    acl = members["acl"].pax_headers
    text = "user::rw-\nuser:1001:r--\ngroup::-w-\ngroup:39:--x\nmask::rwx\nother::---\n"
    assert acl["SCHILY.acl.access"] == text
    assert acl["SCHILY.xattr.user.c"] == "v"
    assert acl["SCHILY.xattr.user.a%3Db"] == "\0\udcff"


def test_names_in_an_archive_begin_with_the_path_that_was_asked_for(world: World) -> None:
    root = plant(world, [node(b"file")])

    assert tar_of(world, root, b"/some/where").getnames() == ["some/where/file"]


def test_numbers_that_a_header_cannot_hold_come_in_records() -> None:
    large = Node(b"n", "file", 0o644, 0, 0, 0, uid=2**31, gid=5)

    header = tarball.header(b"n", large, 9 * 2**30)

    info = tarfile.TarInfo.frombuf(header[-512:], "utf-8", "surrogateescape")
    assert (info.uid, info.gid, info.size) == (0, 5, 0)
    assert b"uid=2147483648\n" in header
    assert b"size=9663676416\n" in header


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=40), st.integers(-(2**36), 2**36))
def test_a_header_gives_back_any_name_value_and_time(name: bytes, value: bytes, mtime: int) -> None:
    name = name.replace(b"\0", b"0").replace(b"/", b"x")
    made = Node(name, "file", 0o644, mtime * 1000, 0, 0, 0, 0, xattrs=(("user.x", value),))

    stream = io.BytesIO(tarball.header(name, made, 0) + tarball.END)
    with tarfile.open(fileobj=stream, errors="surrogateescape") as tar:
        [member] = tar.getmembers()

    assert os.fsencode(member.name) == name.rstrip(b"/")
    assert os.fsencode(member.pax_headers["SCHILY.xattr.user.x"]) == value
    assert float(member.pax_headers.get("mtime", member.mtime)) == pytest.approx(mtime / 1e6, abs=1e-6)


def test_an_access_list_that_is_none_stays_an_attribute() -> None:
    made = Node(b"n", "file", 0o644, 0, 0, 0, 0, 0, xattrs=(("system.posix_acl_default", b"\2\0\0\0odd"),))

    assert b"SCHILY.xattr.system.posix_acl_default=\2\0\0\0odd" in tarball.header(b"n", made, 0)


def test_a_zip_holds_files_folders_and_links_and_says_what_it_left_out(world: World) -> None:
    root = plant(world, planted_nodes(world))

    found, left_out = zip_of(world, root)

    assert found.testzip() is None
    assert found.namelist() == ["acl", r"bin\xff\n", "dir/", "dir/" + "x" * 200, "early", "link", "suid"]
    assert found.read(r"bin\xff\n") == b"content"
    assert found.read("link") == b"to\xfe"
    assert found.getinfo("suid").external_attr >> 16 == stat.S_IFREG | 0o4755
    assert found.getinfo("link").external_attr >> 16 == stat.S_IFLNK | 0o644
    assert found.getinfo("early").date_time == (1980, 1, 1, 0, 0, 0)
    assert found.getinfo(r"bin\xff\n").date_time == (2020, 9, 13, 12, 26, 40)
    assert [line.split(":")[0] for line in left_out] == ["fifo", "loop", "socket"]


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"a\0b"])
@pytest.mark.parametrize("archive", [Tar, Zip])
def test_a_name_that_leads_elsewhere_is_refused(world: World, name: bytes, archive: type[Tar | Zip]) -> None:
    root = plant(world, [node(name)])

    with pytest.raises(DamagedError, match="refused"):
        dump_folder(world.opened(), root, b"", archive(io.BytesIO()), Progress())


def test_an_archive_is_not_completed_when_a_folder_cannot_be_read(world: World) -> None:
    lost = plant(world, [node(b"x")])
    root = plant(world, [node(b"a"), folder(b"b", lost)])
    lose(world, lost)
    out = io.BytesIO()

    with pytest.raises(DamagedError):
        dump_folder(world.opened(), root, b"", Tar(out), Progress())

    assert not out.getvalue().endswith(tarball.END)
