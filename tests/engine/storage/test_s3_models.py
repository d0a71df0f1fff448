"""Descriptions of services are what botocore itself would read, and are read once."""

import threading

import pytest
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from becalm_engine.storage.s3_models import Models, _ModelFiles


@pytest.mark.parametrize("service", ["s3", "sts", "sso", "sso-oidc"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1"])
def test_a_service_is_described_as_botocore_does(service: str, kind: str) -> None:
    assert Models().load_service_model(service, kind) == Loader().load_service_model(service, kind)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "_retry", "sdk-default-configuration"])
def test_what_is_known_beside_them_is_the_same(name: str) -> None:
    assert Models().load_data(name) == Loader().load_data(name)


def test_what_nobody_describes_is_not_found() -> None:
    with pytest.raises(DataNotFoundError):
        Models().load_service_model("s3", "nonsense-1")


@pytest.mark.usefixtures("some_credentials")
def test_a_forked_copy_reads_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = S3Storage(S3Location("http://127.0.0.1:1", "bucket", ""), StorageOptions())
    read: list[str] = []
    monkeypatch.setattr(_ModelFiles, "load_file", lambda _self, path: read.append(path))

    storage.forked(threading.Event()).close()

    assert read == []
