"""The programs that tests and the demo run: built from source at pinned versions, once, into the cache.

Go's checksum database vouches for the sources. A stamp beside each binary says what it was made from, so nothing is
built twice, and everything is built again when its version or our part of its source changes.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e import packages
from e2e.paths import Places, SetUpError, places
from e2e.shell import run, say

KUBERNETES = "v1.34.4"
_SOURCES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tool:
    """A Go program: a package at a version, or a folder of ours. `pace` says how long it takes."""

    name: str
    package: str
    version: str
    pace: str
    flags: tuple[str, ...] = ()
    within: str = ""
    """The folder of ours whose module builds it, for a package that cannot be built by itself."""
    files: str = ""
    """It is no program, but these files of the module `package`, one after the other."""

    @property
    def folder(self) -> Path | None:
        """Our own source, if it is ours."""
        own = self.within or self.package
        return _SOURCES / own if "/" not in own else None

    def stamp(self) -> str:
        """Return what the binary depends on, as a digest."""
        what = (self.package, self.version, self.flags, *filter(None, (self.within, self.files)))
        digest = hashlib.sha256(repr(what).encode())
        for path in sorted(self.folder.iterdir()) if self.folder else ():
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()


def _kubernetes_flags() -> tuple[str, ...]:
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    facts = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    return tuple(f"-X k8s.io/component-base/version.{key}={value}" for key, value in facts.items())


def tools() -> tuple[Tool, ...]:
    """Return all programs, the ones that take long last."""
    restic = "github.com/restic/restic/cmd/restic"
    return (
        Tool("pause", "pause", "1", "a second"),
        Tool("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0", "a few seconds"),
        Tool("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", "a minute"),
        Tool("restic-0.19", restic, "v0.19.1", "a minute"),
        Tool("restic-0.18", restic, "v0.18.1", "half a minute"),
        Tool("restic-0.14", restic, "v0.14.0", "half a minute"),
        *_snapshot_tools(),
        Tool("helm", "helm.sh/helm/v3/cmd/helm", "v3.22.0", "a minute"),
        Tool("kube", "kube", KUBERNETES, "five minutes on two cores", _kubernetes_flags()),
    )


def _snapshot_tools() -> tuple[Tool, ...]:
    """Return what a cluster needs for CSI snapshots: Kubernetes' own controllers, and a driver of ours."""
    snapshotter = "github.com/kubernetes-csi/external-snapshotter"
    command, version = f"{snapshotter}/v8/cmd", "v8.7.0"
    definitions = "config/crd/snapshot.storage.k8s.io_*.yaml"
    return (
        Tool("csi-driver", "csi", "1", "a minute"),
        Tool("csi-snapshotter", f"{command}/csi-snapshotter", version, "half a minute", within="csi"),
        Tool("snapshot-controller", f"{command}/snapshot-controller", version, "half a minute", within="csi"),
        Tool("snapshot-crds.yaml", f"{snapshotter}/client/v8", "v8.6.0", "a second", (), "csi", definitions),
    )


def ensure() -> None:
    """See that every program is there and current.

    Raises:
        SetUpError: One cannot be built.
    """
    where = places()
    packages.ensure()
    _write_kubectl(where)
    wanted = [*tools(), *_kind()]
    if all(_current(tool, where) for tool in wanted):
        return
    if not shutil.which("go"):
        raise SetUpError(
            "Go is needed to build the test programs: install Go 1.21 or newer (https://go.dev/dl/)"
        )
    with _alone(where.cache):
        for tool in wanted:
            if not _current(tool, where):
                say(f"building {tool.name} {tool.version} (takes {tool.pace}, once)")
                _build(tool, where)


def _write_kubectl(where: Places) -> None:
    """Give kubectl, which is a part of `kube`, a name of its own."""
    target = where.binaries / "kubectl"
    text = f'#!/bin/sh\nexec "{where.binaries}/kube" kubectl "$@"\n'
    if target.exists() and target.read_text() == text:
        return
    where.binaries.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".kubectl.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(target)


def _kind() -> tuple[Tool, ...]:
    """Return kind where a Docker engine answers."""
    if not packages.has_docker():
        return ()
    return (Tool("kind", "sigs.k8s.io/kind", "v0.33.0", "half a minute"),)


def _current(tool: Tool, where: Places) -> bool:
    stamp = where.binaries / f".{tool.name}.stamp"
    return (where.binaries / tool.name).exists() and stamp.exists() and stamp.read_text() == tool.stamp()


def _build(tool: Tool, where: Places) -> None:
    """Build into a folder of its own and rename into place, so that what is there is always whole."""
    where.binaries.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where.cache) as scratch:
        built = Path(scratch) / "built"
        flags = ["-trimpath", "-ldflags", " ".join(("-s", "-w", *tool.flags))]
        environment = {"CGO_ENABLED": "0", "GOBIN": scratch, "GOFLAGS": "-mod=mod"}
        if tool.folder is not None:
            source = Path(scratch) / "source"
            shutil.copytree(tool.folder, source)
            if tool.files:
                built.write_text(_files(tool, source, environment))
            else:
                package = tool.package if tool.within else "."
                command = ["go", "build", *flags, "-o", str(built), package]
                run(command, cwd=source, env=environment, seconds=3000)
        else:
            target = f"{tool.package}@{tool.version}"
            run(["go", "install", *flags, target], cwd=Path(scratch), env=environment, seconds=3000)
            built = Path(scratch) / Path(tool.package).name
        built.replace(where.binaries / tool.name)
    (where.binaries / f".{tool.name}.stamp").write_text(tool.stamp())


def _files(tool: Tool, source: Path, environment: Mapping[str, str]) -> str:
    """Return the files of a module that is none of ours."""
    run(["go", "mod", "download"], cwd=source, env=environment, seconds=3000)
    folder = run(["go", "list", "-m", "-f", "{{.Dir}}", tool.package], cwd=source, env=environment).strip()
    return "\n".join(path.read_text() for path in sorted(Path(folder).glob(tool.files)))


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let one process build at a time; others wait, and then find everything built."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".toolchain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
