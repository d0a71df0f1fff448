"""Every command on every hostile repository.

No write outside of the target, no hang, memory within bounds, no traceback, an exit code that is one of ours.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from becalm_engine.repository.repository import initialise
from becalm_engine.storage.local import LocalStorage
from tests.engine.hostile.attacks import ATTACKS, Attack, unfolding
from tests.engine.hostile.forge import Forge, lay_out
from tests.engine.hostile.sandbox import MEMORY_BYTES, Ended, Sandbox, Zygote, zygote
from tests.engine.repository.repositories import CHEAP, PASSWORD

EVERY = 6
KNOWN = {0, 1, 3, 10, 11, 12, 130}
READING = tuple(
    tuple(line.split())
    for line in """
    snapshots
    snapshots --json
    ls latest -l
    ls latest --json
    ls latest --ncdu
    find file
    find --json /a/b
    find --blob BLOB
    find --tree BLOB
    stats
    stats --mode=files-by-contents
    stats --mode=blobs-per-file
    stats --mode=raw-data
    check
    check --read-data
    dump latest /
    dump -a zip latest /
    dump latest /a
    diff latest HONEST
    diff --metadata HONEST latest
    key list
    list blobs
    list packs
    list locks
    cat config
    cat snapshot LATEST
    prune --dry-run
    forget --dry-run --keep-last=1
    repair snapshots --dry-run
    """.strip().splitlines()
)
CHANGING = tuple(
    tuple(line.split())
    for line in """
    backup SOURCE
    tag --add=x
    rewrite --exclude=inner
    rewrite --forget --exclude=/a/inner
    copy --from-repo=REPOSITORY
    forget --keep-last=1 --prune
    prune --max-unused=0
    repair index
    repair index --read-all-packs
    repair snapshots --forget
    repair packs PACK
    recover
    unlock
    unlock --remove-all
    init
    key add --new-password-file=PASSWORD
    key passwd --new-password-file=PASSWORD
    """.strip().splitlines()
)
READERS = {line[0] for line in READING} - {"prune", "forget", "repair", "key"} | {"restore"}
RESTORING = (
    (), ("--overwrite=if-changed", "--verify"), ("--delete",), ("--include=a",), ("--dry-run",), ("--overwrite=never",),
)  # fmt: skip


@pytest.fixture(scope="session")
def mother() -> Iterator[Zygote]:
    with zygote() as process:
        yield process


@pytest.fixture
def sandbox(mother: Zygote, tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(mother, tmp_path)
    yield sandbox
    sandbox.clear()


def chosen(attack: Attack, commands: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Return the commands that an attack is tried on: other ones for each attack, unless all are asked for."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz":
        return commands
    return commands[ATTACKS.index(attack) % EVERY :: EVERY]


each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


class Case:
    """A hostile repository on disk, of which each command gets a copy of its own."""

    def __init__(self, attack: Attack, sandbox: Sandbox) -> None:
        forge = Forge()
        self.honest = forge.snapshot(forge.honest(), time="2025-01-01T00:00:00Z")
        attack.make(forge, sandbox.outside)
        forge.finish()
        self.sandbox = sandbox
        self.stop_seconds = 0.0
        self.other, self.latest = forge.snapshots[-2:]
        self.repository = sandbox.root / "repository"
        lay_out(forge.files, self.repository)
        self.pack = min((path.name for path in (self.repository / "data").glob("*/*")), default="")
        (sandbox.root / "source").mkdir()
        (sandbox.root / "source" / "file").write_text("content")
        (sandbox.root / "source" / "a").mkdir()

    def run(self, *arguments: str) -> Ended:
        repository, root = self.repository, self.sandbox.root
        words = {
            "HONEST": self.honest, "LATEST": self.latest, "SOURCE": str(root / "source"), "PACK": self.pack,
            "REPOSITORY": str(repository), "BLOB": "ab" * 32, "OTHER": self.other, "PASSWORD": str(root / "password"),
        }  # fmt: skip
        filled = [re.sub(r"\b[A-Z]{4,}\b", lambda found: words[found[0]], word) for word in arguments]
        if arguments[0] == "copy":
            self.sandbox.environment["RESTIC_FROM_PASSWORD"] = PASSWORD
            repository = root / "copy"
            initialise(LocalStorage(repository), PASSWORD, cost=CHEAP)
        elif arguments[0] not in READERS:
            repository = root / "copy"
            shutil.copytree(self.repository, repository)
        before = self.sandbox.surroundings()
        try:
            ended = self.sandbox.run(repository, *filled, stop_seconds=self.stop_seconds)
            assert self.sandbox.surroundings() == before, arguments
        finally:
            shutil.rmtree(root / "copy", ignore_errors=True)
        require_civil(ended, arguments)
        return ended


def require_civil(ended: Ended, arguments: tuple[str, ...]) -> None:
    about = f"{' '.join(arguments)}: {ended.status}\n{ended.out[-500:]}\n{ended.err[-3000:]}"
    assert ended.status is not None, f"does not end: {about}"
    assert ended.status in KNOWN, about
    assert "Traceback" not in ended.err, about
    assert "internal error" not in ended.err, about
    assert ended.status == 0 or ended.err.strip(), f"says nothing: {about}"


@pytest.mark.slow
@each_attack
def test_commands_that_read(attack: Attack, sandbox: Sandbox, subtests: pytest.Subtests) -> None:
    case = Case(attack, sandbox)

    for arguments in chosen(attack, READING):
        with subtests.test(" ".join(arguments)):
            ended = case.run(*arguments)
            if not attack.opens:
                assert ended.status in (1, 12)
            elif arguments[0] == "check" and "--read-data" in arguments:
                assert ended.status == int(attack.is_damage), ended.err + ended.out


@pytest.mark.slow
@each_attack
def test_commands_that_change(attack: Attack, sandbox: Sandbox, subtests: pytest.Subtests) -> None:
    case = Case(attack, sandbox)

    for arguments in chosen(attack, CHANGING):
        with subtests.test(" ".join(arguments)):
            case.run(*arguments)


@pytest.mark.slow
@each_attack
def test_restores(attack: Attack, sandbox: Sandbox, subtests: pytest.Subtests) -> None:
    case = Case(attack, sandbox)

    for flags in chosen(attack, RESTORING):
        for again in (False, True):
            with subtests.test(f"{' '.join(flags)}{' again' if again else ''}"):
                if not again:
                    sandbox.clear()
                    (sandbox.target / "a").symlink_to(sandbox.outside)
                    (sandbox.target / "file").symlink_to(sandbox.outside / "file")
                case.run("restore", "latest", f"--target={sandbox.target}", *flags)


BOUNDED = (
    "find nothing", "find a/nothing", "find /a/b/nothing", "find --blob BLOB", "find --tree BLOB",
    "stats", "stats --mode=files-by-contents", "stats --mode=blobs-per-file", "stats --mode=raw-data",
    "check --read-data", "snapshots", "prune --dry-run", "repair snapshots --dry-run", "list blobs",
    "diff latest OTHER", "rewrite --exclude=file", "copy --from-repo=REPOSITORY", "recover",
    "forget --keep-last=1 --prune", "prune --max-unused=0", "repair index --read-all-packs", "tag --add=x",
)  # fmt: skip
ENDLESS = (
    "ls latest", "ls latest --json", "ls latest --ncdu", "find file", "find **/a/nothing", "dump latest /",
    "dump -a zip latest /", "diff latest HONEST", "rewrite --exclude=/a/**/file",
)  # fmt: skip


@pytest.mark.slow
def test_a_trillion_files_of_forty_directories_are_looked_at_once(
    sandbox: Sandbox, subtests: pytest.Subtests
) -> None:
    case = Case(Attack(unfolding), sandbox)

    for line in BOUNDED:
        with subtests.test(line):
            case.run(*line.split())


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--include=file",)], ids=" ".join)
def test_a_trillion_files_are_not_restored_until_the_disk_is_full(
    sandbox: Sandbox, flags: tuple[str, ...]
) -> None:
    case = Case(Attack(unfolding), sandbox)

    ended = case.run("restore", "latest", f"--target={sandbox.target}", *flags)

    assert ended.status == 1
    assert "unfold" in ended.err
    assert ended.peak_bytes < MEMORY_BYTES
    assert not any(path.is_file() for path in sandbox.target.glob("*/*/*"))


@pytest.mark.slow
def test_what_would_take_for_ever_stays_within_its_memory_and_can_be_stopped(
    sandbox: Sandbox, subtests: pytest.Subtests
) -> None:
    case = Case(Attack(unfolding), sandbox)

    for line in ENDLESS:
        with subtests.test(line):
            case.stop_seconds = 0.5
            ended = case.run(*line.split())
            assert ended.status == 130 or "File too large" in ended.err
            assert ended.peak_bytes < MEMORY_BYTES // 4
