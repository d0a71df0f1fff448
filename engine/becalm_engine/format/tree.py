r"""Tree blobs: the JSON of one directory, byte for byte as restic writes it.

{"nodes":[{"name":…,"type":"file",…},…]}\n        nodes ascend by raw name, no name twice
"""

import base64
import binascii
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from becalm_engine.errors import DamagedError
from becalm_engine.format import gojson, gotime
from becalm_engine.format.documents import INT64, UINT32, UINT64, number_of, parse_object, text_of
from becalm_engine.format.gojson import string
from becalm_engine.format.names import quote, unquote
from becalm_engine.ids import BlobID, parse_id

FILE, DIR, SYMLINK, DEV, CHARDEV, FIFO, SOCKET = (
    "file", "dir", "symlink", "dev", "chardev", "fifo", "socket",
)  # fmt: skip
_TYPES = frozenset((FILE, DIR, SYMLINK, DEV, CHARDEV, FIFO, SOCKET, "irregular"))
_LINKED_TYPES = frozenset((FILE, SYMLINK, DEV, CHARDEV))

_GO_TYPE_BITS = {
    DIR: 1 << 31, SYMLINK: 1 << 27, DEV: 1 << 26, CHARDEV: 1 << 26 | 1 << 21, FIFO: 1 << 25, SOCKET: 1 << 24,
}  # fmt: skip
_GO_SPECIAL_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))
_PERMISSION_BITS = 0o777
_NUMBERS = {
    "mode": UINT64, "uid": UINT32, "gid": UINT32, "inode": UINT64, "device_id": UINT64, "size": INT64,
    "links": UINT64, "device": UINT64,
}  # fmt: skip
"""The numbers of a node, and how large each may be."""
_TEXTS = (("name", None), ("user", ""), ("group", ""))
_GENERIC = b'"generic_attributes"'
"""Names a field that may hold anything, and is kept as it is."""


@dataclass(slots=True)
class Node:
    """One entry of a directory.

    `mode` is Unix' permission and set-id bits (0o7777), without the type. Times are nanoseconds since 1970.
    `content` is set for files only, `subtree` for directories only.
    """

    name: bytes
    type: str
    mode: int
    mtime: int
    atime: int
    ctime: int
    uid: int
    gid: int
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    link_target: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    device: int = 0
    content: tuple[BlobID, ...] = ()
    subtree: BlobID | None = None
    generic_attributes: Mapping[str, Any] | None = None


def go_mode(kind: str, mode: int) -> int:
    """Return Go's `os.FileMode` for a type and Unix' mode bits."""
    flags = _GO_TYPE_BITS.get(kind, 0) | mode & _PERMISSION_BITS
    if mode & ~_PERMISSION_BITS:
        for unix, go in _GO_SPECIAL_BITS:
            if mode & unix:
                flags |= go
    return flags


def unix_mode(flags: int) -> int:
    """Return Unix' permission and set-id bits of Go's `os.FileMode`."""
    mode = flags & _PERMISSION_BITS
    if mode == flags:
        return mode
    for unix, go in _GO_SPECIAL_BITS:
        if flags & go:
            mode |= unix
    return mode


def json_name(name: bytes) -> str:
    """Return a file's name as the JSON string that stands for it in a tree."""
    return string(quote(name))


def encode_owner(uid: int, gid: int, user: str, group: str) -> str:
    """Return the fields that say whose a file is."""
    named = f',"user":{string(user)}' if user else ""
    return f',"uid":{uid},"gid":{gid}{named}' + (f',"group":{string(group)}' if group else "")


def encode_head(
    kind: str,
    name: str,
    mode: int,
    nanos: tuple[int, int, int],
    owner: str,
    numbers: tuple[int, int, int, int],
) -> str:
    """Return the beginning of a node's JSON, up to all that `lstat` says: restic's fields in restic's order.

    `name` is the JSON string (`json_name`), `mode` as in `Node`; times are of modification, access and change;
    owner comes from `encode_owner`; numbers are inode, device, size and links.
    """
    mtime, atime, ctime = nanos
    inode, device_id, size, links = numbers
    modified = gotime.encode(mtime)
    accessed = modified if atime == mtime else gotime.encode(atime)
    changed = modified if ctime == mtime else gotime.encode(ctime)
    times = f'"mtime":"{modified}","atime":"{accessed}","ctime":"{changed}"'
    start = f'{{"name":{name}{_kind_text(kind, mode)},{times}{owner}'
    if inode and device_id and size and links and kind == FILE:
        return f'{start},"inode":{inode},"device_id":{device_id},"size":{size},"links":{links}'
    parts = (
        start,
        f',"inode":{inode}' if inode else "",
        f',"device_id":{device_id}' if device_id else "",
        f',"size":{size}' if size else "",
        f',"links":{links}' if links and kind in _LINKED_TYPES else "",
    )
    return "".join(parts)


@lru_cache(maxsize=4096)
def _kind_text(kind: str, mode: int) -> str:
    flags = go_mode(kind, mode)
    return f',"type":"{kind}"' + (f',"mode":{flags}' if flags else "")


def encode_content(blobs: Iterable[BlobID]) -> str:
    """Return the field that says what a file consists of."""
    return ',"content":[' + ",".join([f'"{blob.hex()}"' for blob in blobs]) + "]"


def encode_node(node: Node) -> str:
    """Return the JSON of one node."""
    head = encode_head(
        node.type,
        json_name(node.name),
        node.mode,
        (node.mtime, node.atime, node.ctime),
        encode_owner(node.uid, node.gid, node.user, node.group),
        (node.inode, node.device_id, node.size, node.links),
    )
    parts = [
        head,
        _link_text(node.link_target) if node.link_target else "",
        encode_xattrs(node.xattrs),
        _generic_text(node.generic_attributes) if node.generic_attributes else "",
        f',"device":{node.device}' if node.device else "",
        encode_content(node.content) if node.type == FILE else ',"content":null',
        f',"subtree":"{node.subtree.hex()}"' if node.subtree is not None else "",
        "}",
    ]
    return "".join(parts)


def _link_text(target: bytes) -> str:
    try:
        return f',"linktarget":{string(target.decode())}'
    except UnicodeDecodeError:
        shown = string(target.decode("utf-8", "surrogateescape"))
        return f',"linktarget":{shown},"linktarget_raw":"{base64.b64encode(target).decode()}"'


def _generic_text(attributes: Mapping[str, Any]) -> str:
    """Return the field that restic on Windows writes; Go sorts the keys of a map."""
    return f',"generic_attributes":{gojson.document(dict(sorted(attributes.items()))).decode()}'


def encode_xattrs(xattrs: Iterable[tuple[str, bytes]]) -> str:
    """Return the field of extended attributes, or nothing if there are none."""
    if not xattrs:
        return ""
    items = (
        f'{{"name":{string(name)},"value":"{base64.b64encode(value).decode()}"}}' for name, value in xattrs
    )
    return f',"extended_attributes":[{",".join(items)}]'


def encode_tree(nodes: Iterable[str]) -> bytes:
    """Return the bytes of a tree of encoded nodes, which the caller has put in order."""
    return f'{{"nodes":[{",".join(nodes)}]}}\n'.encode()


def decode_node(text: str) -> Node:
    """Return one node from its JSON.

    Raises:
        DamagedError: It is none.
    """
    raw = text.encode("utf-8", "surrogatepass")
    return _node(parse_object(raw, "tree", exact=_GENERIC in raw))


def decode_tree(text: bytes) -> list[Node]:
    """Return the nodes of a tree, as they stand there.

    Names are not judged here: `..` or a slash is refused by whoever would create such a file.

    Raises:
        DamagedError: It is not a tree.
    """
    nodes = parse_object(text, "tree", exact=_GENERIC in text).get("nodes")
    if nodes is None:
        return []
    if not isinstance(nodes, list):
        raise DamagedError("tree: nodes is not a list")
    return [_node(document) for document in nodes]


def _node(document: object) -> Node:
    if not isinstance(document, dict):
        raise DamagedError("tree: a node is not an object")
    get = document.get
    kind = get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise DamagedError(f"tree: unknown node type {kind!r:.40}")
    mode, uid, gid, inode, device_id, size, links, device = _numbers(document)
    mtime, atime, ctime = get("mtime"), get("atime"), get("ctime")
    modified = _time(mtime)
    name, user, group = get("name"), get("user", ""), get("group", "")
    if not (str is type(name) is type(user) is type(group)) or not (name + user + group).isascii():
        name, user, group = (text_of(document, key, "tree", default) for key, default in _TEXTS)
    node = Node(
        unquote(name),
        kind,
        unix_mode(mode),
        modified,
        modified if atime == mtime else _time(atime),
        modified if ctime == mtime else _time(ctime),
        uid,
        gid,
        user,
        group,
        inode,
        device_id,
        size,
        links,
        device=device,
    )
    _read_rest(node, document)
    return node


def _numbers(document: Mapping[str, Any]) -> tuple[int, int, int, int, int, int, int, int]:
    """Return the numbers of a node. All are judged at once: trees have millions of nodes, and few are wrong."""
    get = document.get
    mode, uid, gid = get("mode", 0), get("uid", 0), get("gid", 0)
    inode, device_id, size = get("inode", 0), get("device_id", 0), get("size", 0)
    links, device = get("links", 0), get("device", 0)
    whole = int is type(mode) is type(uid) is type(gid) is type(inode) is type(device_id)
    if not (whole and int is type(size) is type(links) is type(device)) or not (
        0 <= mode | uid | gid | inode | device_id | size | links | device <= UINT64
        and uid | gid <= UINT32
        and size <= INT64
    ):
        raise _fault_of_numbers(document)
    return mode, uid, gid, inode, device_id, size, links, device


def _fault_of_numbers(document: Mapping[str, Any]) -> DamagedError:
    """Return the error that names the number that is wrong."""
    try:
        for name, most in _NUMBERS.items():
            number_of(document, name, "tree", 0, largest=most)
    except DamagedError as error:
        return error
    raise AssertionError("all of its numbers are right")


def _read_rest(node: Node, document: Mapping[str, Any]) -> None:
    """Read what only some types of node have."""
    if node.type == FILE:
        content = document.get("content")
        if content:
            if not isinstance(content, list):
                raise DamagedError("tree: content is not a list")
            node.content = cast("tuple[BlobID, ...]", tuple([parse_id(blob) for blob in content]))
    elif node.type == DIR:
        node.subtree = BlobID(parse_id(document.get("subtree")))
    elif node.type == SYMLINK:
        raw = document.get("linktarget_raw")
        target = text_of(document, "linktarget", "tree", "").encode()
        node.link_target = _bytes_of(raw) if raw else target
    if document.get("extended_attributes"):
        node.xattrs = _xattrs(document["extended_attributes"])
    if isinstance(document.get("generic_attributes"), dict):
        node.generic_attributes = document["generic_attributes"]


def _time(value: object) -> int:
    return 0 if value is None else gotime.decode(value)


def _xattrs(value: object) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DamagedError("tree: extended_attributes is not a list of objects")
    return tuple((text_of(item, "name", "xattr"), _bytes_of(item.get("value") or "")) for item in value)


def _bytes_of(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise DamagedError("tree: a value is not base64") from error


def faults_of_order(nodes: Iterable[Node]) -> list[str]:
    """Say what is wrong with the order of a directory: names not ascending, or twice."""
    faults = []
    for before, after in pairwise(nodes):
        if before.name == after.name:
            faults.append(f"two entries are named {quote(after.name)!r}")
        elif before.name > after.name:
            faults.append(f"entry {quote(after.name)!r} is out of order")
    return faults
