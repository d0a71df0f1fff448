from collections.abc import Iterator

import pytest

from tests.engine.storage.s3_server import S3Server
from tests.servers.programs import SERVERS


@pytest.fixture(scope="session", params=SERVERS)
def server_name(request: pytest.FixtureRequest) -> str:
    """What each of the servers is called."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def running_server(server_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Each of the servers, for all tests that are about it."""
    with SERVERS[server_name](tmp_path_factory.mktemp(server_name)) as server:
        yield server


@pytest.fixture
def server(running_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its credentials in the environment and no others within reach."""
    running_server.log_in(monkeypatch)
    return running_server
