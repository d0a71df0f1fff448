"""`python -m e2e`: the toolchain, the cluster, the image and the demo, for the Makefile and by hand."""

import argparse
import sys

from e2e import toolchain
from e2e.paths import SetUpError, places


def main() -> int:
    """Run one command."""
    arguments = _parser().parse_args()
    try:
        _run(arguments)
    except SetUpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("toolchain", help="build what is missing in the cache")
    lab = commands.add_parser("cluster", help="a real cluster")
    lab.add_argument("action", choices=["up", "down", "status"])
    commands.add_parser("image", help="build the image and load it into the cluster")
    show = commands.add_parser("demo", help="the main job, with all its set-up")
    show.add_argument("--down", action="store_true", help="remove it")
    soak = commands.add_parser("soak", help="many Backups by schedules, the operator killed at random")
    soak.add_argument("--backups", type=int, default=200, help="how many (200)")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "toolchain":
        toolchain.ensure()
    else:
        _run_on_cluster(arguments)


def _run_on_cluster(arguments: argparse.Namespace) -> None:
    # here, not above: their clients take longer to load than `toolchain` takes when everything is built
    from e2e import demo  # noqa: PLC0415
    from e2e.cluster import cluster  # noqa: PLC0415
    from e2e.image import Builder  # noqa: PLC0415
    from e2e.soak.run import soak  # noqa: PLC0415

    if arguments.command == "image":
        cluster().load_image(Builder(places()).archive())
    elif arguments.command == "demo":
        demo.down() if arguments.down else demo.run()
    elif arguments.command == "soak":
        soak(arguments.backups)
    elif arguments.action == "up":
        cluster().up()
    elif arguments.action == "down":
        cluster().down()
    else:
        print(cluster().status())


if __name__ == "__main__":
    sys.exit(main())
