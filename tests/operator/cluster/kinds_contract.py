"""What a cluster promises about all that is not a Deployment or a StatefulSet, and can be brought to a standstill."""

import shlex

import pytest

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.errors import ConflictError
from becalm_operator.plan.world import Workload
from tests.operator.cluster.definitions import AUTOSCALER, WIDGET
from tests.operator.cluster.lab import LONE, REPORTS, WEB, Scene, a_scale_down


class KindsContract:
    """ReplicaSets, CronJobs, kinds with a scale subresource, and autoscalers. A subclass has a fixture `scene`."""

    async def _make(self, scene: Scene, reference: WorkloadReference) -> None:
        match reference.kind:
            case "ReplicaSet":
                await scene.lab.make_replica_set(reference.name, replicas=2)
            case "CronJob":
                await scene.lab.make_cron_job(reference.name)
            case "Widget":
                await scene.lab.make_widget(reference.name, 3)
            case "ScaledObject":
                await scene.lab.make_autoscaler(reference.name, WEB)

    async def _seen(self, scene: Scene, reference: WorkloadReference) -> Workload:
        return (await scene.world(await scene.backup())).workloads[str(reference)]

    async def test_a_bare_replica_set_is_seen_with_its_count_claims_and_pods(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_replica_set("lone", replicas=1, claims=["data"])
        backup = await scene.backup()

        seen = await scene.ready(backup, LONE)

        assert (seen.replicas, seen.owner, seen.claims) == (1, "", ("data",))
        (pod,) = (await scene.world(backup)).pods
        assert (pod.owner, pod.claims) == ("replicaset/lone", ("data",))

    async def test_a_cron_job_is_seen_with_its_claims_and_is_up_unless_suspended(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_cron_job("reports", claims=["data"])
        await scene.lab.make_cron_job("idle", suspend=True)

        workloads = (await scene.world(await scene.backup())).workloads

        reports, idle = workloads["cronjob/reports"], workloads["cronjob/idle"]
        assert (reports.replicas, reports.ready, reports.settled, reports.claims) == (1, 1, True, ("data",))
        assert (idle.replicas, idle.ready) == (0, 0)

    async def test_the_pod_of_a_job_of_a_cron_job_is_the_cron_jobs(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_cron_job("reports", claims=["data"])
        backup = await scene.backup()
        await scene.lab.run_cron_job("reports")

        async def look() -> str | None:
            pods = (await scene.world(backup)).pods
            return pods[0].owner if pods and pods[0].claims == ("data",) else None

        assert await scene.lab.until("its pod is seen", look) == "cronjob/reports"

    async def test_a_kind_with_a_scale_subresource_is_seen_by_the_path_of_its_count(
        self, scene: Scene
    ) -> None:
        await scene.lab.make_widget("press", 3)

        world = await scene.world(await scene.backup())

        seen = world.workloads["widget.example.org/press"]
        assert (seen.reference, seen.replicas, seen.record, seen.unfit) == (WIDGET, 3, None, "")
        assert seen.switch.path == ("spec", "size", "members")
        assert world.kinds == {"widget.example.org"}

    async def test_an_object_without_a_count_is_unfit(self, scene: Scene) -> None:
        await scene.lab.make_widget("press", None)

        seen = await self._seen(scene, WIDGET)

        assert seen.unfit == "has no number at spec.size.members"

    async def test_an_autoscaler_is_seen_with_what_it_scales(self, scene: Scene) -> None:
        await scene.lab.make_autoscaler("web-scaler", WEB)

        seen = await self._seen(scene, AUTOSCALER)

        assert (seen.replicas, seen.ready, seen.scales, seen.unfit) == (1, 1, "deployment/web", "")

    async def test_an_autoscaler_of_another_kind_is_seen_with_what_it_scales(self, scene: Scene) -> None:
        await scene.lab.make_autoscaler("web-scaler", WIDGET)

        assert (await self._seen(scene, AUTOSCALER)).scales == "widget.example.org/press"

    @pytest.mark.parametrize(
        ("annotations", "up", "unfit"),
        [
            ({"autoscaling.keda.sh/paused": "true"}, 0, False),
            ({"autoscaling.keda.sh/paused": "false"}, 1, False),
            ({"autoscaling.keda.sh/paused-replicas": "5"}, 0, True),
        ],
        ids=str,
    )
    async def test_an_autoscaler_that_rests_is_seen_as_such(
        self, scene: Scene, annotations: dict[str, str], up: int, unfit: bool
    ) -> None:
        await scene.lab.make_autoscaler("web-scaler", WEB, annotations)

        seen = await self._seen(scene, AUTOSCALER)

        assert (seen.replicas, bool(seen.unfit)) == (up, unfit)

    @pytest.mark.parametrize("reference", [LONE, REPORTS, WIDGET, AUTOSCALER], ids=str)
    async def test_any_kind_is_stopped_with_its_record_and_started_without(
        self, scene: Scene, reference: WorkloadReference
    ) -> None:
        await self._make(scene, reference)
        backup = await scene.backup()
        before = (await scene.world(backup)).workloads[str(reference)]

        record = await scene.stop(backup, reference)

        down = (await scene.world(backup)).workloads[str(reference)]
        assert (down.replicas, down.record, down.uid) == (0, record, before.uid)
        assert record.replicas == before.replicas > 0
        assert list(await scene.held()) == [str(reference)]
        await scene.start(backup, reference, record.replicas)
        up = (await scene.world(backup)).workloads[str(reference)]
        assert (up.replicas, up.record) == (before.replicas, None)
        assert await scene.held() == {}

    @pytest.mark.parametrize("reference", [WEB, LONE, REPORTS, WIDGET], ids=str)
    async def test_a_stop_leaves_the_generation_that_its_record_says(
        self, scene: Scene, reference: WorkloadReference
    ) -> None:
        if reference == WEB:
            await scene.lab.make_deployment("web", replicas=2)
        await self._make(scene, reference)
        backup = await scene.backup()

        record = await scene.stop(backup, reference)

        seen = (await scene.world(backup)).workloads[str(reference)]
        assert seen.generation == record.generation
        assert seen.generation > 1

    async def test_up_and_down_while_held_leaves_another_generation(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=1)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        record = await scene.stop(backup, WEB)

        await scene.lab.scale(WEB, 1)
        await scene.lab.scale(WEB, 0)

        seen = (await scene.world(backup)).workloads["deployment/web"]
        assert (seen.replicas, seen.record) == (0, record)
        assert seen.generation != record.generation

    async def test_an_edit_while_held_leaves_another_generation(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=1)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        record = await scene.stop(backup, WEB)

        await scene.lab.edit(WEB)

        assert (await scene.world(backup)).workloads["deployment/web"].generation != record.generation

    @pytest.mark.parametrize("reference", [LONE, REPORTS, WIDGET, AUTOSCALER], ids=str)
    async def test_stopping_twice_is_refused_whatever_the_kind(
        self, scene: Scene, reference: WorkloadReference
    ) -> None:
        await self._make(scene, reference)
        backup = await scene.backup()
        before = (await scene.world(backup)).workloads[str(reference)]
        record = await scene.stop(backup, reference)

        with pytest.raises(ConflictError):
            await scene.cluster.apply(backup, a_scale_down(backup, before, await scene.world(backup)))

        assert (await scene.world(backup)).workloads[str(reference)].record == record

    @pytest.mark.parametrize("reference", [WEB, LONE, REPORTS, WIDGET, AUTOSCALER], ids=str)
    async def test_the_command_in_the_record_does_what_becalm_does(
        self, scene: Scene, reference: WorkloadReference
    ) -> None:
        if reference == WEB:
            await scene.lab.make_deployment("web", replicas=2)
        await self._make(scene, reference)
        backup = await scene.backup()
        record = await scene.stop(backup, reference)

        await scene.lab.type(shlex.split(record.undo))

        up = (await scene.world(backup)).workloads[str(reference)]
        assert (up.replicas, up.record) == (record.replicas, None)
