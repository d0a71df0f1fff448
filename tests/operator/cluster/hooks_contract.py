"""What a cluster promises about hooks: commands in containers, and Jobs of others."""

from dataclasses import replace

from becalm_operator.api.backup import Backup
from becalm_operator.plan.steps import ApplyHookJob, EndCommand, RunCommand
from becalm_operator.plan.world import HookState
from tests.operator.cluster.lab import REPORT, WEB, Ending, Scene, a_backup_with_hooks, name_of

_PART = "before.one"


class HooksContract:
    """Hooks that this process begins. A subclass has a fixture `scene`."""

    async def _ready(self, scene: Scene) -> tuple[Backup, str]:
        """Return a Backup with hooks, and a pod that is Ready."""
        backup = await scene.lab.make(a_backup_with_hooks(scene.lab.namespace, "hooked"))
        await scene.lab.make_deployment("web", replicas=1)
        await scene.ready(backup, WEB)
        (pod,) = [
            pod for pod in (await scene.world(backup)).pods if pod.ready and pod.labels.get("app") == "web"
        ]
        return backup, pod.name

    async def _end(self, scene: Scene, backup: Backup, command: RunCommand) -> HookState:
        await scene.cluster.apply(backup, command)

        async def look() -> HookState | None:
            known = (await scene.world(backup)).hooks.known.get(command.part)
            assert known is not None, "what was begun is known"
            return known if known.ended else None

        return await scene.lab.until("the command has ended", look)

    async def test_commands_tell_their_exit_code_and_output(self, scene: Scene) -> None:
        backup, pod = await self._ready(scene)

        well = await self._end(scene, backup, scene.lab.command(pod, _PART, Ending.WELL))
        failed = await self._end(scene, backup, scene.lab.command(pod, "before.two", Ending.FAILED))

        assert (well.exit_code, well.output, well.error, well.timed_out) == (0, REPORT, "", False)
        assert (failed.exit_code, failed.output, failed.error, failed.timed_out) == (12, REPORT, "", False)

    async def test_a_command_that_is_begun_twice_runs_once(self, scene: Scene) -> None:
        backup, pod = await self._ready(scene)
        command = scene.lab.command(pod, _PART, Ending.WELL)

        await self._end(scene, backup, command)
        await self._end(scene, backup, command)

        assert await scene.lab.times_run(pod, _PART) == 1

    async def test_a_command_that_takes_too_long_is_not_waited_for(self, scene: Scene) -> None:
        backup, pod = await self._ready(scene)
        command = scene.lab.command(pod, _PART, Ending.NEVER)

        ended = await self._end(scene, backup, replace(command, timeout_seconds=1.0))

        assert (ended.timed_out, ended.exit_code) == (True, None)

    async def test_a_command_in_no_pod_says_so(self, scene: Scene) -> None:
        backup, _ = await self._ready(scene)

        ended = await self._end(scene, backup, scene.lab.command("missing", _PART, Ending.WELL))

        assert "refuses the command" in ended.error
        assert ended.exit_code is None

    async def test_what_nobody_waits_for_is_known_no_more(self, scene: Scene) -> None:
        backup, pod = await self._ready(scene)
        await scene.cluster.apply(backup, scene.lab.command(pod, _PART, Ending.NEVER))

        await scene.cluster.apply(backup, EndCommand(_PART))

        assert (await scene.world(backup)).hooks.known == {}

    async def test_hooks_are_known_to_their_backup_alone_and_to_the_same_process(self, scene: Scene) -> None:
        backup, pod = await self._ready(scene)
        other = await scene.lab.make(a_backup_with_hooks(scene.lab.namespace, "other"))
        await scene.cluster.apply(backup, scene.lab.command(pod, _PART, Ending.NEVER))

        mine, theirs = (await scene.world(backup)).hooks, (await scene.world(other)).hooks

        assert (set(mine.known), set(theirs.known)) == ({_PART}, set())
        assert (mine.enabled, mine.refusal) == (True, "")
        assert mine.process == theirs.process != ""

        await scene.cluster.apply(backup, EndCommand(_PART))
        assert not (await scene.world(backup)).hooks.known

    async def test_a_hooks_job_shows_its_end_and_its_pod_is_not_ours(self, scene: Scene) -> None:
        backup, _ = await self._ready(scene)
        job = scene.lab.hook_job(backup, _PART, Ending.NEVER)

        await scene.cluster.apply(backup, ApplyHookJob(_PART, job))
        await scene.cluster.apply(backup, ApplyHookJob(_PART, job))

        await scene.job(backup, name_of(job), "active", lambda state: state.active)
        (pod,) = [pod for pod in (await scene.world(backup)).pods if pod.owner == f"job/{name_of(job)}"]
        assert not pod.ours

        failing = scene.lab.hook_job(backup, "after.two", Ending.FAILED)
        await scene.cluster.apply(backup, ApplyHookJob("after.two", failing))
        seen = await scene.job(backup, name_of(failing), "over", lambda state: state.finished)
        assert (seen.failed, seen.exit_code, seen.report) == (True, 12, REPORT)

    async def test_a_job_that_is_refused_is_no_error_but_told(self, scene: Scene) -> None:
        backup, _ = await self._ready(scene)
        job = scene.lab.hook_job(backup, _PART, Ending.WELL)
        assert job.metadata is not None
        job.metadata.name = "x" * 70

        await scene.cluster.apply(backup, ApplyHookJob(_PART, job))

        known = (await scene.world(backup)).hooks.known[_PART]
        assert known.ended
        assert "x" * 70 in known.error
