"""Objects of a cluster, by an API server that knows one kind: what is asked of it, and what is said when it refuses."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from e2e.objects import Document, Objects
from e2e.paths import SetUpError

_MAPS = "/api/v1/namespaces/shop/configmaps"
_KIND = {
    "name": "configmaps",
    "singularName": "configmap",
    "kind": "ConfigMap",
    "namespaced": True,
    "verbs": ["get"],
}
_DISCOVERY: dict[str, Document] = {
    "/version": {"kind": "Info", "gitVersion": "v1"},
    "/apis": {"kind": "APIGroupList", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_KIND]},
}


@dataclass
class _ApiServer:
    """Keeps config maps."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    maps: dict[str, Document] = field(default_factory=dict)

    def answer(self, verb: str, path: str, body: Document) -> tuple[int, Document]:
        place, _, query = path.partition("?")
        self.asked.append(f"{verb} {place}")
        if place in _DISCOVERY:
            return 200, _DISCOVERY[place]
        name = place.removeprefix(f"{_MAPS}/")
        if verb == "PATCH":
            assert "fieldManager=" in query
            assert "fieldValidation=Strict" in query
            if "dota" in body:
                return 422, {"kind": "Status", "message": ".dota: field not declared"}
            self.maps[name] = body
        found = self.maps.pop(name, None) if verb == "DELETE" else self.maps.get(name)
        return (200, found) if found else (404, {"kind": "Status", "message": "not found"})


@pytest.fixture
def server() -> Iterator[_ApiServer]:
    api = _ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = api.answer(self.command, self.path, json.loads(text or "{}"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_PATCH = do_DELETE = _any  # noqa: N815  names that http.server looks for

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        api.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield api
        listening.shutdown()
        thread.join()


@pytest.fixture
def objects(server: _ApiServer, tmp_path: Path) -> Objects:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server.url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    return Objects(kubeconfig)


def _map(name: str, **more: object) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def test_what_is_applied_is_there_until_it_is_deleted(objects: Objects) -> None:
    objects.apply(_map("one", data={"a": "b"}), "shop")

    found = objects.get("configmap", "one", "shop")
    assert found is not None
    assert found["data"] == {"a": "b"}
    assert objects.delete("configmaps", "one", "shop")
    assert not objects.delete("configmaps", "one", "shop")
    assert objects.get("ConfigMap", "one", "shop") is None


@pytest.mark.parametrize("kind", ["configmaps", "configmap", "ConfigMap"])
def test_a_kind_is_looked_for_once(objects: Objects, server: _ApiServer, kind: str) -> None:
    objects.get(kind, "one", "shop")
    server.asked.clear()

    objects.get(kind, "one", "shop")
    objects.get(kind, "two", "shop")

    assert server.asked == [f"GET {_MAPS}/one", f"GET {_MAPS}/two"]


def test_a_kind_that_nobody_knows_is_looked_for_again(objects: Objects, server: _ApiServer) -> None:
    with pytest.raises(SetUpError, match="knows no backup"):
        objects.get("backup", "one", "shop")
    server.asked.clear()

    with pytest.raises(SetUpError, match="knows no backup"):
        objects.get("backup", "one", "shop")
    assert "GET /apis" in server.asked


def test_a_refusal_is_told_in_the_servers_words(objects: Objects) -> None:
    with pytest.raises(SetUpError) as refused:
        objects.apply(_map("one", dota={}), "shop")

    assert str(refused.value) == "applying ConfigMap one in shop: .dota: field not declared"
