"""What a cluster promises about our own objects."""

import pytest

from becalm_operator.api import names
from becalm_operator.api.backup import (
    Backup,
    BackupStatus,
    Phase,
)
from becalm_operator.api.limits import Needs
from becalm_operator.cluster.port import Key
from becalm_operator.errors import ConflictError, NotFoundError
from becalm_operator.plan.steps import (
    DeleteBackup,
    Event,
    MakeBackup,
    RequestProbe,
)
from tests.operator.cluster.lab import WEB, Announced, Scene, a_repository, a_schedule, a_status

_NOTE_BYTES = 1024
"""What the API server takes as the note of an event."""


class ObjectsContract:
    """Our own objects. A subclass has a fixture `scene`."""

    async def test_what_is_not_there_loads_as_none(self, scene: Scene) -> None:
        assert await scene.cluster.load(Backup, scene.lab.namespace, "missing") is None

    async def test_what_was_made_can_be_loaded_and_is_listed(self, scene: Scene) -> None:
        made = await scene.backup()

        loaded = await scene.cluster.load(Backup, scene.lab.namespace, "b")

        assert loaded == made
        assert loaded.metadata.uid
        assert loaded.metadata.creation_timestamp
        assert Key("Backup", scene.lab.namespace, "b") in (await scene.cluster.list_keys()).found

    async def test_a_status_comes_back_as_it_was_written(self, scene: Scene) -> None:
        backup = await scene.backup()
        status = a_status(await scene.world(backup))

        written = await scene.cluster.write_status(backup, status)

        loaded = await scene.cluster.load(Backup, scene.lab.namespace, "b")
        assert written == loaded
        assert written.status == status
        assert written.spec == backup.spec
        assert written.metadata.generation == backup.metadata.generation

    async def test_a_status_is_replaced_and_not_merged(self, scene: Scene) -> None:
        backup = await scene.backup()
        backup = await scene.cluster.write_status(backup, a_status(await scene.world(backup)))

        written = await scene.cluster.write_status(backup, BackupStatus(message="anew"))

        assert written.status == BackupStatus(message="anew")

    async def test_a_status_of_an_old_version_is_refused(self, scene: Scene) -> None:
        backup = await scene.backup()
        await scene.lab.touch(backup)

        with pytest.raises(ConflictError):
            await scene.cluster.write_status(backup, BackupStatus(message="late"))

        loaded = await scene.cluster.load(Backup, scene.lab.namespace, "b")
        assert loaded is not None
        assert loaded.status == BackupStatus()

    async def test_a_status_of_what_is_gone_is_refused(self, scene: Scene) -> None:
        backup = await scene.backup()
        await scene.lab.delete(backup)

        with pytest.raises((NotFoundError, ConflictError)):
            await scene.cluster.write_status(backup, BackupStatus(message="late"))

    async def test_the_answer_of_one_write_is_good_for_the_next(self, scene: Scene) -> None:
        backup = await scene.backup()

        backup = await scene.cluster.set_finalizer(backup, present=True)
        backup = await scene.cluster.write_status(backup, BackupStatus(message="one"))
        backup = await scene.cluster.write_status(backup, BackupStatus(message="two"))
        backup = await scene.cluster.set_finalizer(backup, present=False)

        assert backup == await scene.cluster.load(Backup, scene.lab.namespace, "b")

    async def test_a_finalizer_keeps_a_deleted_object_until_it_is_taken_off(self, scene: Scene) -> None:
        backup = await scene.cluster.set_finalizer(await scene.backup(), present=True)
        assert backup.metadata.finalizers == (names.FINALIZER,)

        await scene.lab.delete(backup)
        kept = await scene.cluster.load(Backup, scene.lab.namespace, "b")
        assert kept is not None
        assert kept.metadata.deletion_timestamp is not None
        kept = await scene.cluster.write_status(kept, BackupStatus(message="ending"))
        await scene.cluster.set_finalizer(kept, present=False)

        assert await scene.cluster.load(Backup, scene.lab.namespace, "b") is None

    async def test_an_object_without_a_finalizer_is_gone_at_once(self, scene: Scene) -> None:
        backup = await scene.backup()

        await scene.lab.delete(backup)

        assert await scene.cluster.load(Backup, scene.lab.namespace, "b") is None

    async def test_setting_a_finalizer_twice_is_harmless(self, scene: Scene) -> None:
        backup = await scene.cluster.set_finalizer(await scene.backup(), present=True)

        again = await scene.cluster.set_finalizer(backup, present=True)

        assert again.metadata.finalizers == (names.FINALIZER,)

    async def test_a_finalizer_on_an_old_version_is_refused(self, scene: Scene) -> None:
        backup = await scene.backup()
        await scene.lab.touch(backup)

        with pytest.raises(ConflictError):
            await scene.cluster.set_finalizer(backup, present=True)

    async def test_an_annotation_is_set_beside_others_whatever_the_version(self, scene: Scene) -> None:
        backup = await scene.backup()
        await scene.cluster.annotate(backup, "example.org/one", "1")
        await scene.lab.touch(backup)

        await scene.cluster.annotate(backup, "example.org/two", "2")

        loaded = await scene.cluster.load(Backup, scene.lab.namespace, "b")
        assert loaded is not None
        ours = {name: value for name, value in loaded.metadata.annotations.items() if "example" in name}
        assert ours == {"example.org/one": "1", "example.org/two": "2"}

    async def test_an_annotation_of_what_is_gone_is_harmless(self, scene: Scene) -> None:
        backup = await scene.backup()
        await scene.lab.delete(backup)

        await scene.cluster.annotate(backup, "example.org/one", "1")

        assert await scene.cluster.load(Backup, scene.lab.namespace, "b") is None

    async def test_making_a_backup_twice_makes_one(self, scene: Scene) -> None:
        schedule = await scene.lab.make(a_schedule(scene.lab.namespace))
        labels = {names.SCHEDULE_LABEL: "nightly", "tier": "gold"}
        action = MakeBackup("nightly-1", labels, {"note": "x"}, schedule.spec.template.spec)

        await scene.cluster.apply(schedule, action)
        first = await scene.cluster.load(Backup, scene.lab.namespace, "nightly-1")
        await scene.cluster.apply(schedule, action)

        seen = (await scene.cluster.observe_schedule(schedule)).backups
        assert [backup.metadata.name for backup in seen] == ["nightly-1"]
        assert list(seen) == [first]
        assert seen[0].metadata.labels == labels
        assert seen[0].metadata.annotations == {"note": "x"}
        assert seen[0].spec == schedule.spec.template.spec

    async def test_a_scheduled_backup_sees_its_schedule(self, scene: Scene) -> None:
        schedule = await scene.lab.make(a_schedule(scene.lab.namespace))
        labels = {names.SCHEDULE_LABEL: "nightly"}
        await scene.cluster.apply(schedule, MakeBackup("n-1", labels, {}, schedule.spec.template.spec))
        backup = await scene.cluster.load(Backup, scene.lab.namespace, "n-1")
        assert backup is not None

        assert (await scene.world(backup)).schedule == schedule

    async def test_deleting_a_backup_that_is_gone_is_harmless(self, scene: Scene) -> None:
        schedule = await scene.lab.make(a_schedule(scene.lab.namespace))
        await scene.backup()

        await scene.cluster.apply(schedule, DeleteBackup("b"))
        await scene.cluster.apply(schedule, DeleteBackup("b"))

        assert await scene.cluster.load(Backup, scene.lab.namespace, "b") is None

    async def test_a_probe_can_be_asked_for(self, scene: Scene) -> None:
        repository = await scene.lab.make(a_repository(scene.lab.namespace))
        backup = await scene.backup()

        await scene.cluster.apply(backup, RequestProbe("main"))

        seen = (await scene.world(backup)).repository
        assert seen is not None
        assert names.PROBE_ANNOTATION in seen.metadata.annotations
        assert seen.metadata.generation == repository.metadata.generation

    async def test_a_probe_of_what_is_gone_is_harmless(self, scene: Scene) -> None:
        backup = await scene.backup()

        await scene.cluster.apply(backup, RequestProbe("main"))

        assert (await scene.world(backup)).repository is None

    async def test_runs_see_each_other_until_they_have_ended(self, scene: Scene) -> None:
        backup, other = await scene.backup("b"), await scene.backup("other")

        pending = (await scene.world(backup)).others
        other = await scene.cluster.write_status(other, BackupStatus(phase=Phase.QUIESCING))
        started = (await scene.world(backup)).others
        await scene.cluster.write_status(other, BackupStatus(phase=Phase.SUCCEEDED))
        last = await scene.world(backup)

        assert [(o.name, o.uid, o.started) for o in pending] == [("other", other.metadata.uid, False)]
        assert [(o.started, o.workloads) for o in started] == [(True, frozenset({"deployment/web"}))]
        assert (last.others, [one.metadata.name for one in last.former]) == ((), ["other"])

    async def test_a_run_sees_what_others_take_and_wait_for(self, scene: Scene) -> None:
        backup, other = await scene.backup("b"), await scene.backup("other")
        queued = BackupStatus(
            needs=Needs(movers=2, workloads=1), queued_since=other.metadata.creation_timestamp
        )
        other = await scene.cluster.write_status(other, queued)
        waiting = (await scene.world(backup)).shares
        begun = BackupStatus(phase=Phase.PREFLIGHT, needs=queued.needs)
        await scene.cluster.write_status(other, begun)
        started = (await scene.world(backup)).shares

        assert [(s.name, s.repository, s.queued, s.started) for s in waiting] == [
            ("other", "main", True, False)
        ]
        assert [(s.movers, s.workloads, s.queued, s.started) for s in started] == [(2, 1, False, True)]
        assert started[0].created == other.metadata.creation_timestamp

    async def test_events_are_about_the_run_and_the_workload_and_no_longer_than_may_be(
        self, scene: Scene
    ) -> None:
        await scene.lab.make_deployment("web", replicas=1)
        backup = await scene.backup()
        uid = (await scene.world(backup)).workloads["deployment/web"].uid

        await scene.cluster.announce(backup, Event("Quiesced", "scaled", workload=WEB))
        await scene.cluster.announce(backup, Event("Failed", "ü" * 5000, "Warning"))
        await scene.cluster.announce_workload(scene.lab.namespace, uid, Event("Released", "up", workload=WEB))

        quiesced = Announced("Normal", "Quiesced", "scaled")
        about_run = await scene.lab.announced(backup)
        assert about_run[:-1] == [quiesced]
        assert about_run[-1] == Announced("Warning", "Failed", "ü" * 510 + "...")
        assert len(about_run[-1].note.encode()) <= _NOTE_BYTES
        assert await scene.lab.announced(WEB) == [quiesced, Announced("Normal", "Released", "up")]
