"""A mover's gate: a file that holds what an annotation of its own pod says, and a probe of who stands at it."""

from dataclasses import dataclass

from kubernetes.aio.client import (
    V1DownwardAPIVolumeFile,
    V1DownwardAPIVolumeSource,
    V1ObjectFieldSelector,
    V1Probe,
    V1Volume,
    V1VolumeMount,
)

from becalm_operator.api import names

CLOSED = "closed"
"""What a gate's file holds at first."""
_FOLDER, _FILE = "/run/becalm-gate", "gate"
_READY_FILE = "/tmp/ready"  # noqa: S108  a volume of this pod alone
_LOOK_SECONDS = 60
_WAITING = f"until [ -e {_READY_FILE} ]; do sleep 0.5; done"
_FOR_EVER = 2**31 - 1
"""How many looks a startup probe may take before the kubelet ends the container; a first pass may take days."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate that is closed at first. `pre_copy`: there is a first pass before it."""

    pre_copy: bool

    @property
    def arguments(self) -> list[str]:
        """What the engine is told of it."""
        flags = [f"--gate={_FOLDER}/{_FILE}", f"--ready-file={_READY_FILE}"]
        return [*flags, "--pre-copy"] if self.pre_copy else flags

    @property
    def volume(self) -> V1Volume:
        """The volume that holds the file: the kubelet writes it anew as soon as the annotation changes."""
        return V1Volume(name="gate", downward_api=annotation_file(_FILE, names.GATE_ANNOTATION))

    @property
    def mount(self) -> V1VolumeMount:
        """Where the volume is: no subPath, for such a file would never change."""
        return V1VolumeMount(name="gate", mount_path=_FOLDER, read_only=True)

    @property
    def probe(self) -> V1Probe:
        """Says that the mover stands at its gate, and looks no more then.

        A look lasts until it does, or a minute: each costs its node the making of a container's process, and an event
        if it fails.
        """
        look = {"exec": {"command": ["sh", "-c", _WAITING]}}
        paces = {"periodSeconds": 1, "timeoutSeconds": _LOOK_SECONDS, "failureThreshold": _FOR_EVER}
        return V1Probe.model_validate({**look, **paces})


def annotation_file(path: str, annotation: str) -> V1DownwardAPIVolumeSource:
    """Return a volume with one file that holds an annotation of its own pod."""
    field = V1ObjectFieldSelector(field_path=f"metadata.annotations['{annotation}']")
    return V1DownwardAPIVolumeSource(items=[V1DownwardAPIVolumeFile(path=path, field_ref=field)])
