"""How files of a snapshot are printed: restic's lines and restic's documents."""

from typing import Any

from becalm_engine.cli.output import Output, size_text
from becalm_engine.cli.times import local_text, zoned_text
from becalm_engine.format import gotime
from becalm_engine.format.gomode import mode_text
from becalm_engine.format.shown import json_text, shown, shown_text
from becalm_engine.format.tree import FILE, SYMLINK, Node, go_mode
from becalm_engine.repository.snapshots import StoredSnapshot


def put(output: Output, text: str) -> None:
    """Print one of many lines; the stream is flushed when it is full, and by `end`."""
    output.out.write(text + "\n")


def put_json(output: Output, document: object) -> None:
    """Print one of many JSON lines, byte for byte as restic."""
    put(output, json_text(document))


def end(output: Output) -> None:
    """Bring out what was put."""
    output.out.flush()


def node_line(path: bytes, node: Node, *, long: bool, human: bool) -> str:
    """Return a node's line of a listing."""
    if not long:
        return shown(path)
    size = size_text(node.size) if human else f"{node.size:6d}"
    target = f" -> {shown(node.link_target)}" if node.type == SYMLINK else ""
    mode = mode_text(go_mode(node.type, node.mode))
    when = local_text(node.mtime)
    return f"{mode} {node.uid:5d} {node.gid:5d} {size} {when} {shown(path)}{target}"


def listed_document(path: bytes, node: Node) -> dict[str, Any]:
    """Return what `ls --json` says of a node."""
    flags = go_mode(node.type, node.mode)
    document: dict[str, Any] = {
        "name": _text(node.name),
        "type": node.type,
        "path": _text(path),
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size if node.type == FILE else None,
        "mode": flags or None,
        "permissions": mode_text(flags),
        **_times(node),
        "inode": node.inode or None,
        "message_type": "node",
        "struct_type": "node",
    }
    return {key: value for key, value in document.items() if value is not None}


def found_document(path: bytes, node: Node) -> dict[str, Any]:
    """Return what `find --json` says of a node."""
    flags = go_mode(node.type, node.mode)
    always = {"uid": node.uid, "gid": node.gid}
    document: dict[str, Any] = {
        "path": _text(path),
        "permissions": mode_text(flags),
        "type": node.type,
        "mode": flags,
        **_times(node),
        **always,
        "user": node.user,
        "group": node.group,
        "inode": node.inode,
        "device_id": node.device_id,
        "size": node.size,
        "links": node.links,
        "linktarget": _text(node.link_target),
    }
    return {key: value for key, value in document.items() if value or key in always}


def _times(node: Node) -> dict[str, str]:
    names = ("mtime", "atime", "ctime")
    return {name: gotime.encode(getattr(node, name)) for name in names}


def _text(name: bytes) -> str:
    """Return a name as text; JSON has no bytes, and each that is no UTF-8 becomes U+FFFD, as in restic."""
    return name.decode("utf-8", "surrogateescape")


def path_text(path: bytes) -> str:
    """Return a path for a JSON document."""
    return _text(path)


def snapshot_line(stored: StoredSnapshot) -> str:
    """Return restic's line about a snapshot."""
    snapshot = stored.snapshot
    paths = bracketed([shown_text(path) for path in snapshot.paths])
    who = f"{shown_text(snapshot.username)}@{shown_text(snapshot.hostname)}"
    return f"snapshot {stored.short} of {paths} at {zoned_text(snapshot)} by {who}"


def bracketed(texts: list[str]) -> str:
    """Return a list as Go prints it."""
    return f"[{' '.join(texts)}]"
