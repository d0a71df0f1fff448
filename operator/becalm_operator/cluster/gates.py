"""The gates of movers: an annotation of a pod, which the kubelet writes into a file of it."""

from kubernetes.aio.client import ApiClient, CoreV1Api

from becalm_engine.contract import GATE_OPEN
from becalm_operator.api import names
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.errors import NotFoundError


class Gates:
    """The gates of an API server's pods."""

    def __init__(self, client: ApiClient) -> None:
        self._core = CoreV1Api(client)

    async def open(self, namespace: str, pod: str, calls: int) -> None:
        """Open a pod's gate; one that is open stays so, and a pod that is gone needs none.

        `calls`: how often it has been opened before. Each new number has the kubelet look at the pod once more.
        """
        annotations = {names.GATE_ANNOTATION: GATE_OPEN, names.GATE_CALLS_ANNOTATION: str(calls)}
        patch = {"metadata": {"annotations": annotations}}
        try:
            with translated(f"opening the gate of pod {namespace}/{pod}"):
                await self._core.patch_namespaced_pod(
                    pod,
                    namespace,
                    patch,
                    field_manager=names.FIELD_MANAGER,
                    _content_type="application/merge-patch+json",
                    _request_timeout=REQUEST_SECONDS,
                )
        except NotFoundError:
            return
