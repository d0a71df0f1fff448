"""What a cluster promises about Jobs of ours."""

from becalm_operator.plan.steps import (
    ApplyJob,
    DeleteJob,
    OpenGate,
)
from tests.operator.cluster.lab import REPORT, Ending, Scene, a_repository, name_of


class JobsContract:
    """Jobs of ours and their pods. A subclass has a fixture `scene`."""

    async def test_a_job_that_ends_well_shows_its_report(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.WELL)

        await scene.cluster.apply(backup, ApplyJob(job))

        seen = await scene.job(backup, name_of(job), "over", lambda state: state.finished)
        assert (seen.succeeded, seen.failed, seen.exit_code, seen.report) == (True, False, 0, REPORT)
        assert not seen.stuck

    async def test_a_job_that_fails_shows_its_exit_code_and_report(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.FAILED)

        await scene.cluster.apply(backup, ApplyJob(job))

        seen = await scene.job(backup, name_of(job), "over", lambda state: state.finished)
        assert (seen.succeeded, seen.failed, seen.exit_code, seen.report) == (False, True, 12, REPORT)

    async def test_a_pod_that_failed_is_gone_for_every_run_and_for_the_repository(self, scene: Scene) -> None:
        one, other = await scene.backup("b"), await scene.backup("other")
        repository = await scene.lab.make(a_repository(scene.lab.namespace))
        failing, running = (
            scene.lab.job(one, end.name.lower(), end) for end in (Ending.FAILED, Ending.NEVER)
        )
        for job in (failing, running):
            await scene.cluster.apply(one, ApplyJob(job))
        await scene.job(one, name_of(failing), "over", lambda state: state.finished)
        await scene.job(one, name_of(running), "active", lambda state: state.active)

        (gone,) = (await scene.world(other)).gone

        assert gone.startswith(f"{name_of(failing)}-")
        assert (await scene.cluster.observe_repository(repository)).gone == (gone,)

    async def test_a_job_that_is_over_becomes_inactive(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.WELL)

        await scene.cluster.apply(backup, ApplyJob(job))

        await scene.job(backup, name_of(job), "over", lambda s: s.succeeded and not s.active)

    async def test_a_job_that_runs_is_active_and_not_over(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)

        await scene.cluster.apply(backup, ApplyJob(job))

        seen = await scene.job(backup, name_of(job), "active", lambda state: state.active)
        assert not seen.finished
        assert seen.exit_code is None

    async def test_the_pod_of_a_job_is_ours(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)
        await scene.cluster.apply(backup, ApplyJob(job))
        await scene.job(backup, name_of(job), "active", lambda state: state.active)

        (pod,) = (await scene.world(backup)).pods

        assert pod.ours
        assert pod.owner == f"job/{name_of(job)}"

    async def test_a_job_that_cannot_start_says_why(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.STUCK)

        await scene.cluster.apply(backup, ApplyJob(job))

        seen = await scene.job(backup, name_of(job), "stuck", lambda state: bool(state.stuck))
        assert "ErrImageNeverPull" in seen.stuck
        assert not seen.finished

    async def test_a_job_that_is_refused_says_why_until_nobody_wants_it(self, scene: Scene) -> None:
        backup, other = await scene.backup(), await scene.backup("other")
        job = scene.lab.job(backup, "one", Ending.WELL)
        assert job.metadata is not None
        name = job.metadata.name = "x" * 64
        for _ in range(2):
            await scene.cluster.apply(backup, ApplyJob(job))

        seen = (await scene.world(backup)).jobs[name]

        assert (seen.refused, seen.active, seen.finished, seen.ready) == (True, False, False, False)
        assert name in seen.stuck
        assert seen.created <= (await scene.world(backup)).now
        assert (await scene.world(other)).jobs == {}
        await scene.cluster.apply(backup, DeleteJob(name))
        assert (await scene.world(backup)).jobs == {}

    async def test_making_a_job_twice_makes_one(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)

        await scene.cluster.apply(backup, ApplyJob(job))
        first = (await scene.world(backup)).jobs
        await scene.cluster.apply(backup, ApplyJob(job))
        second = (await scene.world(backup)).jobs

        assert set(first) == set(second) == {name_of(job)}
        assert first[name_of(job)].created == second[name_of(job)].created

    async def test_a_job_belongs_to_its_owner_alone(self, scene: Scene) -> None:
        backup, other = await scene.backup("b"), await scene.backup("other")
        repository = await scene.lab.make(a_repository(scene.lab.namespace))
        mine, theirs = (
            scene.lab.job(backup, "one", Ending.NEVER),
            scene.lab.job(repository, "one", Ending.NEVER),
        )

        await scene.cluster.apply(backup, ApplyJob(mine))
        await scene.cluster.apply(repository, ApplyJob(theirs))

        assert set((await scene.world(backup)).jobs) == {name_of(mine)}
        assert set((await scene.world(other)).jobs) == set()
        assert set((await scene.cluster.observe_repository(repository)).jobs) == {name_of(theirs)}

    async def test_deleting_a_job_ends_its_pod(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)
        await scene.cluster.apply(backup, ApplyJob(job))
        await scene.job(backup, name_of(job), "active", lambda state: state.active)

        await scene.cluster.apply(backup, DeleteJob(name_of(job)))

        async def gone() -> bool | None:
            world = await scene.world(backup)
            has_job = name_of(job) in world.jobs
            assert has_job or not world.pods, "the Job went before its pod"
            return None if has_job else True

        await scene.lab.until("the Job is gone", gone)

    async def test_a_gate_is_opened_once_and_for_all(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)
        await scene.cluster.apply(backup, ApplyJob(job))
        waiting = await scene.job(backup, name_of(job), "ready", lambda state: state.ready)
        assert waiting.gate == ""

        for calls in (0, 0, 2):
            await scene.cluster.apply(backup, OpenGate(waiting.pod, calls))

            opened = (await scene.world(backup)).jobs[name_of(job)]
            assert (opened.gate, opened.gate_calls, opened.pod) == ("open", calls, waiting.pod)

    async def test_opening_the_gate_of_a_pod_that_is_gone_is_harmless(self, scene: Scene) -> None:
        backup = await scene.backup()

        await scene.cluster.apply(backup, OpenGate("missing"))

        assert (await scene.world(backup)).jobs == {}

    async def test_deleting_a_job_that_is_gone_is_harmless(self, scene: Scene) -> None:
        backup = await scene.backup()

        await scene.cluster.apply(backup, DeleteJob("missing"))

        assert (await scene.world(backup)).jobs == {}

    async def test_the_jobs_of_an_owner_that_is_gone_go_too(self, scene: Scene) -> None:
        backup = await scene.backup()
        job = scene.lab.job(backup, "one", Ending.NEVER)
        await scene.cluster.apply(backup, ApplyJob(job))
        await scene.lab.delete(backup)

        async def gone() -> bool | None:
            return None if (await scene.world(backup)).jobs else True

        await scene.lab.until("the Job is gone", gone)
