"""What a cluster promises about workloads, their pods and claims."""

from datetime import timedelta

import pytest

from becalm_operator.api.backup import (
    Backup,
    BackupStatus,
    Phase,
    WorkloadStatus,
)
from becalm_operator.errors import ConflictError, NotFoundError
from becalm_operator.plan.steps import (
    ScaleUp,
)
from tests.operator.cluster.lab import DB, WEB, Scene, a_scale_down


class WorkloadsContract:
    """Deployments, StatefulSets, their pods and claims. A subclass has a fixture `scene`."""

    async def test_a_deployment_is_seen_with_its_count_and_claims(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_deployment("web", replicas=2, claims=["data"])

        seen = await scene.ready(await scene.backup(), WEB)

        assert (seen.reference, seen.replicas, seen.ready, seen.settled) == (WEB, 2, 2, True)
        assert (seen.claims, seen.owner, seen.record, seen.unreadable_record) == (("data",), "", None, False)
        assert seen.uid

    async def test_a_stateful_set_is_seen_with_the_claims_of_its_template(self, scene: Scene) -> None:
        await scene.lab.make_stateful_set("db", replicas=2, template="data")

        seen = await scene.ready(await scene.backup(), DB)

        assert seen.claims == ("data-db-0", "data-db-1")
        assert not seen.deletes_claims

    async def test_a_stateful_set_that_deletes_its_claims_is_seen(self, scene: Scene) -> None:
        await scene.lab.make_stateful_set("db", replicas=1, template="data", deletes_claims=True)

        seen = (await scene.world(await scene.backup())).workloads["statefulset/db"]

        assert seen.deletes_claims

    async def test_the_controller_of_a_workload_is_seen(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=0, owner="ConfigMap/web")

        seen = (await scene.world(await scene.backup())).workloads["deployment/web"]

        assert seen.owner == "configmap/web"

    async def test_a_claim_is_seen_with_its_volume_and_labels(self, scene: Scene) -> None:
        await scene.lab.make_claim("data", {"tier": "gold"})
        await scene.lab.make_deployment("web", replicas=1, claims=["data"])
        backup = await scene.backup()
        await scene.ready(backup, WEB)

        claim = (await scene.world(backup)).claims["data"]

        assert (claim.name, claim.bound, claim.labels["tier"], claim.node_bound) == (
            "data",
            True,
            "gold",
            True,
        )

    async def test_the_pods_of_a_deployment_are_its_own(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_deployment("web", replicas=1, claims=["data"])
        backup = await scene.backup()
        await scene.ready(backup, WEB)

        (pod,) = (await scene.world(backup)).pods

        assert (pod.owner, pod.claims, pod.ended, pod.ours) == ("deployment/web", ("data",), False, False)
        assert pod.node

    async def test_the_pods_of_a_stateful_set_are_its_own(self, scene: Scene) -> None:
        await scene.lab.make_stateful_set("db", replicas=1, template="data")
        backup = await scene.backup()
        await scene.ready(backup, DB)

        (pod,) = (await scene.world(backup)).pods

        assert (pod.name, pod.owner, pod.claims) == ("db-0", "statefulset/db", ("data-db-0",))

    async def test_the_standard_that_a_namespace_enforces_is_seen(self, scene: Scene) -> None:
        backup = await scene.backup()
        before = (await scene.world(backup)).pod_security

        await scene.lab.enforce("baseline")

        assert (before, (await scene.world(backup)).pod_security) == ("privileged", "baseline")

    async def test_a_pod_of_nobody_has_no_owner(self, scene: Scene) -> None:
        await scene.lab.make_claim("data")
        await scene.lab.make_pod("shell", ["data"])

        world = await scene.world(await scene.backup())
        (pod,) = world.pods

        assert (pod.name, pod.owner, pod.claims, pod.ours) == ("shell", "", ("data",), False)
        assert pod.created is not None
        assert abs(world.now - pod.created) < timedelta(minutes=1)

    async def test_stopping_scales_and_records_in_one_update(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        await scene.ready(backup, WEB)

        record = await scene.stop(backup, WEB)

        seen = (await scene.world(backup)).workloads["deployment/web"]
        assert (seen.replicas, seen.record) == (0, record)

    async def test_what_was_stopped_ends_and_keeps_its_record(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)

        async def no_pods() -> bool | None:
            return True if not (await scene.world(backup)).pods else None

        await scene.lab.until("all pods are gone", no_pods)

        seen = await scene.ready(backup, WEB)
        assert seen.record is not None
        assert (seen.replicas, seen.ready, seen.record.replicas) == (0, 0, 2)

    async def test_stopping_what_has_changed_is_refused(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        before = await scene.ready(backup, WEB)
        await scene.lab.touch_workload(WEB)

        with pytest.raises(ConflictError):
            await scene.cluster.apply(backup, a_scale_down(backup, before, await scene.world(backup)))

        seen = (await scene.world(backup)).workloads["deployment/web"]
        assert (seen.replicas, seen.record) == (2, None)

    async def test_stopping_twice_is_refused_and_keeps_the_record(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        before = await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)

        with pytest.raises(ConflictError):
            await scene.cluster.apply(backup, a_scale_down(backup, before, await scene.world(backup)))

        seen = (await scene.world(backup)).workloads["deployment/web"]
        assert seen.record is not None
        assert seen.record.replicas == 2

    async def test_stopping_what_is_gone_is_refused(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=1)
        backup = await scene.backup()
        before = await scene.ready(backup, WEB)
        await scene.lab.delete_workload(WEB)

        with pytest.raises((NotFoundError, ConflictError)):
            await scene.cluster.apply(backup, a_scale_down(backup, before, await scene.world(backup)))

    async def test_starting_restores_the_count_and_takes_the_record_off(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)

        await scene.start(backup, WEB, 2)

        seen = await scene.ready(backup, WEB)
        assert (seen.replicas, seen.ready, seen.record) == (2, 2, None)
        assert await scene.held() == {}

    async def test_starting_what_has_changed_is_refused(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)
        before = (await scene.world(backup)).workloads["deployment/web"]
        await scene.lab.scale(WEB, 1)

        with pytest.raises(ConflictError):
            await scene.cluster.apply(backup, ScaleUp(WEB, before.uid, before.resource_version, 2))

        assert (await scene.world(backup)).workloads["deployment/web"].replicas == 1

    async def test_starting_what_is_gone_is_harmless(self, scene: Scene) -> None:
        backup = await scene.backup()

        await scene.cluster.apply(backup, ScaleUp(WEB, "uid", "1", 2))
        await scene.cluster.release(scene.lab.namespace, ScaleUp(WEB, "uid", "1", 2))

        assert "deployment/web" not in (await scene.world(backup)).workloads
        assert await scene.held() == {}

    async def test_what_is_held_is_seen_with_its_run(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        await scene.lab.make_deployment("other", replicas=1)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)
        await scene.cluster.write_status(backup, BackupStatus(phase=Phase.CAPTURING))

        held = await scene.held()

        assert list(held) == ["deployment/web"]
        run = held["deployment/web"].run
        assert run is not None
        assert run.phase is Phase.CAPTURING
        assert held["deployment/web"].workload.record is not None

    async def test_what_is_held_by_a_run_that_is_gone_is_seen_as_such(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=1)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)
        await scene.lab.delete(backup)
        await scene.backup()  # of the same name, and another one

        held = (await scene.held())["deployment/web"]

        assert held.run is None

    async def _stopped_before(self, scene: Scene, backup: Backup) -> None:
        """Have a Backup stop and start a Deployment, and somebody edit that: its old revision remembers the record."""
        await scene.lab.make_deployment("web", replicas=1)
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)
        await scene.ready(backup, WEB)
        await scene.start(backup, WEB, 1)
        await scene.lab.edit(WEB)
        await scene.ready(backup, WEB)
        assert await scene.held() == {}

    async def test_a_record_that_is_put_back_is_known_if_somebody_else_has_stopped_the_workload(
        self, scene: Scene
    ) -> None:
        backup = await scene.backup()
        await self._stopped_before(scene, backup)
        await scene.lab.scale(WEB, 0)

        await scene.lab.roll_back(WEB)

        seen = (await scene.held())["deployment/web"].workload
        assert seen.record is not None
        assert (seen.record.by.name, seen.replicas, seen.put_back) == ("b", 0, True)

    async def test_a_record_that_is_put_back_counts_if_becalm_has_stopped_the_workload(
        self, scene: Scene
    ) -> None:
        first, second = await scene.backup(), await scene.backup("c")
        await self._stopped_before(scene, first)
        await scene.stop(second, WEB)

        await scene.lab.roll_back(WEB)

        seen = (await scene.held())["deployment/web"].workload
        assert seen.record is not None
        assert (seen.record.by.name, seen.replicas, seen.put_back) == ("b", 0, False)

    async def test_what_lost_its_record_to_an_old_one_is_held_by_the_run_that_has_stopped_it(
        self, scene: Scene
    ) -> None:
        first, second = await scene.backup(), await scene.backup("c")
        await self._stopped_before(scene, first)
        await scene.lab.delete(first)
        await scene.lab.scale(WEB, 2)
        uid = (await scene.ready(second, WEB)).uid
        record = await scene.stop(second, WEB)
        state = WorkloadStatus(kind="Deployment", name="web", uid=uid, replicas=2, stopped_at=record.at)
        await scene.cluster.write_status(second, BackupStatus(phase=Phase.CAPTURING, workloads=(state,)))

        await scene.lab.roll_back(WEB)

        held = (await scene.held())["deployment/web"]
        assert held.run is not None
        assert held.run.phase is Phase.CAPTURING
        assert held.workload.record is not None
        seen = held.workload.record
        assert (seen.by, seen.replicas, seen.deadline) == (record.by, 2, record.deadline)

    async def test_what_is_held_can_be_released(self, scene: Scene) -> None:
        await scene.lab.make_deployment("web", replicas=2)
        backup = await scene.backup()
        await scene.ready(backup, WEB)
        await scene.stop(backup, WEB)

        async def release() -> bool | None:
            seen = (await scene.held())["deployment/web"].workload
            action = ScaleUp(WEB, seen.uid, seen.resource_version, 2)
            try:
                await scene.cluster.release(scene.lab.namespace, action)
            except ConflictError:
                return None
            return True

        await scene.lab.until("it is released", release)

        assert await scene.held() == {}
        assert (await scene.ready(backup, WEB)).replicas == 2
