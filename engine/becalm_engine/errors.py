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
    ├── IncompleteError             3   some source files could not be read
    ├── TargetError                 1   some files could not be restored
    │   └── TargetFullError             no room is left where they go
    ├── StoppedError              130   a signal ended the work at a sound state
    ├── WorkerLostError             1   retryable; a process that worked for this one was killed
    └── StorageError                1
        ├── ObjectMissingError          an object that should be there is not
        ├── StorageDeniedError          credentials do not allow it
        ├── StorageFullError
        └── StorageUnavailableError     retryable

`exit_code` is what the process ends with, and `retryable` whether the same call may succeed later.
"""

from typing import ClassVar


class EngineError(Exception):
    """Something went wrong in a way that the message explains to a person."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class UsageError(EngineError):
    """The request itself makes no sense. The message says which part."""


class DamagedError(EngineError):
    """Stored bytes fail their MAC, their hash or their format. Retrying cannot help."""


class RepositoryMissingError(EngineError):
    """There is no repository at the location."""

    exit_code = 10


class RepositoryExistsError(EngineError):
    """There is a repository already, and it is not overwritten."""


class WrongPasswordError(EngineError):
    """No key of the repository opens with the password."""

    exit_code = 12


class LockedError(EngineError):
    """Another process holds a lock that conflicts."""

    exit_code = 11
    retryable = True


class SnapshotMissingError(EngineError):
    """No snapshot fits the name or the filter."""


class SourceMissingError(EngineError):
    """A source to back up does not exist."""


class SourceFailedError(EngineError):
    """A command whose output is to be backed up cannot be started, or has failed: what it wrote may not be all."""


class IncompleteError(EngineError):
    """The backup was written, but some source files could not be read."""

    exit_code = 3


class TargetError(EngineError):
    """Some files could not be restored as they were."""


class TargetFullError(TargetError):
    """There is no room left where files are restored to. Make room, and run the same command again."""


class StoppedError(EngineError):
    """A signal ended the work at a sound state: what was uploaded is kept, what was restored stays."""

    exit_code = 130
    retryable = True


class WorkerLostError(EngineError):
    """A process that worked for this one has gone. What was uploaded is kept for the next run."""

    retryable = True


class StorageError(EngineError):
    """The place that holds the repository refused or failed."""


class ObjectMissingError(StorageError):
    """An object does not exist."""


class StorageDeniedError(StorageError):
    """The credentials do not allow the operation. Retrying cannot help."""


class StorageFullError(StorageError):
    """There is no room left."""


class StorageUnavailableError(StorageError):
    """The place cannot be reached or is overloaded just now."""

    retryable = True
