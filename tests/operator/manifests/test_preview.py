"""The Job by which a Restore sees that it can begin, as the engine itself understands it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.contract import RestoreReport
from becalm_operator.api.restore import TargetStatus
from becalm_operator.manifests.jobs import preview_job
from tests.operator.manifests.examples import IMAGE, OWNER, a_repository, a_restore, command_of, pod_of


class Repository:
    """A repository with one snapshot of a claim called data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "password").write_text("x")
        self.run("init")
        self.run("backup", "--stdin", "--stdin-filename=/data/data/a/file", given=b"content")
        (found,) = json.loads(self.run("--json", "snapshots").stdout)
        self.snapshot: str = found["id"]

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        options = ["-r", str(self._folder / "repository"), "--password-file", str(self._folder / "password")]
        environment = {"BECALM_REPORT": str(self._folder / "report"), "HOME": str(self._folder)}
        engine = [str(Path(sys.executable).with_name("becalm")), *options, *arguments]
        return subprocess.run(engine, input=given, capture_output=True, env=environment, check=False)

    def preview(self, *, claim: str = "data", snapshot: str = "", **spec: Any) -> RestoreReport:
        target = TargetStatus(claim=claim, to="copy", snapshot_id=snapshot or self.snapshot)
        job = preview_job(OWNER, a_repository(), IMAGE, restore=a_restore(**spec), target=target)
        command = command_of(job)
        self.run(*command[1 : command.index("--dry-run") + 1])
        return RestoreReport.from_json((self._folder / "report").read_text())


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("preview"))


@pytest.mark.parametrize("include", [[], ["/a"], ["*.txt"]])
def test_what_is_there_is_found_and_nothing_is_written(repository: Repository, include: list[str]) -> None:
    report = repository.preview(paths={"include": include})

    assert (report.exit_code, report.error, report.files_restored) == (0, None, 0)
    assert not Path("/tmp/preview").exists()


@pytest.mark.parametrize(
    ("wish", "error", "told"),
    [
        ({"snapshot": "ef" * 32}, "SnapshotMissing", "no snapshot has an id"),
        ({"claim": "other"}, "SnapshotMissing", "the snapshot has no path '/data/other'"),
        ({"paths": {"include": ["[z-a]"]}}, "Usage", "backwards"),
    ],
)
def test_what_could_not_be_restored_is_told(
    repository: Repository, wish: dict[str, Any], error: str, told: str
) -> None:
    problem = repository.preview(**wish).error

    assert problem is not None
    assert problem.type == error
    assert told in problem.message


def test_it_mounts_no_claim_and_needs_no_privilege() -> None:
    target = TargetStatus(claim="data", to="copy", snapshot_id="ab" * 32, node="node-1")
    pod = pod_of(preview_job(OWNER, a_repository(), IMAGE, restore=a_restore(), target=target))

    (container,) = pod.containers
    assert not any(volume.persistent_volume_claim for volume in pod.volumes or [])
    assert container.security_context is not None
    assert container.security_context.run_as_non_root
    assert pod.affinity is None
