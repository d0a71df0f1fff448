"""The connection to the API server: as a pod, or as a person with a kubeconfig."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.cluster.tracing import Requested, tracing
from becalm_operator.errors import SettingsError

_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"


@asynccontextmanager
async def connected(requested: Requested | None = None) -> AsyncIterator[ApiClient]:
    """Yield a client for the cluster that this process runs in, or that KUBECONFIG names.

    `requested` is told of every request.

    The token of a pod is read again before it expires.

    Raises:
        SettingsError: There is neither.
    """
    configuration = Configuration()
    try:
        if os.environ.get(_SERVICE_HOST):
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the client has no types here
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # nor here
                client_configuration=configuration, persist_config=False
            )
    except config.ConfigException as error:
        raise SettingsError(f"there is no cluster to talk to: {error}") from error
    if requested is not None:
        configuration.trace_configs = [tracing(requested)]
    async with ApiClient(configuration) as client:
        yield client
