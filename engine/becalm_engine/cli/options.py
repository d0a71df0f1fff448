"""Values of flags that several commands share."""

from collections.abc import Iterable

from becalm_engine.cli.session import Session, read_text
from becalm_engine.errors import UsageError
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, MIB


def pattern_lines(files: Iterable[str]) -> list[str]:
    """Return the patterns in files: one a line, without blank lines and comments."""
    lines = [line.strip() for file in files for line in read_text(file, "exclude").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def pack_bytes(session: Session) -> int:
    """Return how large packs shall be.

    Raises:
        UsageError: `--pack-size` is out of bounds.
    """
    mebibytes = session.arguments.pack_size or session.environment.get("RESTIC_PACK_SIZE", "")
    if mebibytes in ("", "0"):
        return DEFAULT_PACK_BYTES
    if not mebibytes.isdecimal() or not 4 <= int(mebibytes) <= 128:
        raise UsageError(f"--pack-size {mebibytes} is not between 4 and 128 MiB")
    return int(mebibytes) * MIB
