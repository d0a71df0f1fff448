"""Repositories that lie: what a restore makes of them does no harm."""

import os
from pathlib import Path

import pytest

from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, SYMLINK, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID
from becalm_engine.repository.writer import Writer
from tests.engine.commands.world import restore, selected
from tests.engine.repository.repositories import made, reopened
from tests.engine.volume.picture import below


def plain(name: bytes, kind: str = FILE, **fields: object) -> Node:
    node = Node(name, kind, 0o644, 1, 1, 1, os.getuid(), os.getgid())
    for field, value in fields.items():
        setattr(node, field, value)
    return node


class Forger:
    """Writes trees that no honest program writes."""

    def __init__(self) -> None:
        self.repository = made()

    def tree(self, *nodes: Node) -> BlobID:
        with Writer(self.repository) as writer:
            return writer.save(BlobKind.TREE, encode_tree([encode_node(node) for node in nodes]))

    def data(self, content: bytes) -> BlobID:
        with Writer(self.repository) as writer:
            return writer.save(BlobKind.DATA, content)

    def file(self, name: bytes, content: bytes = b"evil") -> Node:
        return plain(name, size=len(content), content=(self.data(content),))

    def folder(self, name: bytes, *nodes: Node) -> Node:
        return plain(name, DIR, subtree=self.tree(*nodes), mode=0o755)


@pytest.fixture
def forger() -> Forger:
    return Forger()


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/x", b"../x", b"nul\0x"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_name_that_leads_out_is_refused_and_the_rest_is_restored(
    forger: Forger, place: Path, name: bytes, kind: str
) -> None:
    hostile = {
        "file": lambda: forger.file(name),
        "folder": lambda: forger.folder(name, forger.file(b"x")),
        "link": lambda: plain(name, SYMLINK, link_target=b"/etc"),
    }[kind]()
    tree = forger.tree(hostile, forger.file(b"good"))

    outcome = restore(reopened(forger.repository), tree, place / "in" / "back")

    assert len(outcome.failed) == 1
    assert "refused" in outcome.failed[0]
    assert below(place) == {"in", "in/back", "in/back/good"}


@pytest.mark.parametrize("first", ["link", "folder"])
def test_a_link_and_a_folder_of_one_name_lead_nowhere(forger: Forger, place: Path, first: str) -> None:
    (place / "outside").mkdir()
    link = plain(b"x", SYMLINK, link_target=os.fsencode(place / "outside"))
    folder = forger.folder(b"x", forger.file(b"evil"))
    tree = forger.tree(*((link, folder) if first == "link" else (folder, link)))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert outcome.failed == ["/x: the snapshot has it twice"]
    assert below(place / "outside") == set()


def test_a_link_that_was_there_before_is_not_followed(forger: Forger, place: Path) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "file").write_text("not yours")
    (place / "back").mkdir()
    (place / "back" / "x").symlink_to(place / "outside")
    (place / "back" / "file").symlink_to(place / "outside" / "file")
    tree = forger.tree(forger.file(b"file"), forger.folder(b"x", forger.file(b"evil")))

    outcome = restore(reopened(forger.repository), tree, place / "back", delete=True, verify=True)

    assert outcome.failed == []
    assert (place / "outside" / "file").read_text() == "not yours"
    assert below(place / "outside") == {"file"}
    assert not (place / "back" / "x").is_symlink()
    assert not (place / "back" / "file").is_symlink()


def test_a_size_that_is_not_that_of_the_content_is_damage(forger: Forger, place: Path) -> None:
    for size, name in ((3, b"short"), (5000, b"long")):
        node = forger.file(name)
        node.size = size
        tree = forger.tree(node)
        outcome = restore(reopened(forger.repository), tree, place / "back")
        assert len(outcome.failed) == 1
        assert "states" in outcome.failed[0]


def test_a_size_beyond_any_disk_fails_that_file_only(forger: Forger, place: Path) -> None:
    tree = forger.tree(plain(b"bomb", size=2**63 - 1, content=(forger.data(b"x"),)), forger.file(b"good"))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert [failed.partition(":")[0] for failed in outcome.failed] == ["/bomb"]
    assert (place / "back" / "good").read_bytes() == b"evil"


def test_a_missing_blob_and_a_missing_tree_fail_what_needs_them(forger: Forger, place: Path) -> None:
    tree = forger.tree(
        plain(b"a", size=4, content=(BlobID(bytes(32)),)),
        plain(b"b", DIR, subtree=BlobID(bytes(31) + b"\1")),
        forger.file(b"good"),
    )

    outcome = restore(reopened(forger.repository), tree, place / "back", verify=True)

    assert sorted(failed.partition(":")[0] for failed in outcome.failed) == ["/a", "/b"]
    assert (place / "back" / "good").read_bytes() == b"evil"


def test_a_type_that_cannot_be_made_is_said(forger: Forger, place: Path) -> None:
    tree = forger.tree(plain(b"x", "irregular"))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert outcome.failed == ["/x: a file of type 'irregular' cannot be made"]


def test_includes_keep_the_walk_out_of_folders_that_cannot_hold_what_is_asked_for(
    forger: Forger, place: Path
) -> None:
    lost = plain(b"lost", DIR, subtree=BlobID(bytes(31) + b"\1"))
    tree = forger.tree(forger.folder(b"a", forger.file(b"x")), lost)

    outcome = restore(reopened(forger.repository), tree, place / "back", selection=selected(["/a/x"]))

    assert (outcome.failed, below(place / "back")) == ([], {"a", "a/x"})
