"""Index files: which pack holds which blob.

{"packs":[{"id":…,"blobs":[{"id":…,"type":"data","offset":0,"length":38,"uncompressed_length":112}]}]}
"""

from collections.abc import Iterable, Sequence
from typing import Any

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.documents import parse_object
from becalm_engine.format.pack import MAX_PACK_BYTES, MAX_STORED_BYTES, BlobKind, PackedBlob
from becalm_engine.ids import BlobID, PackID, parse_id

_KIND_NAMES = ("data", "tree")
_KINDS = {"data": BlobKind.DATA, "tree": BlobKind.TREE}


def encode(packs: Iterable[tuple[PackID, Sequence[PackedBlob]]]) -> bytes:
    """Return the JSON of an index file over whole packs."""
    texts = []
    for pack, blobs in packs:
        listed = ",".join(map(_blob_text, blobs))
        texts.append(f'{{"id":"{pack.hex()}","blobs":[{listed}]}}')
    return f'{{"packs":[{",".join(texts)}]}}'.encode()


def _blob_text(blob: PackedBlob) -> str:
    plain = f',"uncompressed_length":{blob.plain_bytes}' if blob.plain_bytes else ""
    return (
        f'{{"id":"{blob.id.hex()}","type":"{_KIND_NAMES[blob.kind]}",'
        f'"offset":{blob.offset},"length":{blob.stored_bytes}{plain}}}'
    )


def decode(text: bytes) -> list[tuple[PackID, list[PackedBlob]]]:
    """Return packs and their blobs, in the order of the file.

    Raises:
        DamagedError: It is not an index file.
    """
    packs = parse_object(text, "index").get("packs")
    if packs is None:
        raise DamagedError("index: no packs")
    try:
        return [(PackID(parse_id(p["id"])), [_blob(b) for b in p["blobs"] or ()]) for p in packs]
    except (KeyError, TypeError) as error:
        raise DamagedError(f"index: {type(error).__name__} {error}") from error


def _blob(entry: dict[str, Any]) -> PackedBlob:
    offset, length, plain = entry["offset"], entry["length"], entry.get("uncompressed_length", 0)
    if not (
        int is type(offset) is type(length) is type(plain)
        and 0 <= offset <= MAX_PACK_BYTES
        and OVERHEAD_BYTES <= length <= MAX_STORED_BYTES
        and 0 <= plain <= MAX_PACK_BYTES
    ):
        raise DamagedError(f"index: no blob lies at {(offset, length, plain)!r:.100}")
    return PackedBlob(BlobID(parse_id(entry["id"])), _KINDS[entry["type"]], offset, length, plain)
