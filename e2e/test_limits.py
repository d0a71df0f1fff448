"""Two Backups where there is a mover for one: the second waits for its turn, and metrics tell of both."""

import pytest

from e2e import checks
from e2e.lab import Lab
from e2e.objects import Document
from e2e.shop import Shop, backup

pytestmark = pytest.mark.cluster

_SHOW = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8081/metrics').read().decode())"


def _allow(shop: Shop, movers: int) -> None:
    patch = f'{{"spec":{{"limits":{{"maxConcurrentMovers":{movers},"uploadKiBPerSecond":20480}}}}}}'
    shop.kubectl("patch", "backuprepository", "main", "--type=merge", "-p", patch)
    shop.kubectl.until(
        "the repository has been looked at again",
        lambda: shop.kubectl.condition("backuprepository", "main", "Ready"),
        lambda seen: seen.get("status") == "True" and seen.get("observedGeneration") == 2,
    )


def _waiting(shop: Shop) -> list[str]:
    statuses = (shop.kubectl.status("backup", name) for name in ("one", "two"))
    return [seen.get("message", "") for seen in statuses if "queuedSince" in seen]


def _overlap(one: Document, other: Document) -> bool:
    """Say whether two runs were down at the same time."""
    spans = [(run["workloads"][0]["stoppedAt"], run["resumedAt"]) for run in (one, other)]
    first, second = sorted(spans)
    return bool(second[0] < first[1])


def test_the_second_waits_for_its_turn_and_both_are_told_of(shop: Shop, lab: Lab) -> None:
    web, db = shop.workloads
    _allow(shop, 1)

    shop.kubectl.apply(backup("one", [web]), backup("two", [db]))
    told = shop.kubectl.until("one of them waits", lambda: _waiting(shop), lambda seen: len(seen) == 1)
    one, two = shop.await_end("backup", "one"), shop.await_end("backup", "two")

    assert told == ["1st in the queue of repository main: 1 of 1 movers are in use"]
    assert [one["phase"], two["phase"]] == ["Succeeded", "Succeeded"], (one, two)
    assert not _overlap(one, two)
    for run in (one, two):
        assert sum(run["downtimeParts"].values()) == run["downtimeSeconds"]
    shown = lab.kubectl.exec(lab.operator_pod()["metadata"]["name"], "python3", "-c", _SHOW)
    lines = [line for line in shown.splitlines() if f'namespace="{shop.kubectl.namespace}"' in line]
    (ended,) = [line for line in lines if line.startswith("becalm_runs_ended_total{")]
    assert 'outcome="succeeded"' in ended
    assert ended.endswith(" 2.0")
    assert 'becalm_api_request_duration_seconds_count{code="200",method="GET"}' in shown
    checks.nothing_is_held(shop)
