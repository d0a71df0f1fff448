import itertools
from collections.abc import Callable, Iterator

import pytest

from e2e import toolchain
from e2e.lab import Lab
from e2e.lab import lab as this_lab
from e2e.shop import Shop, Workload


@pytest.fixture(scope="session")
def installed() -> Lab:
    """The cluster, with becalm installed by its chart."""
    toolchain.ensure()
    made = this_lab()
    made.cluster.up()
    made.install()
    return made


@pytest.fixture(scope="session")
def lab(installed: Lab) -> Lab:
    """The same by the name that tests use; a suite may give that name to a lab of its own."""
    return installed


Numbers = Iterator[int]


@pytest.fixture(scope="session")
def numbers() -> Numbers:
    """What makes the names of namespaces differ."""
    return itertools.count(1)


MakeShop = Callable[..., Shop]


@pytest.fixture
def make_shop(lab: Lab, numbers: Numbers) -> Iterator[MakeShop]:
    """Opens shops in namespaces of their own; they are closed after the test."""
    opened: list[Shop] = []

    def make(*workloads: Workload) -> Shop:
        kubectl = lab.kubectl.within(f"shop-{next(numbers)}")
        shop = Shop(kubectl, lab.s3, workloads) if workloads else Shop(kubectl, lab.s3)
        opened.append(shop)
        shop.open()
        return shop

    yield make
    for shop in opened:
        shop.close(wait=False)


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop of a Deployment and a StatefulSet, with a repository that is Ready."""
    opened = make_shop()
    opened.open_repository()
    return opened
