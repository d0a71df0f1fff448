"""A small API server on loopback: objects in memory, lists, watches, optimistic locking. It checks nothing else."""

import asyncio
import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from becalm_operator.handlers.watches import WATCHED

Document = dict[str, Any]
_METADATA = "PartialObjectMetadataList"
_KINDS = {
    "backups": "Backup",
    "restores": "Restore",
    "backuprepositories": "BackupRepository",
    "backupschedules": "BackupSchedule",
    "jobs": "Job",
    "pods": "Pod",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "replicasets": "ReplicaSet",
    "cronjobs": "CronJob",
}


class FakeApiServer:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str]] = []
        self.selectors: dict[str, str] = {}
        self.tokens: list[str | None] = []
        self.sent: Counter[str] = Counter()
        """How many objects of a kind were sent by lists, with all there is of them."""
        self.status = 200
        self.status_of: Callable[[str], int] = lambda _: 200
        """By the path of a request, with its query."""
        self.refusal = "not now"
        """What it says with any other status than 200."""
        self._objects: dict[str, Document] = {}
        self._version = 100
        self._watches: list[tuple[str, str, asyncio.Queue[Document | bytes | None]]] = []
        self._history: list[tuple[int, str, Document]] = []

    # --- what a test does

    def put(self, plural: str, document: Document, *, type_: str = "MODIFIED") -> None:
        """Make, change or delete an object, and tell all watches of its kind."""
        self._version += 1
        document = copy.deepcopy(document)
        document["kind"] = _KINDS[plural]
        document["metadata"]["resourceVersion"] = str(self._version)
        place = f"{plural}/{document['metadata']['namespace']}/{document['metadata']['name']}"
        if type_ == "DELETED":
            self._objects.pop(place, None)
        else:
            self._objects[place] = document
        event = {"type": type_, "object": document}
        self._history.append((self._version, plural, event))
        for watched, namespace, events in self._watches:
            if watched == plural and _is_in(namespace, document):
                events.put_nowait(event)

    def object(self, place: str) -> Document:
        return self._objects[place]

    def watched(self) -> set[str]:
        """Return the kinds that are watched just now."""
        return {plural for plural, _, _ in self._watches}

    def break_watches(self) -> None:
        for _, _, events in self._watches:
            events.put_nowait(None)
        self._watches.clear()

    def garble(self, told: bytes) -> None:
        """Have all watches tell this, and end."""
        for _, _, events in self._watches:
            events.put_nowait(told)
        self.break_watches()

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    # --- what the API server does

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.tokens.append(request.headers.get("Authorization"))
        status = max(self.status, self.status_of(request.path_qs))
        if status != 200:
            return _status(status, self.refusal)
        parts = request.path.strip("/").split("/")
        if request.path in ("/api", "/apis") or len(parts) == (2 if parts[0] == "api" else 3):
            return web.json_response(_discovery(request.path))
        if "leases" in parts:
            return await self._lease(request)
        plural = next((part for part in parts if part in _KINDS), "")
        if not plural:
            return _status(404, "the server does not know this kind")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        if parts[-1] != plural:
            return await self._one(request, f"{plural}/{namespace}/{parts[-1]}")
        return await self._all(request, plural, namespace)

    async def _all(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        self.selectors[plural] = request.query.get("labelSelector", "")
        if request.query.get("watch"):
            return await self._watch(request, plural, namespace)
        kept = [document for place, document in self._objects.items() if place.startswith(f"{plural}/")]
        fields = request.query.get("fieldSelector", "")
        chosen = [one for one in kept if _is_in(namespace, one) and _is_named(fields, one)]
        items, token = _paged(chosen, request)
        metadata = {"resourceVersion": str(self._version), "continue": token}
        if _METADATA in request.headers.get("Accept", ""):
            alone = [{"kind": "PartialObjectMetadata", "metadata": one["metadata"]} for one in items]
            return web.json_response({"kind": _METADATA, "metadata": metadata, "items": alone or None})
        self.sent[plural] += len(items)
        return web.json_response({"kind": f"{_KINDS[plural]}List", "metadata": metadata, "items": items})

    async def _one(self, request: web.Request, place: str) -> web.StreamResponse:
        found = self._objects.get(place)
        if found is None:
            return _status(404, "not found")
        if request.method == "PATCH":
            _merge(found, await request.json())
        return web.json_response(found)

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        events: asyncio.Queue[Document | bytes | None] = asyncio.Queue()
        watch = (plural, namespace, events)
        since, bookmarks = request.query.get("resourceVersion", ""), "allowWatchBookmarks" in request.query
        for event in self._begin(plural, namespace, since, bookmarks=bookmarks):
            events.put_nowait(event)
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        self._watches.append(watch)
        try:
            while (told := await events.get()) is not None:
                await response.write(told if isinstance(told, bytes) else json.dumps(told).encode() + b"\n")
        except ConnectionResetError:
            pass
        finally:
            if watch in self._watches:
                self._watches.remove(watch)
        return response

    def _begin(self, plural: str, namespace: str, since: str, *, bookmarks: bool) -> list[Document]:
        """Return what a watch begins with: what has happened since a version, or without one all that is there."""
        if bookmarks and not since:  # on an old etcd
            return [{"type": "ERROR", "object": {"metadata": {}, "code": 500, "message": "no bookmarks"}}]
        if since:
            told = [
                event for version, kind, event in self._history if kind == plural and version > int(since)
            ]
        else:
            there = [one for place, one in self._objects.items() if place.startswith(f"{plural}/")]
            told = [{"type": "ADDED", "object": one} for one in there]
        return [event for event in told if _is_in(namespace, event["object"])]

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        found = self._objects.get("lease")
        if request.method == "GET":
            return web.json_response(found) if found else _status(404, "not found")
        body = await request.json()
        body["metadata"] = {name: value for name, value in body["metadata"].items() if value is not None}
        if request.method == "POST" and found is not None:
            return _status(409, "exists already")
        if request.method == "PUT" and (found or {}).get("metadata", {}).get("resourceVersion") != body[
            "metadata"
        ].get("resourceVersion"):
            return _status(409, "the object has been modified")
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._objects["lease"] = body
        return web.json_response(body)


def _is_in(namespace: str, document: Document) -> bool:
    return namespace in ("", document["metadata"]["namespace"])


def _is_named(fields: str, document: Document) -> bool:
    return fields in ("", f"metadata.name={document['metadata']['name']}")


def _paged(found: list[Document], request: web.Request) -> tuple[list[Document], str]:
    """Return a page of what was found, and how to ask for the next one if there is one."""
    begin = int(request.query.get("continue") or 0)
    end = begin + int(request.query.get("limit") or len(found))
    return found[begin:end], str(end) if end < len(found) else ""


def _merge(document: Document, patch: Document) -> None:
    """Merge a patch into a document, as the API server does."""
    for name, value in patch.items():
        if value is None:
            document.pop(name, None)
        elif isinstance(value, dict):
            _merge(document.setdefault(name, {}), value)
        else:
            document[name] = value


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


def _discovery(path: str) -> Document:
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        groups = sorted({watched.group for watched in WATCHED if watched.group})
        versions = {
            w.group: {"groupVersion": f"{w.group}/{w.version}", "version": w.version} for w in WATCHED
        }
        return {
            "groups": [
                {"name": g, "versions": [versions[g]], "preferredVersion": versions[g]} for g in groups
            ]
        }
    served = [watched for watched in WATCHED if watched.path().rsplit("/", 1)[0] == path]
    resources = [_resource(watched.plural, _KINDS[watched.plural]) for watched in served]
    if path == "/api/v1":  # kopf begins nothing before it has seen this one
        resources.append(_resource("namespaces", "Namespace"))
    return {"resources": resources}


def _resource(plural: str, kind: str) -> Document:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": "", "kind": kind, "namespaced": True, "verbs": verbs}


@asynccontextmanager
async def fake_api_server() -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.break_watches()
        await runner.cleanup()
