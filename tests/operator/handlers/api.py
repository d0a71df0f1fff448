"""A small API server on loopback: objects in memory, lists, watches, optimistic locking. It checks nothing else."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from becalm_operator.handlers.watches import WATCHED

Document = dict[str, Any]
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
        self.status = 200
        self._objects: dict[str, Document] = {}
        self._version = 100
        self._watches: list[tuple[str, asyncio.Queue[Document | bytes | None]]] = []
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
        for watched, events in self._watches:
            if watched == plural:
                events.put_nowait(event)

    def object(self, place: str) -> Document:
        return self._objects[place]

    def watched(self) -> set[str]:
        """Return the kinds that are watched just now."""
        return {plural for plural, _ in self._watches}

    def break_watches(self) -> None:
        for _, events in self._watches:
            events.put_nowait(None)
        self._watches.clear()

    def garble(self, told: bytes) -> None:
        """Have all watches tell this, and end."""
        for _, events in self._watches:
            events.put_nowait(told)
        self.break_watches()

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    # --- what the API server does

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.tokens.append(request.headers.get("Authorization"))
        if self.status != 200:
            return _status(self.status, "not now")
        parts = request.path.strip("/").split("/")
        if request.path in ("/api", "/apis") or len(parts) == (2 if parts[0] == "api" else 3):
            return web.json_response(_discovery(request.path))
        if "leases" in parts:
            return await self._lease(request)
        plural = next((part for part in parts if part in _KINDS), "")
        if not plural:
            return _status(404, "the server does not know this kind")
        self.selectors[plural] = request.query.get("labelSelector", "")
        if request.query.get("watch"):
            return await self._watch(request, plural)
        items = [document for place, document in self._objects.items() if place.startswith(f"{plural}/")]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"kind": f"{_KINDS[plural]}List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        events: asyncio.Queue[Document | bytes | None] = asyncio.Queue()
        watch = (plural, events)
        since = int(request.query.get("resourceVersion", 0))
        for version, kind, event in self._history:
            if kind == plural and version > since:
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
