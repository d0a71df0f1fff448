"""A listing in the export format of ncdu (https://dev.yorhel.nl/ncdu/jsonfmt), as restic writes it."""

from typing import Any

from becalm_engine.cli.nodes import path_text
from becalm_engine.cli.output import Output
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.format.gotime import NANOS
from becalm_engine.format.shown import json_text
from becalm_engine.format.tree import DIR, FILE, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository

_BLOCK_BYTES = 512


def print_ncdu(
    output: Output, repository: Repository, tree: BlobID, snapshot: dict[str, Any], progress: Progress
) -> None:
    """Print everything below a tree."""
    told = {key: value for key, value in snapshot.items() if key not in ("id", "short_id")}
    told["tree"] = tree.hex()
    output.out.write(f'[1, 2, {json_text(told)}, [{{"name":"/"}}')
    walk = Walk(repository, tree)
    depth = 1
    for node in walk:
        progress.check()
        _close(output, depth, walk.depth)
        depth = walk.depth
        blank = "  " * depth
        document = json_text(_document(node))
        if node.type == DIR:
            output.out.write(f",\n{blank}[\n{blank}  {document}")
            depth += 1
        else:
            output.out.write(f",\n{blank}{document}")
    _close(output, depth, 1)
    output.out.write("\n]\n]\n")


def _close(output: Output, depth: int, until: int) -> None:
    for level in range(depth - 1, until - 1, -1):
        output.out.write(f"\n{'  ' * level}]")


def _document(node: Node) -> dict[str, Any]:
    return {
        "name": path_text(node.name),
        "asize": node.size,
        "dsize": -(-node.size // _BLOCK_BYTES) * _BLOCK_BYTES,
        "dev": node.device_id,
        "ino": node.inode,
        "nlink": node.links,
        "notreg": node.type not in (DIR, FILE),
        "uid": node.uid,
        "gid": node.gid,
        "mode": node.mode,
        "mtime": max(0, node.mtime // NANOS),
    }
