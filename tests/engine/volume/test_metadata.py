import os
import pwd
from pathlib import Path

import pytest

from becalm_engine.format.tree import FILE, SYMLINK, Node
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from becalm_engine.volume import metadata
from becalm_engine.volume.metadata import Problems, Restored, node_of, set_metadata, set_metadata_at
from tests.engine.volume.powerless import powerless


def node_at(path: Path) -> Node:
    return node_of(os.fsencode(path.name), os.lstat(path), os.fsencode(path))


def test_a_node_tells_what_lstat_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    (tmp_path / "file").chmod(0o4640)
    (tmp_path / "other").hardlink_to(tmp_path / "file")
    about = (tmp_path / "file").stat()

    node = node_at(tmp_path / "file")

    assert (node.name, node.type, node.mode, node.size, node.links) == (b"file", FILE, 0o4640, 5, 2)
    assert (node.mtime, node.ctime, node.inode) == (about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    assert node.atime == node.mtime


def test_access_times_are_taken_if_wanted(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(5, 7))

    node = node_of(b"x", tmp_path.stat(), os.fsencode(tmp_path), with_atime=True)

    assert (node.atime, node.mtime) == (5, 7)


def test_an_owner_without_a_name_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert metadata._user_name(3_999_999_999) == ""
    assert metadata._group_name(3_999_999_999) == ""
    assert metadata._user_name(0) == "root"


def test_attributes_keep_the_file_systems_order(tmp_path: Path) -> None:
    for name in ("user.b", "user.a", "user.c"):
        os.setxattr(tmp_path, name, name.encode())

    read = metadata.read_xattrs(os.fsencode(tmp_path))

    assert [name for name, _ in read] == os.listxattr(tmp_path)
    assert dict(read) == {name: name.encode() for name in ("user.a", "user.b", "user.c")}


@pytest.mark.parametrize("number", [95, 1, 13])
def test_a_file_system_without_attributes_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> list[str]:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "listxattr", refuse)

    assert metadata.read_xattrs(os.fsencode(tmp_path)) == ()


def test_an_attribute_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.setxattr(tmp_path, "user.a", b"1")

    def refuse(*_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "getxattr", refuse)

    with pytest.raises(OSError):
        metadata.read_xattrs(os.fsencode(tmp_path))


def test_metadata_goes_onto_an_open_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.setxattr(tmp_path / "file", "user.old", b"old")
    node = node_at(tmp_path / "file")
    node.mode, node.mtime, node.atime, node.xattrs = 0o2751, 123_456_789_012, 7, (("user.new", b"new"),)
    problems = Problems()

    with (tmp_path / "file").open("r+b") as file:
        set_metadata(file.fileno(), node, "/file", problems)

    again = node_at(tmp_path / "file")
    assert (again.mode, again.mtime, again.xattrs) == (0o2751, 123_456_789_012, (("user.new", b"new"),))
    assert problems.counts == {}


def test_a_link_gets_its_own_times_and_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    before = (tmp_path / "file").stat()
    node = node_at(tmp_path / "link")
    node.mtime = 10**18
    folder = os.open(tmp_path, os.O_RDONLY)

    set_metadata_at(folder, b"link", node, "/link", Problems())

    os.close(folder)
    assert node.type == SYMLINK
    assert (tmp_path / "link").lstat().st_mtime_ns == 10**18
    assert (tmp_path / "file").stat().st_mtime_ns == before.st_mtime_ns


def test_what_cannot_be_set_is_counted_by_kind_and_the_rest_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    node = node_at(tmp_path / "file")
    node.xattrs = (("bad.name", b""), ("user.good", b"1"), ("worse.name", b""))
    node.mode = 0o600

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    problems = Problems()

    with (tmp_path / "file").open("r+b") as file:
        set_metadata(file.fileno(), node, "/file", problems)

    assert problems.counts == {"owner": 1, "extended attributes": 2}
    assert problems.examples["owner"] == ("/file", "Operation not permitted")
    assert os.getxattr(tmp_path / "file", "user.good") == b"1"
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o600


def test_the_mode_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    node = node_at(tmp_path / "file")
    node.mtime, node.mode = 10**18, 0o640
    times = []
    change = os.fchmod

    def noting(handle: int, mode: int) -> None:
        times.append(os.fstat(handle).st_mtime_ns)
        change(handle, mode)

    monkeypatch.setattr(os, "fchmod", noting)

    with (tmp_path / "file").open("r+b") as file:
        set_metadata(file.fileno(), node, "/file", Problems())

    assert times == [10**18]
    assert (tmp_path / "file").stat().st_mtime_ns == 10**18


def test_a_read_only_file_gets_its_attributes_from_its_owner(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.setxattr(tmp_path / "file", "user.old", b"old")
    (tmp_path / "file").chmod(0o444)
    node = node_at(tmp_path / "file")
    node.xattrs = (("user.new", b"new"),)
    problems = Problems()

    with powerless(), (tmp_path / "file").open("rb") as file:
        set_metadata(file.fileno(), node, "/file", problems)

    assert (os.listxattr(tmp_path / "file"), problems.counts) == (["user.new"], {})
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o444


def test_only_the_attributes_that_are_selected_are_set_and_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("user.old", "user.other"):
        os.setxattr(tmp_path / "file", name, b"old")
    node = node_at(tmp_path / "file")
    node.xattrs = (("user.new", b"new"), ("user.only", b"only"))
    chosen = Selection(exclude=(Patterns(["user.o*"]),))

    with (tmp_path / "file").open("r+b") as file:
        set_metadata(file.fileno(), node, "/file", Problems(), Restored(attributes=chosen))
    assert sorted(os.listxattr(tmp_path / "file")) == ["user.new", "user.old", "user.other"]
    with (tmp_path / "file").open("r+b") as file:
        chosen = Selection(include=(Patterns(["user.o*"]),))
        set_metadata(file.fileno(), node, "/file", Problems(), Restored(attributes=chosen))
    assert sorted(os.listxattr(tmp_path / "file")) == ["user.new", "user.only"]


def test_owners_may_go_by_name_and_a_name_that_is_not_known_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    node = node_at(tmp_path / "file")
    node.uid, node.gid, node.user, node.group = 4711, 4712, pwd.getpwuid(0).pw_name, "no such group\0"
    given = []
    monkeypatch.setattr(os, "fchown", lambda _, *owner: given.append(owner))
    monkeypatch.setattr(os, "chown", lambda *owner, **_: given.append(owner[1:]))
    problems = Problems()

    with (tmp_path / "file").open("r+b") as file:
        set_metadata(file.fileno(), node, "/file", problems, Restored(owner_by_name=True))
    folder = os.open(tmp_path, os.O_RDONLY)
    set_metadata_at(folder, b"file", node, "/file", problems, Restored(owner_by_name=True))
    os.close(folder)

    assert given == [(0, 4712), (0, 4712)]
    assert problems.counts == {"group name": 2}
    assert problems.examples["group name"][1].endswith("is not known here")


@pytest.mark.parametrize("privileged", [True, False])
def test_what_makes_a_restore_fail_is_what_restic_would_not_excuse(privileged: bool) -> None:
    problems = Problems()
    for kind in ("owner", "times", "user name", "group name"):
        problems.note(kind, "/file", "so it is")

    assert problems.failures(privileged=privileged) == (["owner", "times"] if privileged else ["times"])


def test_a_link_that_has_taken_the_place_of_a_fifo_is_not_followed(tmp_path: Path) -> None:
    """A user who may write into the folder could have root change the mode of any file."""
    os.mkfifo(tmp_path / "fifo", 0o666)
    node = node_at(tmp_path / "fifo")
    node.mode = 0o666
    (tmp_path / "fifo").unlink()
    (tmp_path / "other").touch(0o600)
    (tmp_path / "fifo").symlink_to("other")
    problems = Problems()

    folder = os.open(tmp_path, os.O_RDONLY)
    set_metadata_at(folder, b"fifo", node, "/fifo", problems)
    os.close(folder)

    assert (tmp_path / "other").stat().st_mode & 0o7777 == 0o600
    assert problems.counts["mode"] == 1
