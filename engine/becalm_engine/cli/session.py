"""From arguments to an open repository: where it is, its password, its lock."""

import contextlib
import re
import shlex
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

from becalm_engine.cli import passwords
from becalm_engine.cli.text_files import text_of, trimmed
from becalm_engine.digits import whole_number
from becalm_engine.errors import DamagedError, StoppedError, UsageError, WrongPasswordError
from becalm_engine.format.compression import Compression
from becalm_engine.repository.lock import locked
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.repository.snapshots import Filter, tag_list
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, MIB
from becalm_engine.storage.base import Storage
from becalm_engine.storage.opening import open_storage
from becalm_engine.storage.options import StorageOptions, parse_options, parse_rate

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_MAIN = "repository"
_TRIES = 3


class Session:
    """One run of the command line: its arguments and its environment."""

    def __init__(
        self,
        arguments: Namespace,
        environment: Mapping[str, str],
        *,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] = lambda _: None,
        name: str = _MAIN,
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self._name = name
        self._stop = stop or threading.Event()
        self._tell = tell
        self._ahead: _Opening | None = None

    def storage(self) -> Storage:
        """Return the storage that the arguments name.

        Raises:
            UsageError: They name it twice, or a password twice, or make no sense otherwise.
        """
        arguments = self.arguments
        refuse_two(arguments)
        location = arguments.repo or _location_in(arguments.repository_file)
        flags = StorageOptions(
            ca_file=arguments.cacert,
            insecure_tls=arguments.insecure_tls,
            client_cert_file=arguments.tls_client_cert,
            stuck_seconds=_positive_seconds(arguments.stuck_request_timeout, "--stuck-request-timeout"),
            retry_seconds=parse_seconds(arguments.retry_store),
            upload_kib=parse_rate(arguments.limit_upload, "--limit-upload"),
            download_kib=parse_rate(arguments.limit_download, "--limit-download"),
        )
        options = parse_options(_pairs(arguments.option), self.environment, flags)
        return open_storage(location, options, stop=self._stop, tell=self._tell)

    def password(self) -> str:
        """Return the password of a new repository: from a command, a file or the environment, in restic's order.

        Where none of them gives one it is asked for on the terminal, twice, or is the first line of standard input.

        Raises:
            UsageError: None is given, or it is empty.
        """
        if self._is_to_be_entered():
            return _required(self._entered("new ", again=True))
        password, *_ = self._passwords()
        return _required(password)

    def _is_to_be_entered(self) -> bool:
        """Say whether somebody has to be asked for the password."""
        arguments = self.arguments
        given = arguments.password_command or arguments.password_file
        return not (given or self.environment.get("RESTIC_PASSWORD"))

    def _entered(self, new: str = "", *, again: bool = False) -> str:
        if _takes_stdin(self.arguments):
            raise UsageError(f"standard input cannot give both data and the password; {_GIVE_ONE}")
        if sys.stdin.isatty():
            return passwords.asked(f"enter password for {new}{self._name}: ", again=again)
        if self._name != _MAIN:
            raise UsageError(f"no password for the {self._name}: use --from-password-file")
        self._tell("reading password from standard input")
        return passwords.on_standard_input()

    def _passwords(self) -> tuple[str, ...]:
        """Return the password that is given, and then what else it may have been; each may be empty."""
        arguments = self.arguments
        if arguments.password_command:
            return passwords.in_output(_command_output(arguments.password_command))
        if arguments.password_file:
            return passwords.in_file(read_bytes(arguments.password_file, "password"))
        return (self.environment.get("RESTIC_PASSWORD", ""),)

    def open_ahead(self) -> None:
        """Begin to open the repository: a key takes as long to derive as the modules of a command to import.

        What goes wrong is told to whoever asks for the repository. Where people are asked for the password there is
        time enough: that is done when the repository is needed.
        """
        if not self._is_to_be_entered():
            self._ahead = _Opening(self._opened)

    def repository(self) -> Repository:
        """Open the repository, or return the one that was opened ahead."""
        ahead, self._ahead = self._ahead, None
        return ahead.result() if ahead else self._opened()

    def _opened(self) -> Repository:
        compression = Compression.parse(self.arguments.compression)
        storage, hint = self.storage(), self.arguments.key_hint

        def opened(password: str) -> Repository:
            return open_repository(storage, password, compression=compression, key_hint=hint)

        if self._is_to_be_entered():
            return self._opened_by_hand(opened)
        first, *others = [text for text in dict.fromkeys(self._passwords()) if text] or [""]
        try:
            return opened(_required(first))
        except (WrongPasswordError, DamagedError):
            for other in others:
                with contextlib.suppress(WrongPasswordError, DamagedError):
                    return opened(other)
            raise

    def _opened_by_hand(self, opened: Callable[[str], Repository]) -> Repository:
        """Open the repository with the password that somebody enters, who may try again on a terminal."""
        for _ in range(_TRIES - 1 if sys.stdin.isatty() else 0):
            try:
                return opened(_required(self._entered()))
            except WrongPasswordError as error:
                self._tell(f"{error}. Try again")
        return opened(_required(self._entered()))

    @contextlib.contextmanager
    def locked_repository(self, *, exclusive: bool = False, only_reads: bool = False) -> Iterator[Repository]:
        """Open the repository and hold a lock while the block runs."""
        repository = self.repository()
        if only_reads and self.arguments.no_lock:
            yield repository
            return
        retry_seconds = parse_seconds(self.arguments.retry_lock)
        # what only reads or adds need not wait until the lock has settled: nothing is published before
        settled = exclusive and not only_reads
        with locked(
            repository,
            exclusive=exclusive,
            retry_seconds=retry_seconds,
            sleep=self._sleep,
            settled=settled,
            gone_hosts=self.gone_hosts,
        ):
            yield repository

    @property
    def gone_hosts(self) -> frozenset[str]:
        """The hosts whose locks count for nothing."""
        return frozenset(self.arguments.gone_host)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError("interrupted while waiting for the lock")

    def pack_bytes(self) -> int:
        """Return how long packs are to be."""
        mebibytes = self.arguments.pack_size or self.environment.get("RESTIC_PACK_SIZE", "")
        if mebibytes in ("", "0"):
            return DEFAULT_PACK_BYTES
        size = whole_number(mebibytes)
        if size is None or not 4 <= size <= 128:
            raise UsageError(f"--pack-size {mebibytes} is not between 4 and 128 MiB")
        return size * MIB

    def filter(self) -> Filter:
        """Return the snapshots that --host, --tag and --path mean."""
        arguments = self.arguments
        return Filter(tuple(arguments.host), tuple(map(tag_list, arguments.tag)), tuple(arguments.path))


_ONE_OF = (("repo", "repository_file"), ("password_file", "password_command"))


def refuse_two(arguments: Namespace, prefix: str = "") -> None:
    """Refuse two places of a repository and two sources of its password: a variable may have named one of them.

    `prefix`: that of the flags of another repository.

    Raises:
        UsageError: Both are given.
    """
    for pair in _ONE_OF:
        names = [prefix + name for name in pair]
        if all(getattr(arguments, name) for name in names):
            first, second = (f"--{name.replace('_', '-')}" for name in names)
            raise UsageError(f"{first} and {second} are both given, as flags or as variables; give only one")


class _Opening:
    """A repository that a thread opens. The thread holds up nobody who ends without having asked for it."""

    def __init__(self, work: Callable[[], Repository]) -> None:
        self._work = work
        self._future = Future[Repository]()
        self._thread = threading.Thread(target=self._open, name="open", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001  whoever asks for the result raises it
            self._future.set_exception(error)

    def result(self) -> Repository:
        """Return the repository, or raise what kept it from being opened; the thread is gone then."""
        self._thread.join()
        return self._future.result()


def parse_seconds(text: str) -> float:
    """Read a duration like `1h30m` or `90s`.

    Raises:
        UsageError: It is not one.
    """
    found = _DURATION.findall(text)
    if "".join(number + unit for number, unit in found) != text:
        raise UsageError(f"{text!r} is not a duration like 30s, 5m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def _positive_seconds(text: str, flag: str) -> float:
    seconds = parse_seconds(text)
    if not seconds:
        raise UsageError(f"{flag} {text} leaves no time for any request")
    return seconds


def read_text(path: str, what: str) -> str:
    """Return the text of a file that an argument names.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return read_bytes(path, what).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {what} file {path}: it is not UTF-8") from error


def read_bytes(path: str, what: str) -> bytes:
    """Return the content of a file that an argument names.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} file {path}: {error.strerror}") from error


def _location_in(path: str) -> str:
    return trimmed(text_of(read_bytes(path, "repository"))) if path else ""


_GIVE_ONE = "use --password-file, RESTIC_PASSWORD_FILE or RESTIC_PASSWORD"


def _required(password: str) -> str:
    if not password:
        raise UsageError(f"no password: {_GIVE_ONE}")
    return password


def _takes_stdin(arguments: Namespace) -> bool:
    """Say whether a command reads something else from standard input."""
    given = vars(arguments)
    lists = [given.get(f"files_from{kind}", []) for kind in ("", "_verbatim", "_raw")]
    return bool(given.get("stdin")) or given.get("plan") == "-" or any("-" in one for one in lists)


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"option {option!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def _command_output(command: str) -> bytes:
    try:
        done = subprocess.run(shlex.split(command), check=True, stdout=subprocess.PIPE)  # noqa: S603  the user's own command
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise UsageError(f"--password-command failed: {type(error).__name__}") from error
    return done.stdout
