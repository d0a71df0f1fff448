"""Events: what people read in `kubectl describe`, on our object and on the workload."""

import secrets
from datetime import UTC, datetime

from kubernetes.aio.client import ApiClient, EventsV1Api, EventsV1Event, V1ObjectMeta, V1ObjectReference

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.switches import NATIVE
from becalm_operator.cluster.port import Resource
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.plan.steps import Event

_NOTE_BYTES = 1024
_CONTROLLER = "becalm.dev/operator"


class Announcements:
    """Makes events."""

    def __init__(self, client: ApiClient, identity: str) -> None:
        self._api = EventsV1Api(client)
        self._identity = identity

    async def about(self, owner: Resource, event: Event, workload_uid: str = "") -> None:
        """Make an event about an object of ours, and the same one about the workload that it names."""
        ours = reference_to(owner)
        theirs = workload_reference(owner.metadata.namespace, event.workload, workload_uid)
        await self.make(ours, event, related=theirs)
        if theirs is not None:
            await self.make(theirs, event, related=ours)

    async def make(
        self, regarding: V1ObjectReference, event: Event, related: V1ObjectReference | None = None
    ) -> None:
        """Make one event."""
        namespace, moment = regarding.namespace or "default", _moment()
        body = EventsV1Event(
            metadata=V1ObjectMeta(name=event_name(regarding.name or "", moment), namespace=namespace),
            event_time=moment,
            action=event.reason,
            reason=event.reason,
            note=_cut(event.message),
            type=event.type,
            regarding=regarding,
            related=related,
            reporting_controller=_CONTROLLER,
            reporting_instance=self._identity[:128],
        )
        with translated(f"making an event about {regarding.kind} {namespace}/{regarding.name}"):
            await self._api.create_namespaced_event(namespace, body, _request_timeout=REQUEST_SECONDS)


def event_name(about: str, moment: datetime) -> str:
    """Return the name of an event. Those about one object sort by time: `kubectl describe` shows them by name."""
    micros = int(moment.timestamp() * 1e6)
    return f"{about}.{micros:014x}{secrets.token_hex(2)}"


def _moment() -> datetime:
    """Return the time with a fraction: without one the client writes none, and the API server wants microseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)


def _cut(message: str) -> str:
    """Return a message that the API server takes."""
    raw = message.encode()
    return message if len(raw) <= _NOTE_BYTES else raw[: _NOTE_BYTES - 3].decode(errors="ignore") + "..."


def reference_to(owner: Resource) -> V1ObjectReference:
    """Return the reference by which an event names an object of ours."""
    metadata = owner.metadata
    return V1ObjectReference(
        api_version=names.API_VERSION,
        kind=owner.kind,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
    )


def workload_reference(
    namespace: str, workload: WorkloadReference | None, uid: str
) -> V1ObjectReference | None:
    """Return the reference by which an event names a workload. `kubectl describe` finds it by its UID."""
    if workload is None:
        return None
    return V1ObjectReference(
        api_version=workload.api_version or NATIVE.get(workload.kind),
        kind=workload.kind,
        namespace=namespace,
        name=workload.name,
        uid=uid or None,
    )
