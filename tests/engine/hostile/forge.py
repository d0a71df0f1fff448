"""Makes repositories that no honest program would: by somebody who knows the password."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from becalm_engine.format import index_file, pack
from becalm_engine.format.compression import Codec
from becalm_engine.format.crypto import seal
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, PackID, blob_id, stored_id
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, node
from tests.engine.repository.repositories import made
from tests.engine.storage.memory import MemoryStorage

Files = dict[tuple[FileKind, str], bytes]


class Forge:
    """Collects blobs, snapshots and files. `files` is the repository after `finish`; it may be spoilt further."""

    def __init__(self) -> None:
        storage = MemoryStorage()
        self._repository = made(storage)
        self.key = self._repository.key
        self.files = storage.files
        self.codec = Codec()
        self.snapshots: list[str] = []
        self._packs: dict[BlobKind, list[tuple[PackedBlob, bytes]]] = {kind: [] for kind in BlobKind}
        self._seen: set[tuple[BlobKind, BlobID]] = set()

    def seal(self, plaintext: bytes) -> bytes:
        return seal(self.key, plaintext, iv=os.urandom(16))

    def blob(
        self,
        content: bytes,
        kind: BlobKind = BlobKind.DATA,
        *,
        plain_bytes: int | None = None,
        packed: bytes | None = None,
        named: BlobID | None = None,
    ) -> BlobID:
        """Store a blob: `packed` instead of its compressed content, and with another plain length or name."""
        blob = named or blob_id(content)
        if (kind, blob) in self._seen:
            return blob
        self._seen.add((kind, blob))
        sealed = self.seal(self.codec.compress(content) if packed is None else packed)
        plain = len(content) if plain_bytes is None else plain_bytes
        self._packs[kind].append((PackedBlob(blob, kind, 0, len(sealed), plain), sealed))
        return blob

    def raw_tree(self, text: bytes) -> BlobID:
        return self.blob(text, BlobKind.TREE)

    def tree(self, nodes: Iterable[Node]) -> BlobID:
        return self.raw_tree(encode_tree(map(encode_node, nodes)))

    def tree_of(self, *documents: dict[str, Any]) -> BlobID:
        """Store a tree of nodes of which some fields are other than any node could have."""
        whole = [{"name": "n", "type": "file", "mode": 420, "content": [], **one} for one in documents]
        return self.raw_tree(json.dumps({"nodes": whole}, separators=(",", ":")).encode() + b"\n")

    def file(self, name: bytes, content: bytes = b"content", **fields: Any) -> Node:
        size = fields.pop("size", len(content))
        return node(name, FILE, content=(self.blob(content),), size=size, **fields)

    def folder(self, name: bytes, *nodes: Node) -> Node:
        return folder(name, self.tree(nodes))

    def document(self, kind: FileKind, text: bytes) -> str:
        """Store an index, snapshot or lock; return its name."""
        sealed = self.seal(b"\x02" + self.codec.compress(text))
        name = stored_id(sealed).hex()
        self.files[kind, name] = sealed
        return name

    def snapshot(self, tree: BlobID, **fields: Any) -> str:
        own = {"time": "2026-01-02T00:00:00Z", "tree": tree.hex(), "paths": ["/x"], "hostname": "node"}
        name = self.document(FileKind.SNAPSHOT, json.dumps({**own, **fields}).encode())
        self.snapshots.append(name)
        return name

    def finish(self) -> Files:
        """Write packs and index."""
        entries = [self._write(blobs) for blobs in self._packs.values() if blobs]
        if entries:
            self.document(FileKind.INDEX, index_file.encode(entries))
        return self.files

    def _write(self, blobs: list[tuple[PackedBlob, bytes]]) -> tuple[PackID, list[PackedBlob]]:
        placed, at = [], 0
        for packed, sealed in blobs:
            placed.append(PackedBlob(packed.id, packed.kind, at, len(sealed), packed.plain_bytes))
            at += len(sealed)
        header = self.seal(pack.encode_header(placed))
        data = b"".join([*(sealed for _, sealed in blobs), header, pack.encode_length(len(header))])
        name = PackID(stored_id(data))
        self.files[FileKind.PACK, name.hex()] = data
        return name, placed

    def honest(self) -> BlobID:
        """Store a tree with which nothing is wrong."""
        return self.tree([self.folder(b"dir", self.file(b"inner", b"inner")), self.file(b"file")])


def lay_out(files: Files, folder: Path) -> None:
    """Write a repository as a folder, with only the sub-folders that it needs."""
    for (kind, name), data in files.items():
        path = folder / kind.value
        if kind is FileKind.PACK:
            path /= name[:2]
        path = path / name if name else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
