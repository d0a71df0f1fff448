r"""Trees of plain files, directories and links, which most trees are: read by one pattern and not into nodes.

It is for those who ask of millions of entries only whether they are in order. It knows less than `tree` reads, never
more: a name beyond ASCII, a device, or a field in another place make it pass on a tree.
"""

import binascii
import re
from functools import cache
from typing import NamedTuple

from becalm_engine.ids import BlobID

_START, _END = b'{"nodes":[', b"]}\n"
_TEXT = r'"[ !#-\[\]-~]*"'
_NUMBER = r"(?:0|[1-9]\d{0,17})"
_OWNER = r"(?:0|[1-9]\d{0,8})"
_DATE = (
    r"\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME = rf'"{_DATE}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{1,9}})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"'
_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_ATTRIBUTE = rf'\{{"name":{_TEXT},"value":"{_BASE64}"\}}'
_ID = r'"[0-9a-f]{64}"'
_WHO_AND_WHEN = (
    rf'(?:,"mode":{_NUMBER})?,"mtime":{_TIME},"atime":{_TIME},"ctime":{_TIME},"uid":{_OWNER},"gid":{_OWNER}'
    rf'(?:,"user":{_TEXT})?(?:,"group":{_TEXT})?(?:,"inode":{_NUMBER})?(?:,"device_id":{_NUMBER})?'
)
_SIZE = rf'(?:,"size":({_NUMBER}))?'
_LINKS = rf'(?:,"links":{_NUMBER})?'
_ATTRIBUTES = rf'(?:,"extended_attributes":\[{_ATTRIBUTE}(?:,{_ATTRIBUTE})*\])?'
_KINDS = (
    rf'file"{_WHO_AND_WHEN}{_SIZE}{_LINKS}{_ATTRIBUTES},"content":(?:null|\[({_ID}(?:,{_ID})*)?\])',
    rf'dir"{_WHO_AND_WHEN}{_ATTRIBUTES},"content":null,"subtree":({_ID})',
    rf'symlink"{_WHO_AND_WHEN}{_LINKS},"linktarget":{_TEXT}{_ATTRIBUTES},"content":null',
)
_NODE = rf'(\{{"name":"([ !#-.0-\[\]-~]+)","type":"(?:{"|".join(_KINDS)})\}})'
_ID_CHARS = 67
"""From one id of a list to the next: 64 digits, two quotes and a comma."""
_MOST_BYTES = 16 * 1024 * 1024
"""Beyond this, matching needs more memory than nodes do: some 200 bytes for each blob of a long file."""


class PlainEntry(NamedTuple):
    """What an entry is called and refers to: as in a node. The size of what is no file is 0."""

    name: bytes
    size: int
    content: tuple[BlobID, ...]
    subtree: BlobID | None


def plain_entries(text: bytes) -> list[PlainEntry] | None:
    """Return the entries of a tree as they stand there, or None for a tree that must be read with `decode_tree`.

    Names are single plain components, but may be `.` and `..`.
    """
    if len(text) > _MOST_BYTES:
        return None
    found = _pattern().findall(text)
    if b"".join((_START, b",".join([match[0] for match in found]), _END)) != text:
        return None  # between those that match there is something else
    return [_entry(*match) for match in found]


@cache
def _pattern() -> re.Pattern[bytes]:
    return re.compile(_NODE.encode())


def _entry(_whole: bytes, name: bytes, size: bytes, content: bytes, subtree: bytes) -> PlainEntry:
    blobs = tuple([_id(content[at : at + _ID_CHARS - 1]) for at in range(0, len(content), _ID_CHARS)])
    return PlainEntry(name, int(size or b"0"), blobs, _id(subtree) if subtree else None)


def _id(quoted: bytes) -> BlobID:
    return BlobID(binascii.unhexlify(quoted[1:-1]))
