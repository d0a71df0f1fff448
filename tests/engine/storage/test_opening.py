import subprocess
import sys
from pathlib import Path

import pytest

from becalm_engine.errors import UsageError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from becalm_engine.storage.opening import open_storage
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.retry import RetryingStorage
from tests.engine.storage.contract import NAME
from tests.engine.storage.s3_server import S3Server


def test_a_folder_is_opened_as_it_is(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path), StorageOptions())

    assert isinstance(storage, LocalStorage)
    assert storage.location == str(tmp_path)


@pytest.mark.s3
def test_s3_is_opened_with_retries(s3: S3Server) -> None:
    storage = open_storage(f"s3:{s3.url}/opened/below", StorageOptions(connections=3))

    storage.create()
    storage.save(FileKind.KEY, NAME, b"key")

    assert isinstance(storage, RetryingStorage)
    assert storage.connections == 3
    assert (s3.folder / "opened/below/keys" / NAME).read_bytes() == b"key"


def test_nonsense_is_not_opened() -> None:
    with pytest.raises(UsageError):
        open_storage("", StorageOptions())


def test_a_bucket_does_not_pay_for_what_boto3_has_beside_its_client() -> None:
    program = "import sys; import becalm_engine.storage.s3; sys.exit('boto3' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_local_repository_does_not_pay_for_botocore() -> None:
    program = (
        "import sys; from becalm_engine.storage import opening, options;"
        "opening.open_storage('folder', options.StorageOptions());"
        "sys.exit('botocore' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
