"""What is held down, and by which run: what sweep and watchdog look at."""

from collections.abc import Sequence

from becalm_operator.api.backup import Backup, RunStatus
from becalm_operator.api.record import Holder
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.objects import Objects
from becalm_operator.cluster.workloads import Workloads
from becalm_operator.errors import ClusterError, RefusedError
from becalm_operator.plan.sweep import truly_held
from becalm_operator.plan.world import Held, Holdings, Workload


class HeldWorkloads:
    """Looks for workloads that carry a record, in some namespaces; an empty one means all."""

    def __init__(self, workloads: Workloads, objects: Objects, namespaces: Sequence[str]) -> None:
        self._workloads = workloads
        self._objects = objects
        self._namespaces = namespaces

    async def look(self) -> Holdings:
        """Return every workload that carries a record, with the run that wrote it."""
        held: list[Held] = []
        unseen: dict[str, ClusterError] = {}
        for place in self._namespaces:
            found, problems = await self._workloads.with_record(place)
            for namespace, workload in found:
                try:
                    held.append(await self._held(namespace, workload))
                except ClusterError as error:
                    # the record's deadline decides, and nobody else waits for it
                    problems.append(error)
                    held.append(Held(namespace, workload, RunStatus()))
            unseen |= {str(problem): problem for problem in problems}
        return Holdings(tuple(held), tuple(unseen.values()))

    async def _held(self, namespace: str, workload: Workload) -> Held:
        """Return a workload with the run that holds it. Others are asked for only if that of its record does not."""
        record = workload.record
        held = Held(namespace, workload, await self._holder(namespace, record.by) if record else None)
        if record is None or (held.run is not None and not held.run.phase.finished):
            return held
        try:
            runs = await self._objects.runs(namespace)
        except RefusedError:  # roles made by hand; what is not known speaks for starting
            return held
        return truly_held(held, runs)

    async def _holder(self, namespace: str, holder: Holder) -> RunStatus | None:
        run: Backup | Restore | None
        try:
            if holder.kind == Restore.kind:
                run = await self._objects.load(Restore, namespace, holder.name)
            else:
                run = await self._objects.load(Backup, namespace, holder.name)
        except RefusedError:
            # a run that this version cannot read counts as under way: the record's deadline decides
            return RunStatus()
        return run.status if run is not None and run.metadata.uid == holder.uid else None
