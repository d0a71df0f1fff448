"""Builds images without a container engine: buildah, on a base that debootstrap makes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e import overlay
from e2e.paths import Places, SetUpError
from e2e.shell import run, say, succeeds

BASE_IMAGE = "localhost/becalm-base:trixie"
_SUITE = "trixie"
_CERTIFICATES = "/etc/ssl/certs"
_NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


@dataclass(frozen=True, slots=True)
class Buildah:
    """A store of images and layers in the cache."""

    places: Places

    def __call__(self, *arguments: str, seconds: float = 300) -> str:
        """Run buildah and return what it printed."""
        return run(self._command(*arguments), seconds=seconds)

    def _command(self, *arguments: str) -> list[str]:
        store = self.places.cache / "buildah"
        # the slow driver only where the other does not work
        driver = "overlay" if overlay.works(store) else "vfs"
        return [
            "buildah",
            f"--root={store}/root",
            f"--runroot={store}/run",
            f"--storage-driver={driver}",
            *arguments,
        ]

    def build(self, folder: Path, image: str, target: Path) -> None:
        """Build a folder's Dockerfile into an archive."""
        self._ensure_base()
        # The certificates of this machine are lent to the build, for package indexes behind a proxy of its own;
        # the image keeps none of them.
        lent = f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"
        flags = ["--layers", "--network=host", "--isolation=chroot", lent]
        base = f"--build-arg=BASE_IMAGE={BASE_IMAGE}"
        former = self._id(image)
        self("bud", *flags, base, "-t", image, str(folder), seconds=1800)
        self.save(image, target)
        if former not in ("", self._id(image)):
            # it holds a whole environment, and nobody asks for it again; what the new one shares stays
            succeeds(self._command("rmi", former))

    def from_binary(self, binary: Path, image: str, target: Path) -> None:
        """Make an image of one static program, which it starts, into an archive."""
        container = self("from", "scratch").strip()
        self("copy", container, str(binary), f"/{binary.name}")
        self("config", "--entrypoint", f'["/{binary.name}"]', container)
        self("commit", "--rm", container, image)
        self.save(image, target)

    def save(self, image: str, target: Path) -> None:
        """Write an image into an archive as docker does; a file that is there is replaced."""
        target.unlink(missing_ok=True)
        self("push", image, f"docker-archive:{target}:{image}")

    def _id(self, image: str) -> str:
        """Return an image's id; empty if there is none."""
        return self("images", "--quiet", "--no-trunc", "--filter", f"reference={image}").strip()

    def _ensure_base(self) -> None:
        if succeeds(self._command("inspect", "--type=image", BASE_IMAGE)):
            return
        say(f"making a base image of Debian {_SUITE} (a minute, once)")
        root = self.places.cache / "base-root"
        shutil.rmtree(root, ignore_errors=True)
        include = "--include=python3,python3-venv,ca-certificates"
        run(["debootstrap", "--variant=minbase", include, _SUITE, str(root), _mirror()], seconds=1200)
        for folder in _NEEDLESS:
            shutil.rmtree(root / folder, ignore_errors=True)
        container = self("from", "scratch").strip()
        self("add", container, str(root), "/")
        self("commit", "--rm", container, BASE_IMAGE)
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
