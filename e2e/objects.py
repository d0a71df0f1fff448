"""Objects as the API server has them. kubectl shows the same, but each start of it costs a fifth of a second."""

from pathlib import Path
from threading import Lock
from typing import Any

from kubernetes import config
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.discovery import EagerDiscoverer
from urllib3.exceptions import HTTPError

from e2e.paths import SetUpError

Document = dict[str, Any]

_SECONDS = 30
_NAMED_BY = ("name", "singular_name", "kind")


class Objects:
    """Reads objects of any kind. Nothing is asked of the API server before the first one."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._client: DynamicClient | None = None
        self._finding = (
            Lock()
        )  # the client's book of kinds is spoilt by two threads that look into it at once

    def get(self, kind: str, name: str, namespace: str) -> Document | None:
        """Return an object, or None if it does not exist.

        Raises:
            SetUpError: The API server cannot be reached, refuses, or has no such kind.
        """
        try:
            return self._read(kind, namespace, name=name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise SetUpError(f"{kind} {name} in {namespace}: {error}") from error

    def list(self, kind: str, namespace: str, *, labels: str = "", fields: str = "") -> list[Document]:
        """Return the objects that selectors choose, by their labels and their fields.

        Raises:
            SetUpError: The API server cannot be reached, refuses, or has no such kind.
        """
        try:
            found = self._read(kind, namespace, label_selector=labels, field_selector=fields)
        except ApiException as error:
            raise SetUpError(f"{kind} in {namespace}: {error}") from error
        items: list[Document] = found["items"]
        return items

    def _read(self, kind: str, namespace: str, **arguments: str) -> Document:
        try:
            resource = self._resource(kind)
            place = {"namespace": namespace} if resource.namespaced else {}
            found = resource.get(**place, **arguments, _request_timeout=_SECONDS)
        except HTTPError as error:
            raise SetUpError(f"the API server does not answer: {error}") from error
        document: Document = found.to_dict()
        return document

    def _resource(self, kind: str) -> Any:
        """Return where a kind is served, by any of the names that kubectl takes, but for the short ones."""
        with self._finding:
            client = self._connected()
            resource = _served(client, kind)
            if resource is None:  # its definition may be new
                client.resources.invalidate_cache()
                resource = _served(client, kind)
        if resource is None:
            raise SetUpError(f"the API server knows no {kind}")
        return resource

    def _connected(self) -> DynamicClient:
        if self._client is None:
            made = config.new_client_from_config(  # type: ignore[no-untyped-call]  # the client has no types here
                config_file=str(self._kubeconfig), persist_config=False
            )
            self._client = DynamicClient(made, discoverer=EagerDiscoverer)  # type: ignore[no-untyped-call]
        return self._client


def _served(client: DynamicClient, kind: str) -> Any | None:
    """Return what is served under a name; of several the one of the oldest group, as kubectl does."""
    name, _, group = kind.partition(".")
    for named_by in _NAMED_BY:
        asked = name if named_by == "kind" else name.lower()
        found = client.resources.search(**{named_by: asked}, **({"group": group} if group else {}))
        objects = [one for one in found if not one.kind.endswith("List")]
        if objects:
            return min(objects, key=lambda one: one.group or "")
    return None
