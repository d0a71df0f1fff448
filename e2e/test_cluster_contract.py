"""The real API server keeps the promises that the cluster in memory is tested by."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from tests.operator.cluster.contract import ClusterContract
from tests.operator.cluster.definitions import WIDGETS_NAME, scaled_objects, widgets
from tests.operator.cluster.documents_contract import DocumentsContract

from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.cluster.documents import Documents
from becalm_operator.settings import Settings
from e2e.conftest import Numbers
from e2e.contract_lab import RealLab
from e2e.image import IMAGE
from e2e.lab import Lab
from e2e.turns import Turns

pytestmark = pytest.mark.cluster


_DEFINITIONS = [one["metadata"]["name"] for one in (widgets(), scaled_objects())]


@pytest.fixture(scope="module")
def resting(installed: Lab, turns: Turns) -> Iterator[Lab]:
    """The lab while its operator and watchdog rest: they would act on what the contract makes."""
    with turns.together("resting", partial(_send_to_rest, installed), partial(_wake, installed)):
        yield installed


def _send_to_rest(lab: Lab) -> None:
    kubectl = lab.kubectl
    _suspend_watchdog(lab, suspend=True)
    kubectl("scale", "deployment/becalm", "--replicas=0")
    gone = ["--for=delete", "pod", "-l", "app.kubernetes.io/name=becalm", "--timeout=60s"]
    kubectl("wait", *gone, seconds=70)
    kubectl.apply(widgets(), scaled_objects())
    kubectl.definitions_are_served(*_DEFINITIONS)


def _wake(lab: Lab) -> None:
    lab.kubectl("delete", "crd", *_DEFINITIONS, "--wait=true", "--timeout=60s", seconds=70)
    _suspend_watchdog(lab, suspend=False)
    lab.kubectl("scale", "deployment/becalm", "--replicas=1")
    lab.operator_pod()


def _suspend_watchdog(lab: Lab, *, suspend: bool) -> None:
    patch = json.dumps({"spec": {"suspend": suspend}})
    lab.kubectl("patch", "cronjob", "becalm-watchdog", "--type=merge", "-p", patch)


async def _end_of_connections(before: set[str]) -> None:
    """Give a hook's connection, which outlives its session, two seconds to end: the loop ends with the test."""
    for _ in range(200):
        if not _sockets() - before:
            return
        await asyncio.sleep(0.01)


def _sockets() -> set[str]:
    opened = [Path(one).resolve() for one in Path("/proc/self/fd").iterdir()]
    return {one.name for one in opened if one.name.startswith("socket:")}


@pytest.fixture
def lab(resting: Lab, numbers: Numbers) -> Iterator[RealLab]:
    kubectl = resting.kubectl.within(f"contract-{next(numbers)}")
    kubectl("create", "namespace", kubectl.namespace)
    yield RealLab(kubectl)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
async def client(resting: Lab) -> AsyncIterator[ApiClient]:
    configuration = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]  # the client has no types here
        str(resting.cluster.kubeconfig), client_configuration=configuration, persist_config=False
    )
    before = _sockets()
    async with ApiClient(configuration) as client:
        yield client
    await _end_of_connections(before)


class TestLists(DocumentsContract):
    @pytest.fixture
    def documents(self, client: ApiClient) -> Documents:
        return Documents(client)

    @pytest.fixture
    def shelf(self, lab: RealLab) -> RealLab:
        return lab


class TestApiServer(ClusterContract):
    @pytest.fixture
    def cluster(self, client: ApiClient, lab: RealLab) -> ApiServer:
        settings = Settings(
            namespace="becalm",
            image=IMAGE,
            pull_policy="Never",
            watched_namespaces=(lab.namespace,),
            extra_kinds=(WIDGETS_NAME,),
            most_down_per_cluster=100,
            hooks_enabled=True,
        )
        return ApiServer(client, settings, lambda: datetime.now(UTC))
