"""Dumps of a real PostgreSQL, beside a workload that is stopped and alone."""

import os
import sys

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.image import Builder
from e2e.lab import Lab
from e2e.paths import ROOT
from e2e.postgres import Postgres
from e2e.shell import run
from e2e.shop import PASSWORD, Shop, Workload, backup, secret

pytestmark = pytest.mark.cluster


@pytest.fixture
def shop(lab: Lab, make_shop: MakeShop) -> Shop:
    """A shop with a front end alone."""
    lab.cluster.load_image(Builder(lab.places).postgres_archive())
    opened = make_shop(Workload("Deployment", "web"))
    opened.open_repository()
    return opened


@pytest.fixture
def postgres(shop: Shop) -> Postgres:
    """A database with rows."""
    made = Postgres(shop.kubectl)
    made.open()
    made.sql("create table orders as select n, md5(n::text) as what from generate_series(1, 5000) n")
    return made


def dumped(shop: Shop, snapshot: str, path: str) -> str:
    """Return a file as a person gets it on the command line."""
    environment = {
        **shop.s3.credentials(),
        "RESTIC_REPOSITORY": f"s3:{shop.s3.endpoint}/{shop.bucket}/shop",
        "RESTIC_PASSWORD": PASSWORD,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "engine"), str(ROOT / "operator")]),
    }
    becalm = [sys.executable, "-c", "from becalm_engine.cli.entry import main; main()"]
    return run([*becalm, "dump", snapshot, path], env=environment)


def test_a_dump_is_taken_beside_a_group_and_brings_the_rows_back(shop: Shop, postgres: Postgres) -> None:
    rows = postgres.sql("select * from orders order by n")

    shop.kubectl.apply(backup("both", shop.workloads, dumps=[postgres.dump("pg")], tags=["cw16"]))
    status = shop.await_end("backup", "both")

    assert status["phase"] == "Succeeded", status
    (dump,) = status["dumps"]
    assert (dump["path"], dump["bytesProcessed"] > 5000 * 32) == ("/dumps/pg/all.sql", True)
    assert dump["takenAt"] <= status["workloads"][0]["stoppedAt"]
    snapshots = {one["id"]: one for one in checks.restic_snapshots(shop)}
    assert set(snapshots) == {dump["snapshotID"], status["volumes"][0]["snapshotID"]}
    assert snapshots[dump["snapshotID"]]["paths"] == ["/dumps/pg/all.sql"]
    assert {tuple(one["tags"]) for one in snapshots.values()} == {("cw16",)}
    checks.nothing_is_held(shop)

    postgres.sql("drop table orders")
    postgres.sql(dumped(shop, dump["snapshotID"], dump["path"]))

    assert postgres.sql("select * from orders order by n") == rows


def test_a_dump_that_fails_fails_the_run_and_stops_nothing(shop: Shop, postgres: Postgres) -> None:
    shop.kubectl.apply(secret("wrong", {"password": "nonsense"}))

    dumps = [postgres.dump("good"), postgres.dump("bad", password_secret="wrong")]
    shop.kubectl.apply(backup("doomed", shop.workloads, dumps=dumps))
    status = shop.await_end("backup", "doomed")

    assert (status["phase"], status["reason"]) == ("Failed", "DumpFailed"), status
    assert status["message"].startswith("dump bad: its container ended with exit status 1; see `kubectl logs")
    assert "stoppedAt" not in status["workloads"][0]
    assert checks.restic_snapshots(shop) == []
    told = status["message"].split("`")[1].split()
    assert "password authentication failed" in shop.kubectl(*told[1:])
    assert not any(text in str(status) for text in ("nonsense", PASSWORD))


def test_dumps_alone_need_no_workloads_and_no_root(shop: Shop, postgres: Postgres) -> None:
    enforced = "pod-security.kubernetes.io/enforce=restricted"
    shop.kubectl("label", "namespace", shop.kubectl.namespace, enforced)
    user = {
        "runAsUser": 999,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }

    shop.kubectl.apply(backup("alone", (), dumps=[postgres.dump("pg", securityContext=user)]))
    status = shop.await_end("backup", "alone")

    assert status["phase"] == "Succeeded", status
    assert "downtimeSeconds" not in status
    assert [one["id"] for one in checks.restic_snapshots(shop)] == [status["dumps"][0]["snapshotID"]]
