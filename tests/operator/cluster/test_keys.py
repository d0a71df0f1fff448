"""What is listed says of runs whether anything is left to be done for them."""

from datetime import UTC, datetime

from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.cluster.port import Key
from becalm_operator.settings import Settings
from tests.operator.handlers.api import fake_api_server
from tests.operator.handlers.examples import BOUND, backup, restore


async def test_runs_are_over_that_have_ended_and_are_let_go() -> None:
    made: list[Backup | Restore] = [
        backup(Phase.PENDING, name="waits"),
        backup(Phase.SUCCEEDED, name="done"),
        backup(Phase.FAILED, name="bound", **BOUND),
        backup(Phase.FAILED, name="theirs", finalizers=["example.org/keep"]),
        restore(Phase.RESTORING),
    ]
    settings = Settings(namespace="becalm", image="becalm")
    async with fake_api_server() as server, ApiClient(Configuration(host=server.url)) as client:
        for run in made:
            server.put(f"{run.kind.lower()}s", run.model_dump(mode="json", by_alias=True, exclude_none=True))
        server.put("restores", {"metadata": {"namespace": "shop", "name": "new"}})
        server.put("restores", {"metadata": {"namespace": "shop", "name": "odd"}, "status": {"phase": []}})
        keys = await ApiServer(client, settings, lambda: datetime.now(UTC)).list_keys()

    assert len(keys.found) == 7
    assert keys.over == {Key("Backup", "shop", "done"), Key("Backup", "shop", "theirs")}
