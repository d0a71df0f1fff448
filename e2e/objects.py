"""Objects as the API server has them. kubectl does the same, but each start of it costs a third of a second."""

import json
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
_AUTHOR = "becalm-e2e"
_NAMED_BY = ("name", "singular_name", "kind")


class Objects:
    """Reads and writes objects of any kind. Nothing is asked of the API server before the first one."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._client: DynamicClient | None = None
        self._served: dict[str, Any] = {}
        """Where the kinds are that were asked for: to look for one costs as many requests as there are groups."""
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
            raise SetUpError(f"{kind} {name} in {namespace}: {_said(error)}") from error

    def list(self, kind: str, namespace: str, *, labels: str = "", fields: str = "") -> list[Document]:
        """Return the objects that selectors choose, by their labels and their fields.

        Raises:
            SetUpError: The API server cannot be reached, refuses, or has no such kind.
        """
        try:
            found = self._read(kind, namespace, label_selector=labels, field_selector=fields)
        except ApiException as error:
            raise SetUpError(f"{kind} in {namespace}: {_said(error)}") from error
        items: list[Document] = found["items"]
        return items

    def apply(self, document: Document, namespace: str) -> None:
        """Make an object as a document says, or change it to that.

        Raises:
            SetUpError: The API server cannot be reached, refuses, or has no such kind.
        """
        kind, name = document["kind"], document["metadata"]["name"]
        group = document["apiVersion"].rpartition("/")[0]
        try:
            self._ask(
                "server_side_apply",
                f"{kind}.{group}",
                namespace,
                name=name,
                body=document,
                field_manager=_AUTHOR,
                force_conflicts=True,
                query_params=[("fieldValidation", "Strict")],
            )
        except ApiException as error:
            raise SetUpError(f"applying {kind} {name} in {namespace}: {_said(error)}") from error

    def delete(self, kind: str, name: str, namespace: str) -> bool:
        """Have an object deleted. Returns whether it was there.

        Raises:
            SetUpError: The API server cannot be reached, refuses, or has no such kind.
        """
        try:
            self._ask("delete", kind, namespace, name=name)
        except ApiException as error:
            if error.status == 404:
                return False
            raise SetUpError(f"deleting {kind} {name} in {namespace}: {_said(error)}") from error
        return True

    def _read(self, kind: str, namespace: str, **arguments: str) -> Document:
        document: Document = self._ask("get", kind, namespace, **arguments).to_dict()
        return document

    def _ask(self, verb: str, kind: str, namespace: str, **arguments: Any) -> Any:
        try:
            resource = self._resource(kind)
            place = {"namespace": namespace} if resource.namespaced else {}
            return getattr(resource, verb)(**place, **arguments, _request_timeout=_SECONDS)
        except HTTPError as error:
            raise SetUpError(f"the API server does not answer: {error}") from error

    def _resource(self, kind: str) -> Any:
        """Return where a kind is served, by any of the names that kubectl takes, but for the short ones."""
        with self._finding:
            if kind not in self._served:
                resource = _found(self._connected(), kind)
                if resource is None:
                    raise SetUpError(f"the API server knows no {kind}")
                self._served[kind] = resource
            return self._served[kind]

    def _connected(self) -> DynamicClient:
        if self._client is None:
            made = config.new_client_from_config(  # type: ignore[no-untyped-call]  # the client has no types here
                config_file=str(self._kubeconfig), persist_config=False
            )
            self._client = DynamicClient(made, discoverer=EagerDiscoverer)  # type: ignore[no-untyped-call]
        return self._client


def _said(error: ApiException) -> str:
    """Return what the API server says of a refusal."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError):
        return str(error)


def _found(client: DynamicClient, kind: str) -> Any | None:
    """Return what is served under a name; of several the one of the oldest group, as kubectl does.

    The client looks afresh for a name that it does not know: its definition may be new.
    """
    name, _, group = kind.partition(".")
    for named_by in _NAMED_BY:
        asked = name if named_by == "kind" else name.lower()
        found = client.resources.search(**{named_by: asked}, **({"group": group} if group else {}))
        objects = [one for one in found if not one.kind.endswith("List")]
        if objects:
            return min(objects, key=lambda one: one.group or "")
    return None
