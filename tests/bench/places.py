"""Where the repositories of a comparison lie: a folder, or a bucket of an S3 server on this machine."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.storage.s3_server import S3Server

_BUCKET = "bench"
_PREFIX = "repository"


@dataclass(frozen=True, slots=True)
class Place:
    """A place for one repository. `folder` is where its files end up on this machine."""

    name: str
    folder: Path
    restic_location: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    rustic_options: Mapping[str, str] = field(default_factory=dict)

    def emptied(self) -> None:
        """Make room for a new repository."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def rustic_profile(self, password: str) -> str:
        """Return a profile of rustic, whose S3 settings stand in a file only."""
        location = "opendal:s3" if self.rustic_options else str(self.folder)
        options = "".join(f'{key} = "{value}"\n' for key, value in self.rustic_options.items())
        return (
            f'[repository]\nrepository = "{location}"\npassword = "{password}"\n'
            f"[repository.options]\n{options}"
        )


def folder_place(scratch: Path) -> Place:
    """Return a place in a folder."""
    return Place("folder", scratch / "repository", str(scratch / "repository"))


def s3_place(server: S3Server) -> Place:
    """Return a place in a bucket, which is a folder of the server."""
    (server.folder / _BUCKET).mkdir(exist_ok=True)
    keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
    return Place(
        "S3",
        server.folder / _BUCKET / _PREFIX,
        f"s3:{server.url}/{_BUCKET}/{_PREFIX}",
        {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key},
        {"bucket": _BUCKET, "root": f"/{_PREFIX}", "endpoint": server.url, "region": "us-east-1", **keys},
    )
