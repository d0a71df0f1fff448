"""The arguments: restic's commands, flags and environment variables."""

import argparse
from collections.abc import Callable, Mapping, Sequence

from becalm_engine.cli import maintain_flags
from becalm_engine.cli.arranging import arranged
from becalm_engine.cli.flags import (
    CHANGING,
    INSPECTING,
    define_copy,
    include_flags,
    pattern_flags,
    snapshot_filters,
)
from becalm_engine.cli.manual import PAGES, Formatter, Page
from becalm_engine.contract import GATE_OPEN
from becalm_engine.policy.overwrite import Overwrite

_ENVIRONMENT = """\
environment:
  RESTIC_REPOSITORY, RESTIC_REPOSITORY_FILE             the repository, or a file that names it
  RESTIC_PASSWORD, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND
                                                        without them the password is asked for on a terminal;
                                                        elsewhere it is the first line of standard input
  RESTIC_KEY_HINT, RESTIC_COMPRESSION, RESTIC_PACK_SIZE, RESTIC_HOST, RESTIC_PROGRESS_FPS,
  RESTIC_READ_CONCURRENCY
  RESTIC_CACERT, RESTIC_TLS_CLIENT_CERT                 as --cacert and --tls-client-cert
  RESTIC_FROM_…                                         the same for the source of a copy
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, AWS_PROFILE …
                                                        and whatever else gives AWS credentials
  RESTIC_AWS_ASSUME_ROLE_ARN, …_SESSION_NAME, …_EXTERNAL_ID, …_POLICY, …_REGION, …_STS_ENDPOINT
                                                        a role to take on with them
  BECALM_REPORT                                         where to write a JSON report of the run

signals:
  SIGINT, SIGTERM                                       end at a sound state; a second one ends at once
  SIGUSR1                                               print how far it is
  SIGHUP                                                passed over: restic sends it to whoever holds a lock

exit codes:
  0 done, 1 failed, 3 some files could not be read, 10 no repository, 11 locked, 12 wrong password,
  130 interrupted
"""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Return what the arguments say; defaults come from the environment."""
    parser = build(environment)
    parsed = parser.parse_args(arranged(parser, arguments))
    if parsed.quiet and parsed.verbose:
        parser.error("--quiet and --verbose exclude each other")
    return parsed


def build(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser; defaults come from the environment."""
    parser = argparse.ArgumentParser(
        prog="becalm",
        description="Back up files into an encrypted, deduplicating repository in restic's format, and restore them.",
        epilog=_ENVIRONMENT,
        formatter_class=Formatter,
        parents=[_global_flags(environment)],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    repeated = _global_flags(environment)
    for action in repeated._actions:  # noqa: SLF001  argparse has no public way
        action.default = argparse.SUPPRESS  # what was said before the command stays unless it is said again

    def add(name: str, text: str) -> argparse.ArgumentParser:
        page = PAGES.get(name) or Page(f"{text}.", ())
        return commands.add_parser(
            name,
            help=text,
            description=page.description,
            epilog=page.epilog if page.examples else None,
            formatter_class=Formatter,
            parents=[repeated],
            allow_abbrev=False,
        )

    _define_backup(add, environment)
    for define in _DEFINITIONS:
        define(add)
    define_copy(add, environment)
    maintain_flags.define(add, repeated, snapshot_filters)
    return parser


_Add = Callable[[str, str], argparse.ArgumentParser]
_Group = argparse._ArgumentGroup  # noqa: SLF001  argparse names the type so


def _global_flags(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False)
    group = flags.add_argument_group("repository")
    group.add_argument("-r", "--repo", default=environment.get("RESTIC_REPOSITORY", ""), metavar="LOCATION",
                       help="a folder, or s3:https://HOST/BUCKET/PREFIX")  # fmt: skip
    group.add_argument("--repository-file", default=environment.get("RESTIC_REPOSITORY_FILE", ""), metavar="FILE",
                       help="read the location from FILE")  # fmt: skip
    group.add_argument("-p", "--password-file", default=environment.get("RESTIC_PASSWORD_FILE", ""), metavar="FILE",
                       help="read the password from FILE")  # fmt: skip
    group.add_argument("--password-command", default=environment.get("RESTIC_PASSWORD_COMMAND", ""),
                       metavar="COMMAND", help="run COMMAND to get the password")  # fmt: skip
    group.add_argument("--key-hint", default=environment.get("RESTIC_KEY_HINT", ""), metavar="ID",
                       help="try this key first")  # fmt: skip
    group.add_argument("--retry-lock", default="0s", metavar="TIME", help="wait so long for a lock, e.g. 5m")
    group.add_argument("--gone-host", action="append", default=[], metavar="HOST",
                       help="remove locks of HOST: nothing runs there any more (may be repeated)")  # fmt: skip
    group.add_argument("--no-lock", action="store_true", help="take no lock (commands that only read)")
    group.add_argument("--compression", default=environment.get("RESTIC_COMPRESSION", "auto"),
                       metavar="MODE", help="off, fastest, auto, better or max (default: auto)")  # fmt: skip
    group.add_argument("--pack-size", default="", metavar="MIB",
                       help="aim for packs of so many MiB, 4 to 128 (default: 16)")  # fmt: skip
    _store_flags(flags.add_argument_group("store"), environment)
    _idle_flags(
        flags.add_argument_group("taken for restic's sake", "They change nothing: there is no cache.")
    )
    output = flags.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print JSON instead of text")
    output.add_argument("-q", "--quiet", action="store_true", help="print results only")
    output.add_argument("-v", "--verbose", action="count", default=0, help="print more")
    output.add_argument("--report", default=environment.get("BECALM_REPORT", ""), metavar="FILE",
                        help="write a JSON report of the run to FILE, whatever happens")  # fmt: skip
    return flags


def _store_flags(group: _Group, environment: Mapping[str, str]) -> None:
    """How the place is reached where the repository lies."""
    group.add_argument("--cacert", default=environment.get("RESTIC_CACERT", ""), metavar="FILE",
                       help="trust the certificates in FILE")  # fmt: skip
    group.add_argument("--tls-client-cert", default=environment.get("RESTIC_TLS_CLIENT_CERT", ""), metavar="FILE",
                       help="present the certificate in FILE, which holds its key too")  # fmt: skip
    group.add_argument("--insecure-tls", action="store_true", help="do not verify TLS certificates")
    group.add_argument("--limit-upload", default="0", metavar="RATE", help="upload at most RATE KiB a second")
    group.add_argument("--limit-download", default="0", metavar="RATE",
                       help="download at most RATE KiB a second")  # fmt: skip
    group.add_argument("--stuck-request-timeout", default="2m", metavar="TIME",
                       help="give up a request that makes no progress for TIME (default: 2m)")  # fmt: skip
    group.add_argument("--retry-store", default="15m", metavar="TIME",
                       help="repeat a request that fails for so long; 0s not at all (default: 15m)")  # fmt: skip
    group.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                       help="s3.region, s3.bucket-lookup (auto, dns or path), s3.storage-class (of packs), "
                       "s3.connections, s3.list-objects-v1, s3.unsafe-anonymous-auth")  # fmt: skip


def _idle_flags(group: _Group) -> None:
    """What scripts and operators pass to restic, and what means nothing here."""
    group.add_argument("--no-cache", action="store_true", help="use no cache")
    group.add_argument("--cache-dir", default="", metavar="FOLDER", help="keep the cache in FOLDER")
    group.add_argument("--cleanup-cache", action="store_true", help="remove old caches")
    group.add_argument("--no-extra-verify", action="store_true",
                       help="do not verify what is uploaded once more before: it is verified")  # fmt: skip


def _init(add: _Add) -> None:
    parser = add("init", "Make a new repository")
    parser.add_argument("--repository-version", default="stable", choices=["stable", "latest", "2"],
                        help="the format's version (default: 2)")  # fmt: skip


def _define_backup(add: _Add, environment: Mapping[str, str]) -> None:
    parser = add("backup", "Back up files and folders")
    parser.add_argument("source", nargs="*", metavar="PATH", help="what to back up")
    parser.add_argument("-H", "--host", default="", metavar="HOST", help="host name to store")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG[,TAG…]", help="tag the snapshot")
    pattern_flags(parser)
    parser.add_argument("--exclude-caches", action="store_true",
                        help="of folders that hold a CACHEDIR.TAG take that alone")  # fmt: skip
    parser.add_argument("--exclude-if-present", action="append", default=[], metavar="FILE[:HEADER]",
                        help="of folders that hold FILE (that begins with HEADER) take that alone")  # fmt: skip
    parser.add_argument(
        "--exclude-larger-than", default="", metavar="SIZE", help="leave out files larger than SIZE"
    )
    for flag, text in (
        ("", "read what to back up from FILE, a pattern a line; - for standard input"),
        ("-verbatim", "the same, a name a line as it is"),
        ("-raw", "the same, names that end with NUL"),
    ):
        parser.add_argument(f"--files-from{flag}", action="append", default=[], metavar="FILE", help=text)
    _backup_ways(parser, environment)


def _backup_ways(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """How to read, and what to do with the result."""
    parser.add_argument(
        "-x", "--one-file-system", action="store_true", help="stay on the file system of each source"
    )
    parser.add_argument("--parent", default="", metavar="ID", help="compare with this snapshot")
    parser.add_argument("-g", "--group-by", default="host,paths", metavar="GROUP",
                        help="compare with the newest snapshot of the same (default: host,paths)")  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="read every file again")
    parser.add_argument("--ignore-inode", action="store_true", help="do not compare inode numbers")
    parser.add_argument("--ignore-ctime", action="store_true", help="do not compare change times")
    parser.add_argument("--with-atime", action="store_true", help="store access times")
    parser.add_argument(
        "--skip-if-unchanged",
        action="store_true",
        help="write no snapshot if nothing differs from the parent",
    )
    parser.add_argument(
        "--time", default="", metavar="TIME", help="time of the snapshot, RFC 3339 or 'YYYY-MM-DD HH:MM:SS'"
    )
    parser.add_argument("--stdin", action="store_true", help="back up standard input as one file")
    parser.add_argument(
        "--stdin-filename", default="stdin", metavar="PATH", help="that file's name, or path (default: stdin)"
    )
    parser.add_argument("--stdin-from-fifo", default="", metavar="FIFO",
                        help="back up what others write into a named pipe as one file")  # fmt: skip
    parser.add_argument("--stdin-from-command", action="store_true",
                        help="run PATH… as a command, and back up what it prints as one file")  # fmt: skip
    parser.add_argument("-n", "--dry-run", action="store_true",
                        help="write nothing, only say what would be added; with -v, each file")  # fmt: skip
    parser.add_argument("--no-scan", action="store_true", help="do not count ahead how much there is to do")
    parser.add_argument("--read-concurrency", default=environment.get("RESTIC_READ_CONCURRENCY", ""),
                        metavar="N", help="read N files at once (default: as many as pay off)")  # fmt: skip
    parser.add_argument("--capture", action="store_true",
                        help="upload and index, but write no snapshot: print the tree for `becalm commit`")  # fmt: skip
    _gate(parser)


def _gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gate", default="", metavar="FILE",
                        help=f"prepare all, and read only once FILE holds the word {GATE_OPEN!r}")  # fmt: skip
    parser.add_argument(
        "--ready-file", default="", metavar="FILE", help="make FILE when everything but the gate is ready"
    )
    parser.add_argument("--pre-copy", action="store_true",
                        help="read and upload once before the gate, and behind it only what has changed")  # fmt: skip


def _commit(add: _Add) -> None:
    parser = add("commit", "Publish captured trees as snapshots, all or none")
    parser.add_argument(
        "--plan", required=True, metavar="FILE", help="the plan as JSON; - for standard input"
    )


def _snapshots(add: _Add) -> None:
    parser = add("snapshots", "List snapshots")
    parser.add_argument("id", nargs="*", metavar="ID", help="only these")
    parser.add_argument("-c", "--compact", action="store_true", help="one line each")
    parser.add_argument(
        "--latest", type=int, default=0, metavar="N", help="only the N newest of each host and paths"
    )
    parser.add_argument("-g", "--group-by", default="", metavar="GROUP", help="group by host, paths, tags")
    snapshot_filters(parser)


def _restore(add: _Add) -> None:
    parser = add("restore", "Restore a snapshot into a folder")
    parser.add_argument("snapshot", metavar="ID[:SUBFOLDER]", help="a snapshot's id, or latest")
    parser.add_argument("-t", "--target", required=True, metavar="FOLDER", help="where to restore to")
    pattern_flags(parser)
    include_flags(parser)
    for flag, text in (("include", "restore only"), ("exclude", "do not restore")):
        parser.add_argument(f"--{flag}-xattr", action="append", default=[], metavar="PATTERN",
                            help=f"{text} extended attributes whose names fit PATTERN")  # fmt: skip
    parser.add_argument("--ownership-by-name", action="store_true",
                        help="give files to users and groups by their names, not by their numbers")  # fmt: skip
    parser.add_argument("--overwrite", default=Overwrite.ALWAYS, choices=[rule.value for rule in Overwrite],
                        help="what to do with files that are there (default: always)")  # fmt: skip
    parser.add_argument("--allow-unset-metadata", action="store_true",
                        help="end well though owners, modes, times or attributes could not be set")  # fmt: skip
    parser.add_argument("--delete", action="store_true", help="delete files that the snapshot does not have")
    parser.add_argument("--sparse", action="store_true", help="leave zeros in new files as holes")
    parser.add_argument("--verify", action="store_true", help="read everything back and compare")
    parser.add_argument("-n", "--dry-run", action="store_true",
                        help="only say what would be restored; with -v, each file")  # fmt: skip
    snapshot_filters(parser)


def _check(add: _Add) -> None:
    parser = add("check", "Check that everything a restore would need is there and whole")
    parser.add_argument("--read-data", action="store_true", help="read and verify every byte")
    parser.add_argument("--read-data-subset", default="", metavar="SUBSET",
                        help="only some packs: the n-th of t groups (n/t), a share (5%%) or a size (10G)")  # fmt: skip
    parser.add_argument(
        "--with-cache", action="store_true", help="taken for restic's sake: there is no cache"
    )
    snapshot_filters(parser)


def _forget(add: _Add) -> None:
    parser = add("forget", "Remove snapshots by a policy (their data goes with a prune)")
    parser.add_argument("id", nargs="*", metavar="ID", help="remove these, whatever the policy says")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("-c", "--compact", action="store_true", help="one line each")
    parser.add_argument(
        "-g",
        "--group-by",
        default="host,paths",
        metavar="GROUP",
        help="apply the policy to each (default: host,paths)",
    )
    for short, name in zip("lHdwmy", ("last", "hourly", "daily", "weekly", "monthly", "yearly"), strict=True):
        parser.add_argument(
            f"-{short}",
            f"--keep-{name}",
            default="0",
            metavar="N",
            help=f"keep N {name} snapshots; unlimited keeps all",
        )
    parser.add_argument(
        "--keep-within", default="", metavar="TIME", help="keep all within TIME of the newest, e.g. 1y5m7d2h"
    )
    for name in ("hourly", "daily", "weekly", "monthly", "yearly"):
        parser.add_argument(
            f"--keep-within-{name}", default="", metavar="TIME", help=f"keep {name} snapshots within TIME"
        )
    parser.add_argument(
        "--keep-tag", action="append", default=[], metavar="TAG[,TAG…]", help="keep snapshots with these tags"
    )
    parser.add_argument("--prune", action="store_true", help="prune afterwards, if a snapshot was removed")
    maintain_flags.add_prune_flags(
        parser,
        remove_all="without a --keep-… rule, remove all that fits; let --prune delete all data if nothing is left",
    )
    snapshot_filters(parser, short_host=False)


def _cat(add: _Add) -> None:
    parser = add("cat", "Print an internal object as JSON")
    parser.add_argument("kind", choices=["config", "snapshot", "index", "key", "lock", "tree", "blob"])
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="which one (not for config)")


def _unlock(add: _Add) -> None:
    parser = add("unlock", "Remove stale locks")
    parser.add_argument("--remove-all", action="store_true", help="remove all locks, whoever holds them")


def _version(add: _Add) -> None:
    add("version", "Print the version")


_DEFINITIONS = (
    _init,
    _commit,
    _snapshots,
    _restore,
    _check,
    _forget,
    _cat,
    _unlock,
    _version,
    *INSPECTING,
    *CHANGING,
)
