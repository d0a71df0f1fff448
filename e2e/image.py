"""The images that a cluster runs, as archives in the cache."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e import packages
from e2e.buildah import Buildah
from e2e.containers import PAUSE_IMAGE
from e2e.paths import ROOT, Places
from e2e.shell import run, say

IMAGE = "localhost/becalm:dev"
POSTGRES_IMAGE = "localhost/becalm-postgres:dev"
_INPUTS = ("Dockerfile", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "engine", "operator")


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds by Docker where there is one, else by buildah."""

    places: Places

    def archive(self) -> Path:
        """Return the archive of the project's image, built anew if anything that goes into it has changed."""
        return self._built("becalm", ROOT, _INPUTS, IMAGE)

    def postgres_archive(self) -> Path:
        """Return the archive of an image with PostgreSQL."""
        return self._built("postgres", ROOT / "e2e" / "postgres", ("Dockerfile",), POSTGRES_IMAGE)

    def _built(self, name: str, folder: Path, inputs: Sequence[str], image: str) -> Path:
        target = self._folder() / f"{name}-{_digest(folder, inputs)}.tar"
        if target.exists():
            return target
        say(f"building the image {image} (some seconds; two minutes the first time)")
        fresh = target.with_suffix(".new")
        if packages.has_docker():
            run(["docker", "build", "-q", "-t", image, str(folder)], seconds=1800)
            run(["docker", "save", "-o", str(fresh), image])
        else:
            Buildah(self.places).build(folder, image, fresh)
        for old in target.parent.glob(f"{name}-*.tar"):
            old.unlink()
        fresh.rename(target)
        return target

    def pause_archive(self) -> Path:
        """Return the archive of the image that holds a pod's namespaces open."""
        target = self._folder() / "pause.tar"
        binary = Path(self.places.binary("pause"))
        if not target.exists() or target.stat().st_mtime < binary.stat().st_mtime:
            Buildah(self.places).from_binary(binary, PAUSE_IMAGE, target)
        return target

    def _folder(self) -> Path:
        folder = self.places.cache / "image"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _digest(folder: Path, inputs: Sequence[str]) -> str:
    """Return a digest of everything that goes into an image."""
    digest = hashlib.sha256()
    for path in _files(folder, inputs):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(folder: Path, inputs: Sequence[str]) -> Iterator[Path]:
    for name in inputs:
        path = folder / name
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        else:
            yield path
