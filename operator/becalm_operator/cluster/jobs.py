"""The Jobs of our objects and their pods: made once, watched, deleted."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kubernetes.aio.client import (
    ApiClient,
    BatchV1Api,
    CoreV1Api,
    V1DeleteOptions,
    V1Job,
    V1ObjectMeta,
    V1Pod,
)

from becalm_operator.api import names
from becalm_operator.cluster import views
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.pods import Pods
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.cluster.unmade import Unmade
from becalm_operator.errors import ConflictError, NotFoundError, RefusedError, WebhookAwayError
from becalm_operator.plan.world import JobState

_PATIENCE = timedelta(seconds=3)
"""How old a Job may be without a running container before its events are read."""


class Jobs:
    """The Jobs of an API server that are ours."""

    def __init__(self, client: ApiClient) -> None:
        self._batch = BatchV1Api(client)
        self._core = CoreV1Api(client)
        self._pods = Pods(client)
        self._unmade = Unmade()

    async def list(self, namespace: str, owner_uid: str, now: datetime) -> dict[str, JobState]:
        """Return the Jobs of one owner, by name; also those that were refused."""
        found = await self.read(namespace, owner_uid)
        pods = await self._pods.list(namespace, _owned_by(owner_uid))
        return self.refused(owner_uid, now) | await self.states(namespace, found, pods, now)

    def refused(self, owner_uid: str, now: datetime) -> dict[str, JobState]:
        """Return the Jobs of one owner that the API server does not let be made, by name."""
        return self._unmade.of(owner_uid, now)

    async def read(self, namespace: str, owner_uid: str) -> Sequence[V1Job]:
        """Return the Jobs of one owner as they are."""
        with translated(f"listing Jobs of {namespace}"):
            found: Sequence[V1Job] = await all_pages(
                self._batch.list_namespaced_job, namespace, label_selector=_owned_by(owner_uid)
            )
            return found

    async def states(
        self, namespace: str, found: Sequence[V1Job], pods: Sequence[V1Pod], now: datetime
    ) -> dict[str, JobState]:
        """Return what Jobs are like, by name, going by pods that were read after them."""
        hints = await self._hints(namespace, found, pods, now)
        states = [views.job_view(job, pods, hints) for job in found]
        return {state.name: state for state in states}

    async def _hints(
        self, namespace: str, jobs: Sequence[V1Job], pods: Sequence[V1Pod], now: datetime
    ) -> Mapping[str, str]:
        """Return what events tell of Jobs and pods that do not get going, by UID."""
        late = [uid for job in jobs if (uid := _idle_job(job, now))]
        late += [uid for pod in pods if (uid := _waiting_pod(pod, now))]
        told = await asyncio.gather(*(self._warning(namespace, uid) for uid in late))
        return {uid: text for uid, text in zip(late, told, strict=True) if text}

    async def _warning(self, namespace: str, uid: str) -> str:
        """Return the newest warning about an object."""
        selector = f"involvedObject.uid={uid},type=Warning"
        with translated(f"listing events of {namespace}"):
            events: Sequence[Any] = await all_pages(
                self._core.list_namespaced_event, namespace, field_selector=selector
            )
        newest = max(events, key=lambda event: str(event.last_timestamp or event.event_time), default=None)
        return f"{newest.reason}: {newest.message}" if newest else ""

    async def ask_for(self, namespace: str, job: V1Job, now: datetime) -> None:
        """Make a Job, unless one of its name exists. A refusal is looked for among the Jobs."""
        assert job.metadata is not None
        place = namespace, job.metadata.name or ""
        try:
            await self.make(namespace, job)
        except (RefusedError, WebhookAwayError) as error:
            self._unmade.note(place, (job.metadata.labels or {}).get(names.OWNER_UID_LABEL, ""), error, now)
        else:
            self._unmade.forget(place)

    async def make(self, namespace: str, job: V1Job) -> None:
        """Make a Job, unless one of its name exists."""
        assert job.metadata is not None
        try:
            with translated(f"making Job {namespace}/{job.metadata.name}"):
                await self._batch.create_namespaced_job(
                    namespace, job, field_manager=names.FIELD_MANAGER, _request_timeout=REQUEST_SECONDS
                )
        except ConflictError:
            return

    async def delete(self, namespace: str, name: str) -> None:
        """Delete a Job, if it exists. It stays visible until its pod is gone, so that nobody writes unseen."""
        self._unmade.forget((namespace, name))
        options = V1DeleteOptions(propagation_policy="Foreground")
        try:
            with translated(f"deleting Job {namespace}/{name}"):
                await self._batch.delete_namespaced_job(
                    name, namespace, body=options, _request_timeout=REQUEST_SECONDS
                )
        except NotFoundError:
            return


def _owned_by(uid: str) -> str:
    return f"{names.OWNER_UID_LABEL}={uid}"


def _idle_job(job: V1Job, now: datetime) -> str:
    """Return the UID of a Job that should have a pod by now and has none."""
    idle = job.status is None or not (job.status.active or job.status.conditions)
    return _uid_if_late(job.metadata, now) if idle else ""


def _waiting_pod(pod: V1Pod, now: datetime) -> str:
    """Return the UID of a pod of ours that should be running by now and is not."""
    ours = pod.metadata is not None and names.OWNER_UID_LABEL in (pod.metadata.labels or {})
    waiting = ours and pod.status is not None and pod.status.phase == "Pending"
    return _uid_if_late(pod.metadata, now) if waiting else ""


def _uid_if_late(metadata: V1ObjectMeta | None, now: datetime) -> str:
    if metadata is None or metadata.creation_timestamp is None:
        return ""
    return (metadata.uid or "") if now - metadata.creation_timestamp >= _PATIENCE else ""
