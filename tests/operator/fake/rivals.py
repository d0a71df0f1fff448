"""Other controllers that have a say in how many replicas there are."""

from becalm_operator.api.backup import WorkloadReference
from tests.operator.fake.lab import SHOP
from tests.operator.fake.objects import StoredWorkload
from tests.operator.fake.state import State


class Keda:
    """Scales the target of every ScaledObject that does not rest up from zero, as on an active trigger."""

    def __init__(self) -> None:
        self.deeds = 0

    def __call__(self, state: State) -> None:
        for scaler in list(state.workloads.values()):
            target = state.workloads.get((scaler.namespace, scaler.scales))
            if scaler.scales and scaler.replicas and target is not None and target.replicas == 0:
                _scale(state, target, 1)
                target.wanted = 1
                self.deeds += 1


class HorizontalPodAutoscaler:
    """Keeps a workload between two counts; one that is at zero it leaves alone."""

    def __init__(self, target: WorkloadReference, least: int, most: int) -> None:
        self._target = target
        self.least, self.most = least, most

    def __call__(self, state: State) -> None:
        target = state.workloads.get((SHOP, str(self._target)))
        if target is None or target.replicas == 0:
            return
        wished = min(max(target.replicas, self.least), self.most)
        if wished != target.replicas:
            _scale(state, target, wished)
            target.wanted = wished


class GitOps:
    """Writes what stands in Git over what is in the cluster, every so many ticks."""

    def __init__(self, target: WorkloadReference, every: int) -> None:
        self._target = target
        self._every = every
        self._at = 0
        self.deeds = 0

    def __call__(self, state: State) -> None:
        self._at += 1
        target = state.workload(SHOP, self._target)
        if self._at % self._every == 0 and target.replicas != target.wanted:
            _scale(state, target, target.wanted)
            self.deeds += 1


def _scale(state: State, workload: StoredWorkload, replicas: int) -> None:
    workload.replicas, workload.count_by = replicas, "somebody"
    state.touched(workload, spec=True)
