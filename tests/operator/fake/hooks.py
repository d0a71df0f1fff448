"""Hooks in the cluster in memory."""

from collections.abc import Callable

from kubernetes.aio.client import V1Job

from becalm_operator.api.backup import Backup
from becalm_operator.api.restore import Restore
from becalm_operator.errors import RefusedError
from becalm_operator.manifests.hooks import HOOK
from becalm_operator.plan.hooks import of_all, parts_over
from becalm_operator.plan.steps import ApplyHookJob, EndCommand, HookAction, RunCommand
from becalm_operator.plan.world import Hooking, HookState
from tests.operator.fake.objects import StoredCommand
from tests.operator.fake.state import State


class FakeHooks:
    """What is asked about hooks, and done. Commands fare as the script `hook/PART` says, as Jobs do."""

    def __init__(self, state: State, make_job: Callable[[str, V1Job], None]) -> None:
        self._state = state
        self._make_job = make_job

    def look(self, run: Backup | Restore) -> Hooking:
        """Return what is known of the hooks of a run."""
        if isinstance(run, Restore) or not of_all(run.spec):
            return Hooking()
        stored, uid = self._state.hooks, run.metadata.uid
        over = parts_over(run.spec, run.status)
        known = {
            part: _state_of(command)
            for (owner, part), command in stored.commands.items()
            if owner == uid and part not in over
        }
        known |= {
            part: HookState(ended=True, error=error)
            for (owner, part), error in stored.errors.items()
            if owner == uid
        }
        return Hooking(stored.enabled, stored.refusal, f"process-{stored.process}", known)

    def apply(self, namespace: str, uid: str, action: HookAction) -> None:
        """Do one thing about a hook."""
        match action:
            case RunCommand():
                self._begin(namespace, uid, action)
            case EndCommand(part=part):
                self._state.hooks.commands.pop((uid, part), None)
            case ApplyHookJob():
                self._make(namespace, uid, action)

    def _begin(self, namespace: str, uid: str, command: RunCommand) -> None:
        stored, place = self._state.hooks, (uid, command.part)
        if place in stored.commands or place in stored.errors:
            return
        if (namespace, command.pod) not in self._state.pods:
            stored.errors[place] = f"the API server refuses the command: there is no pod {command.pod}"
            return
        script = self._state.script_of(HOOK, command.part, "")
        stored.commands[place] = StoredCommand(script, int(command.timeout_seconds))
        stored.begun.append(place)

    def _make(self, namespace: str, uid: str, action: ApplyHookJob) -> None:
        before = set(self._state.jobs)
        try:
            self._make_job(namespace, action.job)
        except RefusedError as error:
            self._state.hooks.errors[uid, action.part] = str(error)
        if set(self._state.jobs) != before:
            self._state.hooks.begun.append((uid, action.part))


def _state_of(command: StoredCommand) -> HookState:
    script = command.script
    if script.hangs:
        late = command.age > command.timeout_seconds
        return HookState(ended=late, timed_out=late)
    if command.age <= script.ticks:
        return HookState()
    return HookState(ended=True, exit_code=script.exit_code, output=script.report or "")
