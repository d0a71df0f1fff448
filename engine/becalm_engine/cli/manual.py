"""The manual: what each command is for, in a paragraph, and how it is typed."""

import argparse
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """One command's page: paragraphs, which are wrapped unless they are indented, and command lines that parse."""

    text: str
    examples: tuple[str, ...]

    @property
    def description(self) -> str:
        """The paragraphs as a terminal of 80 columns shows them."""
        return "\n\n".join(map(_wrapped, self.text.split("\n\n")))

    @property
    def epilog(self) -> str:
        """The examples as they stand below the flags."""
        return "examples:\n" + "".join(f"  {example}\n" for example in self.examples)


def _wrapped(paragraph: str) -> str:
    return paragraph if paragraph.startswith(" ") else textwrap.fill(paragraph, 79)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps paragraphs as they are, and flags, of which there are many, out of the line on usage."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """Show only what must be given."""
        needed = [action for action in actions if not action.option_strings or action.required]
        super().add_usage(usage, needed, groups, prefix)


PAGES = {
    "init": Page(
        "Make a new repository, encrypted by a password. Without that password nothing in it can be "
        "read, by anybody. An existing repository is never overwritten; one whose init was "
        "broken off is completed, with the same password.",
        (
            "becalm init --repo /srv/backup",
            "becalm init --repo s3:https://s3.example.org/bucket/prefix -p password",
        ),
    ),
    "backup": Page(
        "Back up files and folders as a new snapshot. Only what has changed since the last snapshot of "
        "the same host and paths, or less than a minute before that was begun, is read, and only what the repository "
        "does not have is stored. A file "
        "that cannot be read, or a source that is not there, is reported, and the exit code is 3; if no source "
        "is there, or a command whose output is backed up fails, there is no snapshot, and it is 1. With "
        "--files-from, PATHs also come from lists: of patterns, of names as they are, or of names that end "
        "with NUL. --stdin-from-fifo waits for somebody to write into a named pipe. "
        "A signal ends the run at a sound state: what was uploaded is kept for the next run. With --gate "
        "all is prepared, and files are read only when something else has brought to a standstill what writes them "
        "and has put the word `open` into the gate's file; --pre-copy reads and uploads them once before, and "
        "behind the gate only what does not prove to be unchanged. Of file systems that cannot prove it (other than "
        "ext3, ext4, xfs and btrfs) all is read behind the gate. A file that changes while it is read there is "
        "reported like one that cannot be read.",
        (
            "becalm backup /srv/data --tag nightly",
            "becalm backup /home --exclude '*.tmp' --exclude-caches --one-file-system",
            "becalm backup --stdin --stdin-filename dump.sql",
            "becalm backup --stdin-from-command --stdin-filename dump.sql -- pg_dump --clean shop",
            "becalm backup --files-from-raw list --dry-run -v",
            "becalm backup /srv/data --gate /run/gate --ready-file /run/ready --pre-copy",
        ),
    ),
    "commit": Page(
        "Publish trees that `becalm backup --capture` has uploaded, as snapshots: all of them or none. "
        "Before the first is written, every blob of every tree is found in the index.",
        (
            "becalm commit --plan plan.json",
            "becalm commit --plan -",
        ),
    ),
    "snapshots": Page(
        "List the snapshots of the repository, all of them, those of some hosts, tags or paths, or "
        "those that are named.",
        (
            "becalm snapshots",
            "becalm snapshots --host db --latest 3",
            "becalm snapshots --group-by host --json",
        ),
    ),
    "restore": Page(
        "Restore a snapshot, or a folder of one, into a folder. Of files that are there already, only what "
        "differs is written, unless --overwrite says otherwise:\n\n"
        "  always      read each file that is there, and write what differs\n"
        "  if-changed  the same, but trust those with the size and time of the snapshot\n"
        "  if-newer    only where the file of the snapshot is newer\n"
        "  never       only what is not there\n\n"
        "A file that an interrupted restore has left unfinished has the mode 0200, and no rule keeps it. "
        "Files that the snapshot does not have stay unless --delete is given, which deletes what the includes "
        "and excludes would restore, and so spares what is excluded wherever it lies; only then a directory that is "
        "not empty makes way for a file. Zeros take room on the disk, also those of a sparse file, unless --sparse is "
        "given. No link is followed, and no name of the snapshot can lead out of the target.\n\n"
        "Owners, attributes, modes and times that cannot be set are counted, one line a kind, and the restore ends "
        "with 1, though all content is there; owners are excused where it is not run by root, and everything with "
        "--allow-unset-metadata.",
        (
            "becalm restore latest --target /srv/restored",
            "becalm restore latest:/srv/data --target /srv/data --delete --dry-run -v",
            "becalm restore 79766175 --target . --include '*.conf' --overwrite if-newer",
        ),
    ),
    "check": Page(
        "Check that everything a restore would need is there and whole: packs, index, trees and files "
        "of every snapshot, or of those that fit. With --read-data every byte is read and compared with its "
        "hash and its length; with --read-data-subset those of some packs. Damaged packs, snapshots and files "
        "are named, and the exit code is 1.",
        (
            "becalm check",
            "becalm check --read-data",
            "becalm check --read-data-subset 3/7",
            "becalm check --read-data-subset 2.5%",
        ),
    ),
    "forget": Page(
        "Remove snapshots by a policy, applied to each group of host and paths by itself. A snapshot "
        "stays if any rule keeps it. Snapshots that are named are removed whatever the policy says. Only "
        "snapshots are removed; their data goes with the next prune.",
        (
            "becalm forget 79766175 --dry-run",
            "becalm forget --keep-daily 7 --keep-weekly 5 --dry-run",
            "becalm forget --tag nightly --keep-within 1y6m --keep-last 3",
        ),
    ),
    "cat": Page(
        "Print an internal object as it is stored, mostly JSON. The master key is never among them.",
        (
            "becalm cat config",
            "becalm cat snapshot 79766175",
        ),
    ),
    "unlock": Page(
        "Remove locks that nobody has refreshed for half an hour, or whose process on this host is "
        "gone. With --gone-host also those of a host that is gone for good, as that of a container is "
        "with it. With --remove-all others are removed too: make sure first that nobody is at work.",
        (
            "becalm unlock",
            "becalm unlock --gone-host nightly-29933400-forget-0a1b2c3d-x7k2p",
            "becalm unlock --remove-all",
        ),
    ),
    "version": Page(
        "Print the version.",
        (
            "becalm version",
            "becalm version --json",
        ),
    ),
    "ls": Page(
        "List the files of a snapshot: all of them, or what is in the folders that are named. With "
        "--recursive also what is deeper in these. A name that could steer the terminal is printed in "
        "quotes.",
        (
            "becalm ls latest",
            "becalm ls -l latest:/srv/data --sort size --reverse",
            "becalm ls latest /srv/data --recursive --json",
            "becalm ls latest --ncdu",
        ),
    ),
    "dump": Page(
        "Write a file of a snapshot to standard output, or a folder as a tar or zip archive. A tar "
        "holds owners, times to the nanosecond, attributes and access lists; what an archive cannot "
        "hold is said on standard error.",
        (
            "becalm dump latest /srv/data/dump.sql",
            "becalm dump latest:/srv data --target data.tar",
            "becalm dump latest / --archive zip --target all.zip",
        ),
    ),
    "find": Page(
        "Find files in snapshots by name, pattern or path, newest snapshots first; what lies below a "
        "folder that fits, fits too. Or find where a blob, a tree or what lies in a pack is used.",
        (
            "becalm find '*.conf'",
            "becalm find -l -i /srv/data/report.* --oldest 2026-01-01",
            "becalm find --json --snapshot latest notes.txt",
            "becalm find --blob 420f620f --show-pack-id",
        ),
    ),
    "diff": Page(
        "Show what differs from one snapshot to another. Each line begins with what has happened to a "
        "file:\n\n"
        "  +  it was added              M  its content was changed\n"
        "  -  it was removed            T  its type was changed\n"
        "  U  its metadata was changed (with --metadata)\n"
        "  ?  its content was changed, and nothing else: the disk may be rotting",
        (
            "becalm diff 79766175 latest",
            "becalm diff --metadata 79766175:/srv latest:/srv",
        ),
    ),
    "stats": Page(
        "Count the files and bytes of all snapshots, of those that fit, or of those that are named:\n\n"
        "  restore-size       what a restore would write\n"
        "  files-by-contents  each content once, whatever it is called\n"
        "  blobs-per-file     each blob once for each path\n"
        "  raw-data           each blob once, as it lies in the repository",
        (
            "becalm stats latest",
            "becalm stats --mode raw-data --json",
        ),
    ),
    "key": Page(
        "Manage the passwords of a repository: list them, add one, remove one, or change the one in use "
        "(passwd). All passwords open the same data. The one in use is never removed, and a new one is "
        "tried before an old one goes. Whoever knew a password and took the key file may still read the "
        "data: changing it is no new encryption.",
        (
            "becalm key list",
            "becalm key add --new-password-file new --user ann --host laptop",
            "becalm key passwd --new-password-file new",
            "becalm key remove 79766175",
        ),
    ),
    "tag": Page(
        "Change the tags of all snapshots, of those that fit, or of those that are named. A changed "
        "snapshot is a new file with a new id; it remembers the first one.",
        (
            "becalm tag --add keep,yearly 79766175",
            "becalm tag --host db --remove test",
            "becalm tag --set '' latest",
        ),
    ),
    "copy": Page(
        "Copy snapshots from another repository into this one, with everything they refer to. What is "
        "here already is not copied again. The source is named by --from-repo and the other --from… "
        "flags, or by RESTIC_FROM_REPOSITORY, RESTIC_FROM_REPOSITORY_FILE, RESTIC_FROM_PASSWORD, "
        "RESTIC_FROM_PASSWORD_FILE, RESTIC_FROM_PASSWORD_COMMAND and RESTIC_FROM_KEY_HINT.",
        (
            "becalm copy --repo s3:https://s3.example.org/bucket --from-repo /srv/backup --from-password-file password",
            "becalm copy --from-repo /srv/backup --host db latest",
        ),
    ),
    "rewrite": Page(
        "Write snapshots anew, without files that should never have been in them, or with another host "
        "or time. The new ones stand beside the old ones, tagged `rewrite`; with --forget they take "
        "their place. The data of what was left out goes with the next prune.",
        (
            "becalm rewrite --exclude secret.key --forget --dry-run",
            "becalm rewrite --new-host db --new-time '2026-11-01 03:00:00' 79766175",
        ),
    ),
    "generate": Page(
        "Write a file that makes a shell complete becalm's commands and flags; - writes to standard output.",
        (
            "becalm generate --bash-completion /etc/bash_completion.d/becalm",
            "becalm generate --zsh-completion /usr/local/share/zsh/site-functions/_becalm",
            "becalm generate --fish-completion ~/.config/fish/completions/becalm.fish",
        ),
    ),
    "prune": Page(
        "Remove data that no snapshot needs any more. New packs and indexes are written before the old "
        "ones are deleted, so it may be stopped at any time and run again. It needs the repository for "
        "itself; a blob that is needed and missing makes it end before anything is deleted.",
        (
            "becalm prune --dry-run",
            "becalm prune --max-unused 10% --max-repack-size 50G",
        ),
    ),
    "repair": Page(
        "Set right what `becalm check --read-data` has found, as far as that can be done: the index if it is "
        "wrong, damaged packs, then the snapshots that lack files. The check says which of them are needed, in "
        "which order. Each says what will be lost before it is lost.",
        (
            "becalm repair index",
            "becalm repair packs 4f3c2a1b",
            "becalm repair snapshots --dry-run",
        ),
    ),
    "list": Page(
        "List the names of all objects of a kind, one a line; of blobs, their kind and name.",
        (
            "becalm list snapshots",
            "becalm list packs",
        ),
    ),
    "recover": Page(
        "Make one snapshot of all directories that no snapshot holds any more, for instance after a "
        "snapshot was removed by mistake. It works until the next prune.",
        ("becalm recover",),
    ),
}
