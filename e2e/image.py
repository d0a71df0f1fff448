"""Builds the images that a cluster runs, and makes them known to it."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e import packages
from e2e.containers import PAUSE_IMAGE
from e2e.paths import ROOT, Places, SetUpError
from e2e.shell import run, say, succeeds

IMAGE = "localhost/becalm:dev"
_BASE_IMAGE = "localhost/becalm-base:trixie"
_SUITE = "trixie"
_INPUTS = ("Dockerfile", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "engine", "operator")
_CERTIFICATES = "/etc/ssl/certs"


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds by Docker where there is one, else by buildah on a base that debootstrap makes."""

    places: Places

    def archive(self) -> Path:
        """Return the archive of the project's image, built anew if anything that goes into it has changed."""
        target = self.places.cache / "image" / f"becalm-{_digest()}.tar"
        if target.exists():
            return target
        say("building the image (some seconds; two minutes the first time)")
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        if packages.has_docker():
            run(["docker", "build", "-q", "-t", IMAGE, str(ROOT)], seconds=1800)
            run(["docker", "save", "-o", str(fresh), IMAGE])
        else:
            self._build_by_buildah(fresh)
        for old in target.parent.glob("becalm-*.tar"):
            old.unlink()
        fresh.rename(target)
        return target

    def _build_by_buildah(self, target: Path) -> None:
        self._ensure_base()
        # The certificates of this machine are lent to the build, for package indexes behind a proxy of its own;
        # the image keeps none of them.
        lent = f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"
        build = ["bud", "--layers", "--network=host", "--isolation=chroot", lent]
        arguments = [f"--build-arg=BASE_IMAGE={_BASE_IMAGE}", "-t", IMAGE, "-f", str(ROOT / "Dockerfile")]
        run(self._buildah(*build, *arguments, str(ROOT)), seconds=1800)
        run(self._buildah("push", IMAGE, f"docker-archive:{target}:{IMAGE}"), seconds=300)

    def _buildah(self, *arguments: str) -> list[str]:
        store = self.places.cache / "buildah"
        places = [f"--root={store}/root", f"--runroot={store}/run", f"--storage-driver={self._driver()}"]
        return ["buildah", *places, *arguments]

    def _driver(self) -> str:
        """Return the storage driver: the slow one only where the other does not work."""
        return "overlay" if "overlay" in Path("/proc/filesystems").read_text() else "vfs"

    def _ensure_base(self) -> None:
        if succeeds(self._buildah("inspect", "--type=image", _BASE_IMAGE)):
            return
        say(f"making a base image of Debian {_SUITE} (a minute, once)")
        root = self.places.cache / "base-root"
        shutil.rmtree(root, ignore_errors=True)
        include = "--include=python3,python3-venv,ca-certificates"
        run(["debootstrap", "--variant=minbase", include, _SUITE, str(root), _mirror()], seconds=1200)
        for folder in (
            "var/cache/apt",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(root / folder, ignore_errors=True)
        container = run(self._buildah("from", "scratch")).strip()
        run(self._buildah("add", container, str(root), "/"), seconds=300)
        run(self._buildah("commit", "--rm", container, _BASE_IMAGE), seconds=300)
        shutil.rmtree(root)


def _mirror() -> str:
    """Return the mirror that this machine's own packages come from.

    Raises:
        SetUpError: None can be found.
    """
    apt = Path("/etc/apt")
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            urls = [word for word in words if word.startswith(("http://", "https://"))]
            if urls and words[0] in ("URIs:", "deb") and "security" not in urls[0]:
                return urls[0]
    raise SetUpError("no Debian mirror is named in /etc/apt: it is needed to make a base image")


def pause_archive(where: Places) -> Path:
    """Return the archive of the image that holds a pod's namespaces open."""
    target = where.cache / "image" / "pause.tar"
    binary = Path(where.binary("pause"))
    if target.exists() and target.stat().st_mtime > binary.stat().st_mtime:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    builder = Builder(where)
    container = run(builder._buildah("from", "scratch")).strip()  # noqa: SLF001  one library, one adapter
    run(builder._buildah("copy", container, str(binary), "/pause"))  # noqa: SLF001
    run(builder._buildah("config", "--entrypoint", '["/pause"]', container))  # noqa: SLF001
    run(builder._buildah("commit", "--rm", container, PAUSE_IMAGE))  # noqa: SLF001
    target.unlink(missing_ok=True)
    run(builder._buildah("push", PAUSE_IMAGE, f"docker-archive:{target}:{PAUSE_IMAGE}"))  # noqa: SLF001
    return target


def _digest() -> str:
    """Return a digest of everything that goes into the image."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for name in _INPUTS:
        path = ROOT / name
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        else:
            yield path
