"""What every cluster promises that reconciling works on: one suite, run by the one in memory and by a real one.

On a real cluster the namespace must be one that no operator looks after, and empty at the start of each test.
"""

import pytest

from becalm_operator.cluster.port import Cluster
from tests.operator.cluster.hooks_contract import HooksContract
from tests.operator.cluster.jobs_contract import JobsContract
from tests.operator.cluster.kinds_contract import KindsContract
from tests.operator.cluster.lab import Lab, Scene
from tests.operator.cluster.objects_contract import ObjectsContract
from tests.operator.cluster.snapshots_contract import SnapshotsContract
from tests.operator.cluster.workloads_contract import WorkloadsContract


class ClusterContract(
    ObjectsContract, WorkloadsContract, KindsContract, JobsContract, SnapshotsContract, HooksContract
):
    """All of it. A subclass has fixtures `cluster` and `lab`."""

    @pytest.fixture
    def scene(self, cluster: Cluster, lab: Lab) -> Scene:
        return Scene(cluster, lab)
