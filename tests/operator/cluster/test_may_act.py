"""No action leaves an operator that may not act."""

from datetime import UTC, datetime

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api.base import Metadata
from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.errors import UnavailableError
from becalm_operator.plan.steps import DeleteJob
from becalm_operator.settings import Settings
from tests.operator.handlers.api import fake_api_server
from tests.operator.simulation.shop import a_repository

OWNER = a_repository().model_copy(update={"metadata": Metadata(name="main", namespace="shop", uid="1")})


def forbidden() -> None:
    raise UnavailableError("the Lease is not ours any more")


async def test_who_may_not_act_asks_the_api_server_for_nothing() -> None:
    settings = Settings(namespace="becalm", image="becalm")
    async with fake_api_server() as server, ApiClient(Configuration(host=server.url)) as client:
        cluster = ApiServer(client, settings, lambda: datetime.now(UTC), forbidden)
        with pytest.raises(UnavailableError, match="not ours any more"):
            await cluster.apply(OWNER, DeleteJob("mover"))

        assert server.requests == []
