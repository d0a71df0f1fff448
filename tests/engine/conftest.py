import os
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from becalm_engine.volume import syncing
from tests.engine.storage.s3_server import S3Server, serving, use_credentials

# Many small properties rather than long searches, and no deadline that a busy machine misses.
settings.register_profile("engine", max_examples=60, deadline=None)
settings.register_profile("fuzz", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "engine"))


@pytest.fixture(scope="session", autouse=True)
def real_sync() -> Iterator[Callable[[int], None]]:
    """Leave out the syncs of restores, which wait for all that anybody has written to the disk; give what syncs."""
    with pytest.MonkeyPatch.context() as patch:
        original = syncing.sync_file_system
        patch.setattr(syncing, "sync_file_system", lambda _: None)
        yield original


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process lives in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def running_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on loopback, for the whole run."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(running_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its credentials in the environment and no others within reach."""
    running_s3.log_in(monkeypatch)
    return running_s3


@pytest.fixture
def some_credentials(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Credentials that no server knows, for servers that believe all."""
    use_credentials(monkeypatch, "AKIDSOMEBODY", "a very secret key")
    return "AKIDSOMEBODY", "a very secret key"
