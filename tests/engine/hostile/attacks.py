"""What somebody who knows the password may put into a repository to harm those who read it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import CHARDEV, DIR, FIFO, FILE, SYMLINK, Node
from becalm_engine.ids import BlobID, PackID, blob_id, stored_id
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, node
from tests.engine.hostile.forge import Forge

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile repository. `is_damage`: a check has to find it. `opens`: the password still opens it."""

    make: Callable[[Forge, Path], None]
    is_damage: bool = True
    opens: bool = True

    @property
    def name(self) -> str:
        return self.make.__name__


# --- names


def named(*names: bytes) -> Callable[[Forge, Path], None]:
    """Files, links and directories with names that lead elsewhere."""

    def make(forge: Forge, outside: Path) -> None:
        nodes = []
        for name in names:
            nodes += [
                forge.file(name, b"evil"),
                forge.folder(name, forge.file(b"inner", b"evil")),
                node(name, SYMLINK, link_target=bytes(outside)),
            ]
        forge.snapshot(forge.tree(nodes))

    return make


def dotted_names(forge: Forge, outside: Path) -> None:
    named(b"..", b".", b"../outside/file", b"../outside")(forge, outside)


def absolute_names(forge: Forge, outside: Path) -> None:
    named(bytes(outside), bytes(outside / "file"), b"/", b"//", b"a/b", b"/etc/passwd")(forge, outside)


def unspeakable_names(forge: Forge, outside: Path) -> None:
    named(b"", b"\0", b"a\0b", b"x" * 256, b"x" * 5000, b"\xff\xfe", b"\x1b[2J\r\n")(forge, outside)


def names_twice(forge: Forge, outside: Path) -> None:
    one, other = forge.file(b"a", b"one"), forge.file(b"a", b"other")
    inner = forge.folder(b"a", forge.file(b"file", b"evil"))
    forge.snapshot(forge.tree([one, other, inner, node(b"a", SYMLINK, link_target=bytes(outside))]))


# --- links


def link_then_folder(forge: Forge, outside: Path) -> None:
    link = node(b"a", SYMLINK, link_target=bytes(outside))
    forge.snapshot(forge.tree([link, forge.folder(b"a", forge.file(b"file", b"evil"))]))


def folder_then_link(forge: Forge, outside: Path) -> None:
    link = node(b"a", SYMLINK, link_target=b"../outside")
    forge.snapshot(forge.tree([forge.folder(b"a", forge.file(b"file", b"evil")), link]))


def file_through_link(forge: Forge, outside: Path) -> None:
    link = node(b"file", SYMLINK, link_target=bytes(outside / "file"))
    forge.snapshot(forge.tree([link, forge.file(b"file", b"evil")]))


def link_in_place_of_a_file(forge: Forge, outside: Path) -> None:
    link = node(b"file", SYMLINK, link_target=bytes(outside / "file"))
    forge.snapshot(forge.tree([forge.file(b"file", b"evil"), link]))


def hard_links_to_links(forge: Forge, outside: Path) -> None:
    """What is one file by its inode is a link by its first name, and a file by others."""
    same = {"inode": 7, "device_id": 1, "links": 4}
    nodes = [
        node(b"a", SYMLINK, link_target=bytes(outside / "file"), **same),
        forge.file(b"b", b"evil", **same),
        node(b"c", FIFO, **same),
        forge.file(b"d", b"other", **{**same, "inode": 8}),
        node(b"e", SYMLINK, link_target=bytes(outside), **{**same, "inode": 8}),
    ]
    inner = forge.folder(b"f", forge.file(b"g", b"evil", **same))
    forge.snapshot(forge.tree([*nodes, inner]))


def hard_link_through_a_replaced_folder(forge: Forge, outside: Path) -> None:
    same = {"inode": 7, "device_id": 1, "links": 3}
    first = forge.folder(b"a", forge.file(b"file", b"evil", **same))
    link = node(b"a", SYMLINK, link_target=bytes(outside))
    forge.snapshot(forge.tree([first, link, forge.file(b"b", b"evil", **same)]))


def links_that_are_no_text(forge: Forge, _: Path) -> None:
    nodes = [
        node(b"empty", SYMLINK),
        node(b"long", SYMLINK, link_target=b"x" * 5000),
        node(b"nul", SYMLINK, link_target=b"a\0b"),
        node(b"self", SYMLINK, link_target=b"self"),
    ]
    forge.snapshot(forge.tree(nodes))


# --- numbers and types


def absurd_numbers(forge: Forge, _: Path) -> None:
    largest = 2**64 - 1
    nodes = [
        forge.file(b"size", size=2**63 - 1),
        forge.file(b"more", size=largest),
        forge.file(b"owner", uid=2**32 - 1, gid=2**32 - 1) if False else forge.file(b"owner", inode=largest),
        node(b"device", CHARDEV, device=largest, links=largest),
    ]
    forge.snapshot(forge.tree(nodes))


def owners_beyond_all_ids(forge: Forge, _: Path) -> None:
    forge.snapshot(
        forge.tree_of(
            {"name": "a", "uid": 2**32 - 1, "gid": 2**32 - 1},
            {"name": "b", "mtime": "9999-12-31T23:59:59.999999999Z", "atime": "0000-01-01T00:00:00Z"},
        )
    )


def numbers_beyond_64_bits(forge: Forge, _: Path) -> None:
    huge = 10**400
    forge.snapshot(forge.tree_of({"name": "a", "size": huge}, {"name": "b", "inode": huge, "links": huge}))


def owners_beyond_32_bits(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.tree_of({"name": "a", "uid": 2**40}, {"name": "b", "gid": 10**400}))


def absurd_attributes(forge: Forge, _: Path) -> None:
    attributes = [
        {"name": "user.nul\0name", "value": "YQ=="},
        {"name": "", "value": "YQ=="},
        {"name": "user." + "x" * 5000, "value": "YQ=="},
        {"name": "user.big", "value": "QUFB" * 100_000},
        {"name": "trusted.overlay.opaque", "value": "eQ=="},
    ]
    forge.snapshot(forge.tree_of({"name": "a", "extended_attributes": attributes}))


def types_that_contradict(forge: Forge, _: Path) -> None:
    tree, data = forge.honest(), forge.blob(b"content")
    forge.snapshot(
        forge.tree_of(
            {"name": "a", "type": "dir", "subtree": tree.hex(), "content": [data.hex()], "size": 7},
            {"name": "b", "type": "file", "subtree": tree.hex(), "linktarget": "/etc", "device": 5},
            {"name": "c", "type": "symlink", "content": [data.hex()], "subtree": tree.hex()},
            {"name": "d", "type": "irregular"},
            {"name": "e", "type": "socket"},
        )
    )


def a_type_that_nobody_knows(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.tree_of({"name": "a", "type": "portal"}))


def a_folder_without_a_tree(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.tree_of({"name": "a", "type": "dir"}))


# --- shapes


def unfolding(forge: Forge, _: Path) -> None:
    """Forty trees that unfold to a trillion files; and once more, with other times."""
    for mtime in (1, 2):
        tree = forge.tree([forge.file(b"file")])
        for _level in range(40):
            tree = forge.tree([folder(name, tree, mtime=mtime) for name in (b"a", b"b")])
        forge.snapshot(tree)


def deep(forge: Forge, _: Path) -> None:
    """Directories in directories, with names as long as may be."""
    deepen(forge, 3000, b"d" * 250)


def deepen(forge: Forge, levels: int, name: bytes) -> None:
    tree = forge.tree([forge.file(b"file")])
    for _ in range(levels):
        tree = forge.tree([folder(name, tree)])
    forge.snapshot(tree)


def wide(forge: Forge, _: Path) -> None:
    """One small blob, fifty thousand times in one file."""
    data = forge.blob(b"x" * 1000)
    forge.snapshot(forge.tree([node(b"a", FILE, content=(data,) * 50_000, size=50_000_000)]))


def nested_json(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.raw_tree(b'{"nodes":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"))
    forge.document(FileKind.INDEX, b'{"packs":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


# --- bombs


def bomb(forge: Forge, size: int, before: bytes = b"", fill: bytes = b"\0") -> bytes:
    """Return a small zstd frame that grows to `size` bytes."""
    compressor = forge.codec.compressor.compressobj()
    block = fill * ((1 << 20) // len(fill))
    parts = [compressor.compress(before)]
    parts += [compressor.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, compressor.flush()])


def bomb_that_states_little(forge: Forge, _: Path) -> None:
    named = blob_id(b"bombing")
    forge.blob(b"", packed=bomb(forge, GIB // 4), plain_bytes=7, named=named)
    forge.snapshot(forge.tree([node(b"a", FILE, content=(named,), size=7)]))


def bomb_that_states_all(forge: Forge, _: Path) -> None:
    named = blob_id(b"bombing")
    forge.blob(b"", packed=bomb(forge, GIB + (1 << 24)), plain_bytes=2 * GIB, named=named)
    forge.snapshot(forge.tree([node(b"a", FILE, content=(named,), size=2 * GIB)]))


def bomb_of_a_tree(forge: Forge, _: Path) -> None:
    packed = bomb(forge, GIB + (1 << 24), b'{"nodes":[', b"[],")
    named = blob_id(b"tree")
    forge.blob(b"", BlobKind.TREE, packed=packed, plain_bytes=3 * GIB, named=named)
    forge.snapshot(named)


def bomb_of_an_index(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    _sealed_document(forge, FileKind.INDEX, b"\x02" + bomb(forge, GIB // 4, b'{"packs":[', b"[],"))


def bomb_of_a_snapshot(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    _sealed_document(forge, FileKind.SNAPSHOT, b"\x02" + bomb(forge, GIB // 4, b'{"paths":["', b" "))


def bomb_of_a_lock(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    _sealed_document(forge, FileKind.LOCK, b"\x02" + bomb(forge, GIB // 4, b"{", b" "))


def _sealed_document(forge: Forge, kind: FileKind, plaintext: bytes) -> None:
    sealed = forge.seal(plaintext)
    forge.files[kind, stored_id(sealed).hex()] = sealed


# --- lengths


def wrong_plain_lengths(forge: Forge, _: Path) -> None:
    long, short = (
        forge.blob(content, plain_bytes=len(content) + by) for content, by in ((b"first", 1), (b"second", -1))
    )
    forge.snapshot(
        forge.tree([node(b"a", FILE, content=(long,), size=6), node(b"b", FILE, content=(short,), size=5)])
    )


def wrong_plain_length_of_a_tree(forge: Forge, _: Path) -> None:
    text = b'{"nodes":[]}\n'
    forge.snapshot(forge.blob(text, BlobKind.TREE, plain_bytes=len(text) + 5))


def sizes_that_are_not_the_content(forge: Forge, _: Path) -> None:
    forge.snapshot(
        forge.tree([forge.file(b"a", size=1), forge.file(b"b", size=10**12), forge.file(b"c", size=0)])
    )


def blobs_beyond_their_pack(forge: Forge, _: Path) -> None:
    """An index that promises gigabytes in a pack of some bytes."""
    forge.snapshot(forge.honest())
    data, tree = blob_id(b"far data"), blob_id(b"far tree")
    pack = forge.seal(b"short")
    name = PackID(stored_id(pack))
    forge.files[FileKind.PACK, name.hex()] = pack
    entries = [
        PackedBlob(data, BlobKind.DATA, 0, 2**31 - 1, 2**32 - 1),
        PackedBlob(tree, BlobKind.TREE, 2**32 - 1, 2**31 - 1, 0),
    ]
    _index(forge, name, entries)
    forge.snapshot(forge.tree([node(b"a", FILE, content=(data,), size=2**32 - 1)]))
    forge.snapshot(tree)


def blobs_over_each_other(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    content = forge.seal(forge.codec.compress(b"content"))
    name = PackID(stored_id(content))
    forge.files[FileKind.PACK, name.hex()] = content
    blob = PackedBlob(blob_id(b"content"), BlobKind.DATA, 0, len(content), 7)
    _index(forge, name, [blob, blob, PackedBlob(BlobID(bytes(32)), BlobKind.DATA, 10, len(content), 7)])


def _index(forge: Forge, name: PackID, entries: list[PackedBlob]) -> None:
    listed = [
        {
            "id": one.id.hex(), "type": one.kind.name.lower(), "offset": one.offset,
            "length": one.stored_bytes, "uncompressed_length": one.plain_bytes,
        }
        for one in entries
    ]  # fmt: skip
    text = json.dumps({"packs": [{"id": name.hex(), "blobs": listed}]})
    forge.document(FileKind.INDEX, text.encode())


def packs_without_a_header(forge: Forge, _: Path) -> None:
    """In no index, so that who looks for them has to believe what they say of themselves."""
    forge.snapshot(forge.honest())
    for data in (b"", b"\xff", b"\xff\xff\xff\xff", bytes(100), b"x" * 200 + b"\xa0\x00\x00\x00"):
        forge.files[FileKind.PACK, stored_id(data).hex()] = data


# --- keys


def keys_that_ask_for_gigabytes(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    for n, r, p in ((2**40, 8, 1), (2**20, 2**20, 1), (2, 1, 2**40), (2**30, 1, 1), (3, 1, 1), (0, 0, 0)):
        _key(forge, {"N": n, "r": r, "p": p})


def keys_that_are_nonsense(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    for data in (b"", b"{}", b"[]", b"\xff" * 100, b"[" * 100_000, b'{"kdf":"rot13"}'):
        forge.files[FileKind.KEY, stored_id(data).hex()] = data
    for change in (
        {"salt": "AA=="},
        {"data": "!"},
        {"N": "x"},
        {"created": "now"},
        {"username": 5},
        {"data": ""},
    ):
        _key(forge, change)


def _key(forge: Forge, changes: Mapping[str, object]) -> None:
    [honest] = [data for (kind, _), data in forge.files.items() if kind is FileKind.KEY][:1]
    data = json.dumps({**json.loads(honest), **changes}).encode()
    forge.files[FileKind.KEY, stored_id(data).hex()] = data


def only_keys_that_ask_for_gigabytes(forge: Forge, outside: Path) -> None:
    honest = set(forge.files)
    keys_that_ask_for_gigabytes(forge, outside)
    for kind, name in honest:
        if kind is FileKind.KEY:
            del forge.files[kind, name]


# --- files that are not what they should be


def garbage(kind: FileKind) -> Callable[[Forge, Path], None]:
    def make(forge: Forge, _: Path) -> None:
        forge.snapshot(forge.honest())
        for data in (b"", b"\xff" * 5, b"{}", bytes(1000)):
            forge.files[kind, stored_id(data).hex()] = data
        forge.files[kind, "ab" * 32] = b"of another name"
        for text in (
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"packs":5,"time":5,"tree":5}',
            b"\xff\xfe",
            b'{"a":' * 5000,
        ):
            forge.document(kind, text)

    make.__name__ = f"garbage_in_{kind.value}"
    return make


def garbage_config(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    forge.files[FileKind.CONFIG, ""] = b"\xff" * 10


def config_of_the_future(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest())
    forge.files[FileKind.CONFIG, ""] = forge.seal(b'{"version":3,"id":"' + b"a" * 64 + b'"}')


def moved_files(forge: Forge, _: Path) -> None:
    """Everything in everybody's folder."""
    forge.snapshot(forge.honest())
    forge.document(FileKind.INDEX, b'{"packs":[]}')
    forge.document(FileKind.LOCK, b'{"time":"2020-01-01T00:00:00Z","hostname":"h","pid":1}')
    documents = (FileKind.INDEX, FileKind.SNAPSHOT, FileKind.LOCK)
    for (kind, name), data in list(forge.files.items()):
        if kind in documents:
            for other in (*documents, FileKind.KEY, FileKind.PACK):
                forge.files.setdefault((other, name), data)


def renamed_snapshot(forge: Forge, _: Path) -> None:
    name = forge.snapshot(forge.honest())
    forge.files[FileKind.SNAPSHOT, "cd" * 32] = forge.files.pop((FileKind.SNAPSHOT, name))


def renamed_pack(forge: Forge, _: Path) -> None:
    """A pack under another's name: the lengths are right, the bytes are another's."""
    one, other = forge.file(b"a", b"x" * 500), forge.file(b"b", b"y" * 500)
    forge.snapshot(forge.tree([one, other]))
    packs = [key for key in forge.finish() if key[0] is FileKind.PACK]
    for first, second in zip(packs, packs[1:] + packs[:1], strict=True):
        forge.files[first] = forge.files[second][: len(forge.files[first])]
        break


def swapped_kinds(forge: Forge, _: Path) -> None:
    """A directory's text as a file, and a file's content as a directory."""
    tree = forge.honest()
    data = forge.blob(b'{"nodes":[]}')
    inner = [
        node(b"a", FILE, content=(tree,), size=1),
        Node(b"b", DIR, 0o755, 0, 0, 0, 0, 0, subtree=data),
        Node(b"c", DIR, 0o755, 0, 0, 0, 0, 0, subtree=forge.blob(b"no tree at all")),
    ]
    forge.snapshot(forge.tree(inner))
    forge.snapshot(data)


def missing_blobs(forge: Forge, _: Path) -> None:
    nowhere = BlobID(bytes(32))
    forge.snapshot(forge.tree([node(b"a", FILE, content=(nowhere,), size=5), folder(b"b", nowhere)]))
    forge.snapshot(nowhere)


def snapshots_that_say_nonsense(forge: Forge, _: Path) -> None:
    tree = forge.honest()
    forge.snapshot(tree, summary={"total_bytes_processed": "much", "files_new": [1], "data_added": 10**400})
    forge.snapshot(
        tree, hostname="\x1b[2J\r\nx" * 100, tags=["a,b", "\n", ""], paths=["", "\0", "/x" * 10_000]
    )
    forge.snapshot(tree, time="9999-12-31T23:59:59+00:00", original=tree.hex(), parent=tree.hex())
    forge.snapshot(tree, username="\u202e\ud800", program_version="x" * 100_000, uid=2**32 - 1)


def snapshots_outside_the_calendar(forge: Forge, _: Path) -> None:
    forge.snapshot(forge.honest(), time="0000-01-01T00:00:00+23:59")
    forge.snapshot(forge.honest(), time="9999-12-31T23:59:59-23:59")
    forge.snapshot(forge.honest(), uid=10**400)


ATTACKS = (
    Attack(dotted_names), Attack(absolute_names), Attack(unspeakable_names), Attack(names_twice),
    Attack(link_then_folder), Attack(folder_then_link), Attack(file_through_link),
    Attack(link_in_place_of_a_file), Attack(hard_links_to_links, is_damage=False),
    Attack(hard_link_through_a_replaced_folder), Attack(links_that_are_no_text, is_damage=False),
    Attack(absurd_numbers), Attack(owners_beyond_all_ids, is_damage=False),
    Attack(numbers_beyond_64_bits), Attack(owners_beyond_32_bits),
    Attack(absurd_attributes, is_damage=False), Attack(types_that_contradict, is_damage=False),
    Attack(a_type_that_nobody_knows), Attack(a_folder_without_a_tree),
    Attack(deep, is_damage=False), Attack(wide, is_damage=False), Attack(nested_json),
    Attack(bomb_that_states_little), Attack(bomb_that_states_all), Attack(bomb_of_a_tree),
    Attack(bomb_of_an_index), Attack(bomb_of_a_snapshot), Attack(bomb_of_a_lock),
    Attack(wrong_plain_lengths), Attack(wrong_plain_length_of_a_tree), Attack(sizes_that_are_not_the_content),
    Attack(blobs_beyond_their_pack), Attack(blobs_over_each_other),
    Attack(packs_without_a_header, is_damage=False),
    Attack(keys_that_ask_for_gigabytes, is_damage=False), Attack(keys_that_are_nonsense, is_damage=False),
    Attack(only_keys_that_ask_for_gigabytes, opens=False),
    Attack(garbage(FileKind.INDEX)), Attack(garbage(FileKind.SNAPSHOT)), Attack(garbage(FileKind.LOCK)),
    Attack(garbage(FileKind.PACK), is_damage=False), Attack(garbage_config, opens=False),
    Attack(config_of_the_future, opens=False), Attack(moved_files), Attack(renamed_snapshot),
    Attack(renamed_pack), Attack(swapped_kinds), Attack(missing_blobs),
    Attack(snapshots_that_say_nonsense, is_damage=False), Attack(snapshots_outside_the_calendar),
)  # fmt: skip
