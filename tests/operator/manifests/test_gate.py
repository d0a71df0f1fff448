"""What a mover's pod has for its gate: the two ends of it have to meet in the same files."""

import subprocess
from pathlib import Path

import pytest
from kubernetes.aio.client import V1PodSpec, V1Probe

from becalm_engine.cli.parser import build
from becalm_operator.api import names
from becalm_operator.manifests.gate import CLOSED, Gate
from tests.operator.manifests.examples import a_mover_job, command_of, container_of, pod_of, template_of


def file_mounted_at(pod: V1PodSpec, path: str) -> str:
    """Return the annotation that a file of a pod holds."""
    folder, _, name = path.rpartition("/")
    (mount,) = [one for one in pod.containers[0].volume_mounts or [] if one.mount_path == folder]
    assert mount.sub_path is None, "the kubelet never changes a file that is mounted by itself"
    (volume,) = [one for one in pod.volumes or [] if one.name == mount.name]
    assert volume.downward_api is not None
    (item,) = [one for one in volume.downward_api.items or [] if one.path == name]
    assert item.field_ref is not None
    return str(item.field_ref.field_path)


@pytest.mark.parametrize("pre_copy", [True, False])
def test_the_engine_waits_for_the_file_that_holds_the_annotation(pre_copy: bool) -> None:
    job = a_mover_job(gate=Gate(pre_copy=pre_copy))
    arguments = build({}).parse_args(command_of(job)[1:])

    assert file_mounted_at(pod_of(job), arguments.gate) == f"metadata.annotations['{names.GATE_ANNOTATION}']"
    assert arguments.pre_copy is pre_copy
    metadata = template_of(job).metadata
    assert metadata is not None
    assert (metadata.annotations or {})[names.GATE_ANNOTATION] == CLOSED


def test_the_probe_looks_for_the_file_that_the_engine_makes() -> None:
    job = a_mover_job(gate=Gate(pre_copy=True))
    arguments = build({}).parse_args(command_of(job)[1:])
    container = container_of(job)
    probe = container.startup_probe

    assert probe is not None
    assert f" {arguments.ready_file} " in _look_of(probe)[-1]
    assert probe.period_seconds == 1
    assert probe.failure_threshold is not None
    assert probe.failure_threshold * probe.period_seconds > 10 * 365 * 86400, "it would end a long first pass"
    assert container.readiness_probe is None, "nobody looks on at a mover that stands at its gate"
    writable = [one.mount_path for one in container.volume_mounts or [] if not one.read_only]
    assert any(arguments.ready_file.startswith(f"{folder}/") for folder in writable)


def _look_of(probe: V1Probe) -> list[str]:
    command: list[str] = probe.model_dump(by_alias=True, exclude_none=True)["exec"]["command"]
    return command


def test_a_look_of_the_probe_lasts_until_the_file_is_there(tmp_path: Path) -> None:
    *shell, script = _look_of(Gate(pre_copy=True).probe)
    ready = tmp_path / "ready"

    with subprocess.Popen([*shell, script.replace("/tmp/ready", str(ready))]) as look:
        with pytest.raises(subprocess.TimeoutExpired):
            look.wait(timeout=0.3)
        ready.touch()
        assert look.wait(timeout=30) == 0


def test_a_mover_without_a_gate_has_nothing_of_it() -> None:
    job = a_mover_job()

    assert not [argument for argument in command_of(job) if argument.startswith("--gate")]
    assert container_of(job).startup_probe is None
    assert "gate" not in [volume.name for volume in pod_of(job).volumes or []]
