"""becalm with S3 servers that people run: each keeps the contract of a storage, and a repository lives in it."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from becalm_engine.errors import ObjectMissingError, StorageDeniedError
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from becalm_engine.storage.s3_errors import EXISTS, code_of
from tests.compat.programs import Program, becalm, restic
from tests.engine.storage.contract import NAME, StorageContract
from tests.engine.storage.s3_server import S3Server
from tests.engine.volume import sources
from tests.engine.volume.picture import differences, picture

pytestmark = pytest.mark.exhaustive
_numbers = itertools.count()


@pytest.fixture
def storage(server: S3Server) -> Iterator[S3Storage]:
    """A place of its own."""
    found = S3Storage(
        S3Location(server.url, "contract", f"place-{next(_numbers)}/repository"), StorageOptions()
    )
    found.create()
    yield found
    found.close()


class TestS3Storage(StorageContract):
    @pytest.fixture
    def storage(self, storage: S3Storage) -> Storage:
        return storage

    def test_of_several_who_save_what_is_absent_one_wins(self, storage: Storage) -> None:
        if not _minds_conditions(storage):
            pytest.skip("the server takes no notice of If-None-Match, as the page about S3 says")
        super().test_of_several_who_save_what_is_absent_one_wins(storage)


def test_who_minds_conditions_is_as_the_page_says(storage: S3Storage, server_name: str) -> None:
    assert _minds_conditions(storage) == (server_name != "garage")


def _minds_conditions(storage: Storage) -> bool:
    """Say whether the server refuses to write what is there, if asked to."""
    assert isinstance(storage, S3Storage)
    storage.save(FileKind.KEY, NAME, b"first")
    request = storage._put_request(FileKind.KEY, NAME, b"second")
    try:
        storage._put({**request, "IfNoneMatch": "*"})
    except ClientError as error:
        return code_of(error) in EXISTS
    return False


def test_a_listing_of_several_pages_is_complete(storage: S3Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.save(FileKind.LOCK, f"{n:064x}", b"x"), range(1100)))

    assert len({found.name for found in storage.list(FileKind.LOCK)}) == 1100


def test_a_bucket_that_is_not_there_is_missing_and_not_empty(server: S3Server) -> None:
    nowhere = S3Storage(S3Location(server.url, "never-made", ""), StorageOptions())

    with pytest.raises(ObjectMissingError):
        nowhere.load(FileKind.CONFIG, CONFIG_NAME)
    with pytest.raises(ObjectMissingError):
        list(nowhere.list(FileKind.SNAPSHOT))


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_denied(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "GK" + "0" * 24)

    with pytest.raises(StorageDeniedError):
        S3Storage(S3Location(server.url, "contract", ""), StorageOptions()).load(FileKind.PACK, NAME)


def test_a_repository_lives_from_its_making_to_its_pruning(server: S3Server, tmp_path: Path) -> None:
    source = tmp_path / "source"
    sources.write_odd(source / "odd")
    sources.write_many(source / "many", 3000)
    (source / "large").write_bytes(b"".join(bytes([n % 251]) * 100_003 for n in range(600)))
    location = f"s3:{server.url}/repositories/{next(_numbers)}"
    ours, theirs = becalm(location), restic("0.19", location, tmp_path / "cache")

    ours.run("init")
    ours.run("backup", source)
    first = picture(source)
    (source / "many" / "new").write_text("new")
    theirs.run("backup", source)
    ours.run("backup", source)
    ours.run("restore", f"{_oldest(ours)}:{source}", "--target", tmp_path / "back", "--verify", "--sparse")
    ours.run("forget", "--keep-last=1", "--group-by=", "--prune", "--max-unused=0")
    ours.run("check", "--read-data")
    theirs.run("check", "--read-data")
    theirs.run("restore", f"latest:{source}", "--sparse", "--target", tmp_path / "theirs")

    assert differences(first, picture(tmp_path / "back")) == []
    assert differences(picture(source), picture(tmp_path / "theirs")) == []


def _oldest(program: Program) -> str:
    found: str = program.json("snapshots")[0]["id"]
    return found
