"""The flags of the commands that look into snapshots, and of those that change snapshots and keys."""

import argparse
from collections.abc import Callable, Mapping

from becalm_engine.commands import listing, stats

Add = Callable[[str, str], argparse.ArgumentParser]


def snapshot_filters(parser: argparse.ArgumentParser, *, short_host: bool = True) -> None:
    """Add the flags that choose snapshots; `short_host`: -H is --host."""
    parser.add_argument(*(["-H"] if short_host else []), "--host", action="append", default=[], metavar="HOST",
                        help="only snapshots of HOST (may be repeated)")  # fmt: skip
    parser.add_argument("--tag", action="append", default=[], metavar="TAG[,TAG…]",
                        help="only snapshots with all of these tags (may be repeated)")  # fmt: skip
    parser.add_argument("--path", action="append", default=[], metavar="PATH",
                        help="only snapshots that hold PATH (may be repeated)")  # fmt: skip


def _long(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--long", action="store_true", help="show mode, owner, size and time")
    parser.add_argument("--human-readable", action="store_true", help="show sizes in units")


def _ls(add: Add) -> None:
    parser = add("ls", "List the files of a snapshot")
    parser.add_argument("snapshot", metavar="ID[:FOLDER]", help="a snapshot's id, or latest")
    parser.add_argument("folder", nargs="*", metavar="FOLDER", help="only what is in these absolute paths")
    _long(parser)
    parser.add_argument("--recursive", action="store_true", help="also what is deeper in the FOLDERs")
    parser.add_argument("-s", "--sort", default="name", choices=listing.ORDERS, metavar="ORDER",
                        help="by name, size, time (mtime), atime, ctime or extension")  # fmt: skip
    parser.add_argument("--reverse", action="store_true", help="in reverse order")
    parser.add_argument("--ncdu", action="store_true", help="print everything in the format of `ncdu -f`")
    snapshot_filters(parser)


def _dump(add: Add) -> None:
    parser = add("dump", "Write a file of a snapshot to standard output, or a folder as an archive")
    parser.add_argument("snapshot", metavar="ID[:FOLDER]", help="a snapshot's id, or latest")
    parser.add_argument("item", metavar="PATH", help="a file, or a folder; / for everything")
    parser.add_argument("-a", "--archive", default="tar", choices=["tar", "zip"],
                        help="what a folder is written as (default: tar)")  # fmt: skip
    parser.add_argument("-t", "--target", default="", metavar="FILE", help="write to FILE")
    snapshot_filters(parser)


def _find(add: Add) -> None:
    parser = add("find", "Find files in snapshots, or where a blob, a tree or a pack is used")
    parser.add_argument("pattern", nargs="+", metavar="PATTERN", help="a name, a pattern, a path, or an id")
    parser.add_argument("-i", "--ignore-case", action="store_true", help="ignore case")
    _long(parser)
    parser.add_argument("-O", "--oldest", default="", metavar="TIME", help="only files changed since TIME")
    parser.add_argument("-N", "--newest", default="", metavar="TIME", help="only files changed until TIME")
    parser.add_argument("-s", "--snapshot", action="append", default=[], metavar="ID",
                        help="search in this snapshot (may be repeated)")  # fmt: skip
    parser.add_argument("--blob", action="store_true", help="PATTERN is the id of a blob")
    parser.add_argument("--tree", action="store_true", help="PATTERN is the id of a tree")
    parser.add_argument("--pack", action="store_true", help="PATTERN is the id of a pack")
    parser.add_argument("--show-pack-id", action="store_true", help="say in which pack each blob lies")
    parser.add_argument("-R", "--reverse", action="store_true", help="oldest snapshots first")
    snapshot_filters(parser)


def _diff(add: Add) -> None:
    parser = add("diff", "Show what differs between two snapshots")
    parser.add_argument("before", metavar="ID[:FOLDER]", help="the first snapshot")
    parser.add_argument("after", metavar="ID[:FOLDER]", help="the second snapshot")
    parser.add_argument("--metadata", action="store_true", help="also show where only metadata differs")


def _stats(add: Add) -> None:
    parser = add("stats", "Count the files and bytes of snapshots")
    parser.add_argument("id", nargs="*", metavar="ID", help="only these snapshots")
    parser.add_argument("--mode", default=stats.RESTORE_SIZE, choices=stats.MODES, metavar="MODE",
                        help=f"one of {', '.join(stats.MODES)} (default: {stats.RESTORE_SIZE})")  # fmt: skip
    snapshot_filters(parser)


def _key(add: Add) -> None:
    parser = add("key", "Manage the passwords of a repository")
    parser.add_argument("action", choices=["list", "add", "remove", "passwd"], help="what to do")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="the key to remove")
    parser.add_argument("--new-password-file", default="", metavar="FILE",
                        help="read the new password from FILE (add, passwd)")  # fmt: skip
    parser.add_argument("--user", default="", metavar="USER", help="user name to store with the new key")
    parser.add_argument("--host", default="", metavar="HOST", help="host name to store with the new key")


def _tag(add: Add) -> None:
    parser = add("tag", "Change the tags of snapshots")
    parser.add_argument("id", nargs="*", metavar="ID", help="only these snapshots")
    parser.add_argument("--set", action="append", default=[], metavar="TAG[,TAG…]",
                        help="replace all tags by these; an empty TAG removes all (may be repeated)")  # fmt: skip
    parser.add_argument("--add", action="append", default=[], metavar="TAG[,TAG…]",
                        help="add these tags (may be repeated)")  # fmt: skip
    parser.add_argument("--remove", action="append", default=[], metavar="TAG[,TAG…]",
                        help="remove these tags (may be repeated)")  # fmt: skip
    snapshot_filters(parser)


def define_copy(add: Add, environment: Mapping[str, str]) -> None:
    """Add `copy`, whose defaults come from the environment."""
    parser = add("copy", "Copy snapshots from another repository into this one")
    parser.add_argument("id", nargs="*", metavar="ID", help="only these snapshots")
    group = parser.add_argument_group("source repository")
    for flag, name, metavar, text in (
        ("repo", "REPOSITORY", "LOCATION", "copy from this repository"),
        ("repository-file", "REPOSITORY_FILE", "FILE", "read its location from FILE"),
        ("password-file", "PASSWORD_FILE", "FILE", "read its password from FILE"),
        ("password-command", "PASSWORD_COMMAND", "COMMAND", "run COMMAND to get its password"),
        ("key-hint", "KEY_HINT", "ID", "try this key of it first"),
    ):
        default = environment.get(f"RESTIC_FROM_{name}", "")
        group.add_argument(f"--from-{flag}", default=default, metavar=metavar, help=text)
    snapshot_filters(parser)


def pattern_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that leave files out by their names."""
    for flags, metavar, text in (
        (("-e", "--exclude"), "PATTERN", "leave out what fits PATTERN"),
        (("--iexclude",), "PATTERN", "the same, ignoring case"),
        (("--exclude-file",), "FILE", "read such patterns from FILE"),
        (("--iexclude-file",), "FILE", "the same, ignoring case"),
    ):
        parser.add_argument(*flags, action="append", default=[], metavar=metavar, help=text)


def include_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose files by their names."""
    for flags, metavar, text in (
        (("-i", "--include"), "PATTERN", "take only what fits PATTERN"),
        (("--iinclude",), "PATTERN", "the same, ignoring case"),
        (("--include-file",), "FILE", "read such patterns from FILE"),
        (("--iinclude-file",), "FILE", "the same, ignoring case"),
    ):
        parser.add_argument(*flags, action="append", default=[], metavar=metavar, help=text)


def _rewrite(add: Add) -> None:
    parser = add("rewrite", "Write snapshots anew, without some files or with another host or time")
    parser.add_argument("id", nargs="*", metavar="ID", help="only these snapshots")
    pattern_flags(parser)
    parser.add_argument("--new-host", default="", metavar="HOST", help="replace the host name")
    parser.add_argument(
        "--new-time", default="", metavar="TIME", help="replace the time, 'YYYY-MM-DD HH:MM:SS'"
    )
    parser.add_argument("--forget", action="store_true", help="remove the snapshots that were rewritten")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    snapshot_filters(parser)


def _generate(add: Add) -> None:
    parser = add("generate", "Write completion scripts for shells")
    for shell in ("bash", "zsh", "fish"):
        parser.add_argument(f"--{shell}-completion", default="", metavar="FILE",
                            help=f"write the script for {shell} to FILE; - for standard output")  # fmt: skip


CHANGING = (_key, _tag, _rewrite, _generate)
INSPECTING = (_ls, _dump, _find, _diff, _stats)
