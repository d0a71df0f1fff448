"""Index files: which pack holds which blob.

{"packs":[{"id":…,"blobs":[{"id":…,"type":"data","offset":0,"length":38,"uncompressed_length":112}]}]}
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.documents import parse_object
from becalm_engine.format.pack import MAX_PACK_BYTES, MAX_STORED_BYTES, BlobKind, PackedBlob, PackListing
from becalm_engine.ids import BlobID, PackID, parse_id

_KIND_NAMES = ("data", "tree")
_KINDS = {"data": BlobKind.DATA, "tree": BlobKind.TREE}
_FIELDS = itemgetter("id", "type", "offset", "length")


def encode(packs: Iterable[tuple[PackID, Sequence[PackedBlob]]]) -> bytes:
    """Return the JSON of an index file over whole packs."""
    return b'{"packs":[' + b",".join(_pack_text(*each).encode() for each in packs) + b"]}"


def _pack_text(pack: PackID, blobs: Sequence[PackedBlob]) -> str:
    listed = ",".join(map(_blob_text, blobs))
    return f'{{"id":"{pack.hex()}","blobs":[{listed}]}}'


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
    return [(pack, listing.blobs) for pack, listing in decode_listings(text)]


def decode_listings(text: bytes) -> list[tuple[PackID, PackListing]]:
    """Return packs and what they hold, in the order of the file.

    Raises:
        DamagedError: It is not an index file.
    """
    packs = parse_object(text, "index").get("packs")
    if packs is None:
        raise DamagedError("index: no packs")
    try:
        return [(PackID(parse_id(p["id"])), _listing(p["blobs"] or ())) for p in packs]
    except (KeyError, TypeError) as error:
        raise DamagedError(f"index: {type(error).__name__} {error}") from error


def _listing(entries: Sequence[dict[str, Any]]) -> PackListing:
    """Return the blobs of a pack. All are judged at once: there are millions, and few are wrong."""
    if not entries:
        return PackListing.of(())
    ids, kinds, offsets, lengths = zip(*map(_FIELDS, entries), strict=True)
    plain = [entry.get("uncompressed_length", 0) for entry in entries]
    columns = offsets, lengths, plain
    if {*map(type, chain(*columns))} != {int} or not all(_lies(*map(pick, columns)) for pick in (min, max)):
        wrong = next(place for place in zip(*columns, strict=True) if not _lies(*place))
        raise DamagedError(f"index: no blob lies at {wrong!r:.100}")
    names = list(map(parse_id, ids))
    return PackListing(cast("list[BlobID]", names), [_KINDS[kind] for kind in kinds], offsets, lengths, plain)


def _lies(offset: Any, length: Any, plain: Any) -> bool:
    """Say whether a blob can lie there."""
    return (
        int is type(offset) is type(length) is type(plain)
        and 0 <= offset <= MAX_PACK_BYTES
        and OVERHEAD_BYTES <= length <= MAX_STORED_BYTES
        and 0 <= plain <= MAX_PACK_BYTES
    )
