"""What the operator raises on purpose.

    OperatorError
    ├── SettingsError        the environment makes no sense
    ├── LeaseLostError       another operator is at work
    ├── OwnPodError          the command would end with the pod that it runs in
    └── ClusterError         the API server refused or could not be reached
        ├── NotFoundError        the object does not exist
        ├── ConflictError        it has changed since it was read; retryable
        ├── RefusedError         not allowed, or not valid
        └── UnavailableError     no answer, or overloaded; retryable
            ├── ExpiredError         that was too long ago; retryable
            └── WebhookAwayError     an admission webhook does not answer; retryable

`retryable` says whether the same call may succeed later. A docstring says what a class means, and after `To do:`
what to do; `docs/errors.md` is made of them. The root is caught, and never raised.
"""

from typing import ClassVar


class OperatorError(Exception):
    """Something went wrong in a way that the message explains to a person.

    To do: read the message. This class is the root: what ends the operator is one of the classes below.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class SettingsError(OperatorError):
    """The environment makes no sense. The message names the variable.

    To do: change the variable; in a cluster it comes from the chart's values.
    """

    exit_code = 2


class LeaseLostError(OperatorError):
    """Another operator has taken the Lease. This one must not act any more.

    To do: nothing: the pod is restarted and waits for its turn. If it comes again and again, look for a second
    operator.
    """

    exit_code = 3
    retryable = True


class OwnPodError(OperatorError):
    """The command was begun in the operator's own pod, takes that operator's Lease, and would end with it.

    To do: run it in a pod of its own, or where your kubeconfig is; docs/operations.md says how, under uninstalling.
    """

    exit_code = 2


class ClusterError(OperatorError):
    """The API server refused or could not be reached. The message says for which object.

    To do: read the message: it names the object and what the API server answered.
    """


class NotFoundError(ClusterError):
    """The object does not exist.

    To do: nothing, if the object was deleted on purpose; else make it again.
    """


class ConflictError(ClusterError):
    """The object has changed since it was read, or exists already. Read again and decide anew.

    To do: nothing: the operator reads again and decides anew. `becalm-operator release` can be run again.
    """

    retryable = True


class RefusedError(ClusterError):
    """The API server does not allow it, or finds it invalid. Retrying cannot help by itself.

    To do: read the API server's reason. Most often a role or a quota is missing, or an admission webhook says no.
    """


class UnavailableError(ClusterError):
    """The API server does not answer, or is overloaded.

    To do: nothing: the operator tries again. If it lasts, look at the API server and the network to it.
    """

    retryable = True


class ExpiredError(UnavailableError):
    """What was to be read or watched on from is too long ago, or a version that the API server does not know.

    To do: nothing: the operator begins anew.
    """


class WebhookAwayError(UnavailableError):
    """An admission webhook does not answer, and without its consent the API server does not allow it.

    To do: read which webhook it is, and look at the pods that serve it; if they are gone for good, delete its
    configuration.
    """
