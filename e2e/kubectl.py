"""The cluster for tests and the demo: kubectl as a user types it, and what is done very often without it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from e2e.objects import Document, Objects
from e2e.paths import SetUpError
from e2e.shell import run

PATIENT_SECONDS = 180.0
"""How long is waited for what comes in a few seconds on an idle machine: a wait ends as soon as it has come."""
_LOOK_SECONDS = 0.2


class NeverHappenedError(AssertionError):
    """What was waited for did not come in time. The message shows what was seen last."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with a kubeconfig, in a namespace."""

    program: str
    kubeconfig: Path
    objects: Objects = field(repr=False, compare=False)
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        """Return the same for another namespace."""
        return replace(self, namespace=namespace)

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run kubectl and return what it printed.

        Raises:
            SetUpError: It failed.
        """
        place = [f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        return run([self.program, *place, *arguments], stdin=stdin, seconds=seconds)

    def apply(self, *documents: Document) -> None:
        """Apply objects, as `kubectl apply --server-side --force-conflicts` does.

        Raises:
            SetUpError: One of them is refused; those before it are applied.
        """
        for document in documents:
            self.objects.apply(document, self.namespace)

    def delete(self, kind: str, name: str) -> None:
        """Have an object deleted, if it is there. What has a finalizer stays for a while."""
        self.objects.delete(kind, name, self.namespace)

    def remove(self, kind: str, name: str, *, seconds: float = PATIENT_SECONDS) -> None:
        """Have an object deleted, if it is there, and wait until it is gone.

        Raises:
            NeverHappenedError: It was not within so many seconds.
        """
        self.delete(kind, name)
        gone = partial(self.get, kind, name)
        self.until(f"{kind} {name} is gone", gone, lambda seen: seen is None, seconds=seconds)

    def get(self, kind: str, name: str) -> Document | None:
        """Return an object, or None if it does not exist."""
        return self.objects.get(kind, name, self.namespace)

    def list(self, kind: str, *, labels: str = "", fields: str = "") -> list[Document]:
        """Return the objects that selectors choose, by their labels and their fields."""
        return self.objects.list(kind, self.namespace, labels=labels, fields=fields)

    def status(self, kind: str, name: str) -> Document:
        """Return an object's status; empty while there is none."""
        found = self.get(kind, name)
        status: Document = (found or {}).get("status", {})
        return status

    def until(
        self,
        what: str,
        read: Callable[[], Any],
        holds: Callable[[Any], bool],
        *,
        seconds: float = PATIENT_SECONDS,
        every: float = _LOOK_SECONDS,
    ) -> Any:
        """Read again and again until it holds; return what was read.

        Raises:
            NeverHappenedError: It did not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            seen = read()
            if holds(seen):
                return seen
            if time.monotonic() > deadline:
                shown = json.dumps(told(seen), default=str)[-3000:]
                raise NeverHappenedError(f"{what}: not within {seconds:.0f} s. Last seen: {shown}")
            time.sleep(every)

    def condition(self, kind: str, name: str, condition: str) -> Document:
        """Return a condition of an object; empty while it has none of that type."""
        conditions = self.status(kind, name).get("conditions") or []
        return next((one for one in conditions if one["type"] == condition), {})

    def definitions_are_served(self, *names: str) -> None:
        """Wait until kinds that have just been defined are served.

        `kubectl wait` does not do: it gives up on a definition whose conditions are null, as they are at first.

        Raises:
            NeverHappenedError: They are not in the end.
        """
        for name in names:
            self.until(
                f"{name} is served",
                partial(self.condition, "customresourcedefinitions", name, "Established"),
                lambda condition: condition.get("status") == "True",
            )

    def exec(self, pod: str, *command: str, seconds: float = 60) -> str:
        """Run a command in a pod."""
        return self("exec", pod, "--", *command, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Helm:
    """helm with a kubeconfig."""

    program: str
    kubeconfig: Path

    def __call__(self, *arguments: str, seconds: float = 300) -> str:
        """Run helm and return what it printed."""
        return run([self.program, f"--kubeconfig={self.kubeconfig}", *arguments], seconds=seconds)

    def install(self, release: str, chart: Path, namespace: str, values: Mapping[str, str]) -> None:
        """Install or upgrade a chart and wait until it runs."""
        flags = [f"--set={key}={value}" for key, value in values.items()]
        place = ["--namespace", namespace, "--create-namespace"]
        self("upgrade", "--install", release, str(chart), *place, *flags, "--wait", "--timeout=120s")


def told(seen: Any) -> Any:
    """Return what was read without the long list of who wrote which field."""
    if not isinstance(seen, dict) or "metadata" not in seen:
        return seen
    metadata = {name: value for name, value in seen["metadata"].items() if name != "managedFields"}
    return {**seen, "metadata": metadata}


def require(holds: bool, what: str) -> None:  # noqa: FBT001  it reads as a sentence
    """Fail loudly if something that must hold does not.

    Raises:
        SetUpError: It does not.
    """
    if not holds:
        raise SetUpError(what)
