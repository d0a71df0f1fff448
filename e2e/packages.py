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


def require() -> None:
    """See that a cluster of plain processes can run here.

    Raises:
        SetUpError: It cannot.
    """
    absent = missing()
    if absent or os.geteuid() != 0:
        lacking = f", of which these are missing: {' '.join(absent)}" if absent else ""
        raise SetUpError(
            f"a cluster needs either a Docker engine, or root and some of Debian's packages{lacking}"
        )


def ensure() -> None:
    """Install what is missing, if that can be done and no Docker engine makes it needless.

    Where it cannot, everything but the cluster works all the same: `require` speaks up when a cluster is wished.
    """
    absent = missing()
    if not absent or os.geteuid() != 0 or not shutil.which("apt-get") or has_docker():
        return
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
