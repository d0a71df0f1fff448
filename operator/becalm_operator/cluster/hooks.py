"""Hooks: what may be done about them, what this process has begun, and how that has ended.

What is kept here goes with the process. That is why hooks are stamped in status with the name of the process.
"""

import asyncio
import logging
import secrets

from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)

from becalm_operator.api.backup import Backup
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.commands import run_command
from becalm_operator.cluster.jobs import Jobs
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.errors import RefusedError
from becalm_operator.plan import hooks
from becalm_operator.plan.steps import ApplyHookJob, EndCommand, HookAction, RunCommand
from becalm_operator.plan.world import Hooking, HookState
from becalm_operator.settings import Settings

_VERBS = ("create", "get")
"""A command in a pod is authorised as one or the other, by the version of the API server."""
_KEPT_SECONDS = 30.0
"""How long a permission is believed."""

_log = logging.getLogger(__name__)

Place = tuple[str, str]
"""A Backup's UID, and the part of its hook."""


class Hooks:
    """The hooks of an API server's Backups, as far as this process has begun them."""

    def __init__(self, client: ApiClient, settings: Settings, jobs: Jobs) -> None:
        self._client = client
        self._settings = settings
        self._jobs = jobs
        self._process = secrets.token_hex(8)
        self._known: dict[Place, HookState] = {}
        self._commands: dict[Place, asyncio.Task[None]] = {}
        self._permissions: dict[str, tuple[float, bool]] = {}

    async def look(self, run: Backup | Restore) -> Hooking:
        """Return what is known of the hooks of a run."""
        if isinstance(run, Restore) or not hooks.of_all(run.spec):
            return Hooking()
        uid, namespace = run.metadata.uid, run.metadata.namespace
        over = hooks.parts_over(run.spec, run.status)
        for place in [place for place in self._known if place[0] == uid and place[1] in over]:
            del self._known[place]
        known = {part: state for (owner, part), state in self._known.items() if owner == uid}
        if namespace == self._settings.namespace:
            refusal = f"hooks are not allowed in {namespace}, where the operator itself runs"
            return Hooking(refusal=refusal, process=self._process, known=known)
        enabled = self._settings.hooks_enabled
        needed = enabled and any(hook.spec.exec for hook in hooks.of_all(run.spec))
        refusal = "" if not needed or await self._may_run(namespace) else _not_allowed(namespace)
        return Hooking(enabled, refusal, self._process, known)

    async def _may_run(self, namespace: str) -> bool:
        """Say whether commands may be run in the pods of a namespace. Everybody may ask what he himself may do."""
        now = asyncio.get_running_loop().time()
        since, allowed = self._permissions.get(namespace, (now, False))
        if namespace not in self._permissions or now - since > _KEPT_SECONDS:
            allowed = all([await self._is_allowed(namespace, verb) for verb in _VERBS])
            self._permissions[namespace] = (now, allowed)
        return allowed

    async def _is_allowed(self, namespace: str, verb: str) -> bool:
        wanted = V1ResourceAttributes(namespace=namespace, verb=verb, resource="pods", subresource="exec")
        asked = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=wanted))
        try:
            with translated(f"asking whether commands may be run in {namespace}"):
                answer = await AuthorizationV1Api(self._client).create_self_subject_access_review(
                    asked, _request_timeout=REQUEST_SECONDS
                )
        except RefusedError as error:
            _log.warning("%s", error)
            return False
        return bool(answer.status and answer.status.allowed)

    async def apply(self, namespace: str, uid: str, action: HookAction) -> None:
        """Do one thing about a hook of the Backup with this UID."""
        match action:
            case RunCommand():
                self._begin(namespace, (uid, action.part), action)
            case EndCommand(part=part):
                self._forget((uid, part))
            case ApplyHookJob():
                await self._make_job(namespace, uid, action)

    def _begin(self, namespace: str, place: Place, command: RunCommand) -> None:
        if place in self._known:
            return
        self._known[place] = HookState()
        task = asyncio.create_task(self._run(namespace, place, command), name=f"hook {command.part}")
        self._commands[place] = task

    async def _run(self, namespace: str, place: Place, command: RunCommand) -> None:
        try:
            self._known[place] = await run_command(self._client, namespace, command)
        except Exception as error:  # noqa: BLE001  a command whose end is never told would hold up its run
            # not the error itself: the client puts addresses into it, and so the command
            _log.error("hook %s in %s/%s: %s", command.part, namespace, command.pod, type(error).__name__)
            self._known[place] = HookState(
                ended=True, error=f"a fault of becalm itself: {type(error).__name__}"
            )
        finally:
            self._commands.pop(place, None)

    def _forget(self, place: Place) -> None:
        task = self._commands.pop(place, None)
        if task is not None:
            task.cancel()
        self._known.pop(place, None)

    async def _make_job(self, namespace: str, uid: str, action: ApplyHookJob) -> None:
        """Make a Job. What the API server refuses it will refuse again: that is the hook's end, not to be repeated."""
        try:
            await self._jobs.make(namespace, action.job)
        except RefusedError as error:
            self._known[uid, action.part] = HookState(ended=True, error=str(error))


def _not_allowed(namespace: str) -> str:
    return (
        f"the operator may not run commands in the pods of {namespace}: it needs create and get on pods/exec"
    )
