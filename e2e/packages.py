"""Debian's packages that a cluster of plain processes needs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.paths import SetUpError
from e2e.shell import run, say, succeeds

_NEEDED = {
    "/usr/bin/etcd": "etcd-server",
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/bin/buildah": "buildah",
    "/usr/sbin/debootstrap": "debootstrap",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/ip": "iproute2",
    "/usr/bin/mount": "mount",
    "/usr/sbin/conntrack": "conntrack",
}
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [package for file, package in _NEEDED.items() if not _exists(file)]


def _exists(file: str) -> bool:
    other = file.replace("/usr/sbin", "/sbin").replace("/usr/bin", "/bin")
    return Path(file).exists() or Path(other).exists()


def ensure() -> None:
    """Install what is missing, unless a Docker engine makes all of it needless.

    Raises:
        SetUpError: It cannot be installed here.
    """
    if has_docker() or not (absent := missing()):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetUpError(
            "a cluster needs either a Docker engine, or root and these Debian packages: " + " ".join(absent)
        )
    say(f"installing {' '.join(absent)} (half a minute, once)")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=quiet)
    with _no_services():
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent], env=quiet)


def has_docker() -> bool:
    """Say whether a Docker engine answers."""
    return shutil.which("docker") is not None and succeeds(["docker", "info"], seconds=20)


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep the packages' scripts from starting services: the tests start their own, in their own places."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
