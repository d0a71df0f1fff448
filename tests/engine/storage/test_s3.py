import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
)
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from tests.engine.storage.contract import NAME, StorageContract
from tests.engine.storage.s3_server import S3Server

pytestmark = pytest.mark.s3
numbers = itertools.count()


def opened(url: str, prefix: str = "", bucket: str = "contract", **options: str) -> S3Storage:
    return S3Storage(S3Location(url, bucket, prefix), StorageOptions(**options))  # type: ignore[arg-type]  # texts only


@pytest.fixture(scope="module")
def connected(running_s3: S3Server) -> Iterator[S3Storage]:
    """One client for many tests: making one takes a third of a second."""
    with pytest.MonkeyPatch.context() as environment:
        running_s3.log_in(environment)
        storage = opened(running_s3.url)
    storage.create()
    yield storage
    storage.close()


@pytest.fixture
def made(connected: S3Storage) -> S3Storage:
    """A storage below a prefix of its own."""
    connected._location = replace(connected._location, prefix=f"test-{next(numbers)}/repository")
    return connected


class TestS3Storage(StorageContract):
    @pytest.fixture
    def storage(self, made: S3Storage) -> Storage:
        return made

    @pytest.fixture
    def again(self, made: S3Storage, s3: S3Server) -> Storage:
        return opened(s3.url, made._location.prefix)


def test_objects_are_laid_out_as_restic_does(s3: S3Server) -> None:
    storage = opened(s3.url, "a/b", bucket="layout")
    storage.create()

    storage.save(FileKind.CONFIG, CONFIG_NAME, b"config")
    storage.save(FileKind.PACK, NAME, b"pack")
    storage.save(FileKind.LOCK, NAME, b"lock")

    assert (s3.folder / "layout/a/b/config").read_bytes() == b"config"
    assert (s3.folder / "layout/a/b/data/ab" / NAME).read_bytes() == b"pack"
    assert (s3.folder / "layout/a/b/locks" / NAME).read_bytes() == b"lock"


@pytest.mark.parametrize("place", ["", "00/"])
def test_a_pack_in_the_wrong_place_is_not_listed(s3: S3Server, place: str) -> None:
    """It is not found by its name either."""
    storage = opened(s3.url, "a", bucket="misplaced")
    storage.create()
    storage._client.put_object(Bucket="misplaced", Key=f"a/data/{place}{NAME}", Body=b"pack")

    assert list(storage.list(FileKind.PACK)) == []


def test_a_repository_may_take_the_whole_bucket(s3: S3Server) -> None:
    storage = opened(s3.url, bucket="whole")
    storage.create()

    storage.save(FileKind.KEY, NAME, b"key")

    assert (s3.folder / "whole/keys" / NAME).exists()
    assert [stored.name for stored in storage.list(FileKind.KEY)] == [NAME]


def test_a_repository_does_not_see_its_neighbours(s3: S3Server) -> None:
    first, second = opened(s3.url, "near/a"), opened(s3.url, "near/ab")
    first.create()

    second.save(FileKind.KEY, NAME, b"key")

    assert list(first.list(FileKind.KEY)) == []


def test_a_listing_of_several_pages_is_complete(s3: S3Server, made: S3Storage) -> None:
    made.save(FileKind.LOCK, NAME, b"")
    (folder,) = s3.folder.glob(f"*/{made._location.prefix}/locks")
    for number in range(1100):
        (folder / f"{number:064x}").write_bytes(b"x")

    assert len(list(made.list(FileKind.LOCK))) == 1101


def test_a_bucket_that_is_gone_is_missing_and_not_empty(s3: S3Server) -> None:
    storage = opened(s3.url, bucket="never-made")

    with pytest.raises(ObjectMissingError):
        storage.load(FileKind.CONFIG, CONFIG_NAME)
    with pytest.raises(ObjectMissingError):
        list(storage.list(FileKind.SNAPSHOT))


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_denied(s3: S3Server, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "wrong" * 4)

    with pytest.raises(StorageDeniedError):
        opened(s3.url).load(FileKind.PACK, NAME)


def test_no_credentials_are_denied_with_the_names_of_the_variables(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StorageDeniedError, match="AWS_ACCESS_KEY_ID"):
        opened(s3.url).load(FileKind.PACK, NAME)


def test_errors_tell_no_secret(s3: S3Server, made: S3Storage) -> None:
    with pytest.raises(ObjectMissingError) as raised:
        made.load(FileKind.PACK, NAME)

    assert NAME in str(raised.value)
    assert s3.secret_key not in str(raised.value)
    assert s3.secret_key not in made.location


def test_a_condition_that_fails_means_that_somebody_was_first(s3: S3Server, made: S3Storage) -> None:
    made.save(FileKind.CONFIG, CONFIG_NAME, b"first")

    with pytest.raises(RepositoryExistsError):
        made.save(FileKind.CONFIG, CONFIG_NAME, b"second", only_if_absent=True)
