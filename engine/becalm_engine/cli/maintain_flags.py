"""The arguments of the commands that look after a repository."""

import argparse
from collections.abc import Callable


def define(
    add: Callable[[str, str], argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_filters: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the commands by `add`; `shared` holds the flags that all commands have."""
    prune = add("prune", "Remove data that no snapshot needs")
    prune.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    add_prune_flags(prune)
    _define_repair(add("repair", "Repair what is damaged"), shared, add_filters)
    listing = add("list", "List the objects of a kind")
    listing.add_argument("kind", choices=["packs", "index", "snapshots", "locks", "keys", "blobs"])
    add("recover", "Make a snapshot of all directories that no snapshot holds")


def _define_repair(
    repair: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
    add_filters: Callable[[argparse.ArgumentParser], None],
) -> None:
    kinds = repair.add_subparsers(dest="what", metavar="WHAT", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return kinds.add_parser(name, help=text, description=f"{text}.", parents=[shared], allow_abbrev=False)

    index = add("index", "Make the index agree with the packs that are there")
    index.add_argument(
        "--read-all-packs", action="store_true", help="trust no index file, and read every pack"
    )
    packs = add("packs", "Save what is whole in damaged packs, and remove them")
    packs.add_argument(
        "id", nargs="+", metavar="ID", help="the packs, as `becalm check --read-data` names them"
    )
    damaged = add("snapshots", "Write snapshots again without the files that are lost")
    damaged.add_argument("id", nargs="*", metavar="ID", help="only these")
    damaged.add_argument("-n", "--dry-run", action="store_true", help="only say what would be lost")
    damaged.add_argument("--forget", action="store_true", help="remove the damaged snapshots afterwards")
    add_filters(damaged)


def add_prune_flags(
    parser: argparse.ArgumentParser, *, remove_all: str = "delete all data if there is no snapshot"
) -> None:
    """Add the flags that say how far a prune goes; `remove_all` says what it takes to remove everything."""
    parser.add_argument("--max-unused", default="5%", metavar="LIMIT",
                        help="leave unused data: a size, a percentage, or unlimited (default: 5%%)")  # fmt: skip
    parser.add_argument("--max-repack-size", default="", metavar="SIZE",
                        help="write again at most so much")  # fmt: skip
    parser.add_argument("--repack-cacheable-only", action="store_true",
                        help="write again only packs that hold directories")  # fmt: skip
    parser.add_argument("--repack-small", action="store_true",
                        help="also merge packs below 80%% of the pack size")  # fmt: skip
    parser.add_argument("--repack-smaller-than", default="", metavar="SIZE",
                        help="also merge packs below SIZE")  # fmt: skip
    parser.add_argument("--repack-uncompressed", action="store_true",
                        help="also compress what is not compressed")  # fmt: skip
    parser.add_argument("--unsafe-allow-remove-all", action="store_true",
                        help=remove_all)  # fmt: skip
