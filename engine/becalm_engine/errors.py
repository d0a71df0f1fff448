"""What the engine raises on purpose.

    EngineError                     1
    ├── UsageError                  1   flags or input that make no sense
    ├── DamagedError                1   stored bytes fail their MAC, hash or format
    ├── RepositoryMissingError     10
    ├── RepositoryExistsError       1
    ├── WrongPasswordError         12
    ├── LockedError                11   retryable
    ├── SnapshotMissingError        1
    ├── SourceMissingError          1   nothing there to back up
    ├── SourceFailedError           1   a command whose output is backed up has failed
    ├── TargetError                 1   some files could not be restored
    │   └── TargetFullError             no room is left where they go
    ├── StoppedError              130   a signal ended the work at a sound state
    ├── WorkerLostError             1   retryable; a process that worked for this one was killed
    ├── MachineError                1   the machine that becalm runs on refused or failed
    ├── InternalError               1   becalm contradicts itself
    └── StorageError                1
        ├── ObjectMissingError          an object that should be there is not
        ├── StorageDeniedError          credentials do not allow it
        ├── StorageFullError
        └── StorageUnavailableError     retryable

`exit_code` is what the process ends with, and `retryable` whether the same call may succeed later. A docstring says
what a class means, and after `To do:` what to do; `docs/errors.md` is made of them.
The root is caught, and never raised.
"""

from typing import ClassVar


class EngineError(Exception):
    """Something went wrong in a way that the message explains to a person.

    To do: read the message. This class is the root: what ends a command is one of the classes below.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class UsageError(EngineError):
    """The request itself makes no sense. The message says which part.

    To do: change the flags or the environment variables that the message names; `becalm COMMAND --help` lists them.
    """


class DamagedError(EngineError):
    """Stored bytes fail their MAC, their hash or their format. Retrying cannot help.

    To do: leave the repository as it is and run `becalm check --read-data`. It says which of `becalm repair index`,
    `repair packs` and `repair snapshots` set right what it finds, and in which order.
    """


class RepositoryMissingError(EngineError):
    """There is no repository at the location.

    To do: check the location. If nothing was ever there, `becalm init` makes a repository. If one was, find out
    who removed it before anything writes there.
    """

    exit_code = 10


class RepositoryExistsError(EngineError):
    """There is a repository already, and it is not overwritten.

    To do: use the repository that is there, or give another location.
    """


class WrongPasswordError(EngineError):
    """No key of the repository opens with the password.

    To do: give the password of one of the keys. Without it nobody can read the data, and there is no way round.
    """

    exit_code = 12


class LockedError(EngineError):
    """Another process holds a lock that conflicts.

    To do: wait, or let becalm wait with `--retry-lock 10m`. If the holder is gone, `becalm unlock` removes
    its lock, on another machine with `--gone-host`; one that nobody refreshed for 30 minutes is in nobody's way.
    """

    exit_code = 11
    retryable = True


class SnapshotMissingError(EngineError):
    """No snapshot fits the name or the filter.

    To do: `becalm snapshots` lists what there is. Give more digits of an id that fits several.
    """


class SourceMissingError(EngineError):
    """A source to back up does not exist.

    To do: check the path, and that the volume is mounted.
    """


class SourceFailedError(EngineError):
    """A command whose output is to be backed up cannot be started, or has failed: what it wrote may not be all.

    To do: see what it said, and why.
    """


class TargetError(EngineError):
    """Some files could not be restored as they were.

    To do: read which files it names, and why; mend that and restore again.
    """


class TargetFullError(TargetError):
    """There is no room left where files are restored to.

    To do: make room, and run the same command again.
    """


class StoppedError(EngineError):
    """A signal ended the work at a sound state: what was uploaded is kept, what was restored stays.

    To do: run the command again.
    """

    exit_code = 130
    retryable = True


class WorkerLostError(EngineError):
    """A process that worked for this one has gone. What was uploaded is kept for the next run.

    To do: run the command again. If it comes again, the machine most likely ends processes for want of memory.
    """

    retryable = True


class MachineError(EngineError):
    """The machine refused something that has nothing to do with the repository: memory, a file, a process.

    To do: mend what the message names, often memory or the space for temporary files; then run the command again.
    """


class InternalError(EngineError):
    """becalm contradicts itself: a bug. The order in which it writes keeps the repository sound all the same.

    To do: report it, with the message and what was printed before it.
    """


class StorageError(EngineError):
    """The place that holds the repository refused or failed.

    To do: read the message: it says which object and what the place answered.
    """


class ObjectMissingError(StorageError):
    """An object does not exist.

    To do: run `becalm check`; it says what is missing and which snapshots need it. If the object is there,
    the location or its prefix is wrong.
    """


class StorageDeniedError(StorageError):
    """The credentials do not allow the operation. Retrying cannot help.

    To do: check the access key, its policy and, for a folder, its owner and mode.
    """


class StorageFullError(StorageError):
    """There is no room left.

    To do: make room or raise the quota, then run the command again; `becalm prune` itself needs some room.
    """


class StorageUnavailableError(StorageError):
    """The place cannot be reached or is overloaded just now.

    To do: check the network and the endpoint, then run the command again.
    """

    retryable = True


def tells_of_data(error: EngineError) -> bool:
    """Say whether an error is one of what is stored. A store that is away, or refuses, has perhaps lost nothing."""
    return not (error.retryable or isinstance(error, StorageDeniedError))
