"""What the operator raises on purpose.

    OperatorError
    ├── SettingsError        the environment makes no sense
    ├── LeaseLostError       another operator is at work
    └── ClusterError         the API server refused or could not be reached
        ├── NotFoundError        the object does not exist
        ├── ConflictError        it has changed since it was read; retryable
        ├── RefusedError         not allowed, or not valid
        └── UnavailableError     no answer, or overloaded; retryable

`retryable` says whether the same call may succeed later.
"""

from typing import ClassVar


class OperatorError(Exception):
    """Something went wrong in a way that the message explains to a person."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class SettingsError(OperatorError):
    """The environment makes no sense. The message names the variable."""

    exit_code = 2


class LeaseLostError(OperatorError):
    """Another operator has taken the Lease. This one must not act any more."""

    exit_code = 3
    retryable = True


class ClusterError(OperatorError):
    """The API server refused or could not be reached. The message says for which object."""


class NotFoundError(ClusterError):
    """The object does not exist."""


class ConflictError(ClusterError):
    """The object has changed since it was read, or exists already. Read again and decide anew."""

    retryable = True


class RefusedError(ClusterError):
    """The API server does not allow it, or finds it invalid. Retrying cannot help by itself."""


class UnavailableError(ClusterError):
    """The API server does not answer, or is overloaded."""

    retryable = True
