"""The arguments of the commands that look after a repository."""

import argparse


def define(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    shared: argparse.ArgumentParser,
) -> None:
    """Add the commands to the parser; `shared` holds the flags that all commands have."""

    def add(
        place: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
    ) -> argparse.ArgumentParser:
        return place.add_parser(name, help=text, description=text + ".", parents=[shared])

    prune = add(commands, "prune", "Remove data that no snapshot needs")
    prune.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    add_prune_flags(prune)


def add_prune_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how far a prune goes."""
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
                        help="delete all data if there is no snapshot")  # fmt: skip
