"""The cluster in memory keeps the promises that the real one is tested by."""

import pytest

from tests.operator.cluster.contract import ClusterContract
from tests.operator.fake.cluster import FakeCluster
from tests.operator.fake.lab import FakeLab
from tests.operator.fake.state import State


class TestFakeCluster(ClusterContract):
    @pytest.fixture
    def state(self) -> State:
        return State()

    @pytest.fixture
    def cluster(self, state: State) -> FakeCluster:
        return FakeCluster(state)

    @pytest.fixture
    def lab(self, state: State) -> FakeLab:
        return FakeLab(state)
