import itertools
from collections.abc import Callable, Generator, Iterator

import pytest

from e2e import toolchain
from e2e.lab import Lab
from e2e.lab import lab as this_lab
from e2e.shop import Shop, Workload
from e2e.turns import Turns


@pytest.fixture(scope="session")
def turns(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Turns:
    """What this process and those that run other tests at the same time agree on."""
    own = tmp_path_factory.getbasetemp()
    return Turns(own if worker_id == "master" else own.parent)


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, turns: Turns) -> Iterator[None]:
    """Each test works beside others, unless it says that it has to be alone."""
    with turns.alone() if request.node.get_closest_marker("alone") else turns.beside():
        yield


@pytest.fixture(scope="session")
def installed(turns: Turns) -> Lab:
    """The cluster, with becalm installed by its chart."""
    made = this_lab()

    def install() -> None:
        toolchain.ensure()
        made.cluster.up()
        made.install()

    turns.once("installed", install)
    return made


@pytest.fixture(scope="session")
def lab(installed: Lab) -> Lab:
    """The same by the name that tests use; a suite may give that name to a lab of its own."""
    return installed


Numbers = Iterator[str]


@pytest.fixture(scope="session")
def numbers(worker_id: str) -> Numbers:
    """What makes the names of namespaces differ, in this process and from those of others."""
    prefix = "" if worker_id == "master" else f"{worker_id}-"
    return (f"{prefix}{number}" for number in itertools.count(1))


MakeShop = Callable[..., Shop]
_OPENED: pytest.StashKey[list[Shop]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the cluster says of the shops of its test: they are gone when it is read."""
    report = yield
    if call.when == "call" and report.failed:
        report.sections += [(shop.kubectl.namespace, shop.told()) for shop in item.stash.get(_OPENED, [])]
    return report


@pytest.fixture
def make_shop(lab: Lab, numbers: Numbers, request: pytest.FixtureRequest) -> Iterator[MakeShop]:
    """Opens shops in namespaces of their own; they are closed after the test."""
    opened = request.node.stash.setdefault(_OPENED, [])

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
