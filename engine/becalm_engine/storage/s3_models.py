"""What botocore knows of S3 and of the services that give out credentials: read quickly, once for all processes."""

import gzip
from pathlib import Path
from typing import Any

import orjson
from botocore.loaders import JSONFileLoader, Loader


class _ModelFiles(JSONFileLoader):
    """Reads the files; one parser in C for all of it takes a fifth of the time."""

    def load_file(self, file_path: str) -> Any:
        """Return what a file holds, or None if there is none; the path has no ending."""
        for ending, opened in ((".json", open), (".json.gz", gzip.open)):
            try:
                with opened(file_path + ending, "rb") as file:
                    return orjson.loads(file.read())
            except FileNotFoundError:
                continue
        return None


class Models(Loader):
    """All descriptions of services. What was read is kept, and goes with a process that is forked."""

    FILE_LOADER_CLASS = _ModelFiles

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  so its callers name it
        """Return what may be one: whether a service has a description of this type is seen when it is read.

        Some hundred folders are not looked into for it.
        """
        folders = filter(Path.is_dir, map(Path, self.search_paths))
        return [service.name for folder in folders for service in folder.iterdir()]
