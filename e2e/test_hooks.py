"""Hooks on a real cluster: commands in containers, requests, Jobs."""

from typing import Any

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.image import IMAGE
from e2e.lab import Lab
from e2e.objects import Document
from e2e.paths import SetUpError
from e2e.shop import Shop, Workload, backup, secret

pytestmark = pytest.mark.cluster

_WEB = Workload("Deployment", "web")
_BELL = """
import http.server
class Bell(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        rung = self.headers.get("Authorization") == "Bearer s3cret" and body == "up again"
        self.send_response(202 if rung else 400)
        self.end_headers()
http.server.HTTPServer(("", 8080), Bell).serve_forever()
"""


def _shell(script: str, **more: Any) -> Document:
    return {"exec": {"container": "app", "command": ["sh", "-c", script]}, "timeout": "20s", **more}


def _job(script: str) -> Document:
    container = {
        "name": "own",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": _WEB.claim}}
    return {"job": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}, "timeout": "1m"}


def _bell() -> list[Document]:
    labels = {"app": "bell"}
    container = {
        "name": "bell",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", _BELL],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 30},
    }
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bell", "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "bell"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        secret("bell", {"authorization": "Bearer s3cret"}),
    ]


def _hooked(name: str, of_web: Document, of_run: Document | None = None) -> Document:
    document = backup(name, ())
    workloads = [{**_WEB.reference, "hooks": of_web}]
    document["spec"] |= {"workloads": workloads, "hooks": of_run or {}}
    return document


def _ring(shop: Shop, path: str = "") -> Document:
    service = shop.kubectl.get("service", "bell")
    assert service is not None
    header = {
        "name": "Authorization",
        "valueFrom": {"secretKeyRef": {"name": "bell", "key": "authorization"}},
    }
    http = {
        "url": f"http://{service['spec']['clusterIP']}/{path}",
        "headers": [header],
        "body": "up again",
        "expectedStatus": [202],
    }
    return {"name": "ring", "http": http, "timeout": "1m"}


def _outcomes(status: Document) -> dict[str, str]:
    return {hook["name"]: hook["outcome"] for hook in status["hooks"]}


def test_hooks_of_all_kinds_run_around_the_stop(make_shop: MakeShop) -> None:
    shop = make_shop(_WEB)
    shop.open_repository()
    shop.kubectl.apply(*_bell())
    shop.kubectl("wait", "--for=condition=Ready", "pod/bell", "--timeout=30s")
    prepare = {"name": "prepare", **_job("cat /data/locked > /data/prepared")}
    lock = _shell("echo locked > /data/locked; echo locked the shop", name="lock")
    unlock = _shell("rm /data/locked", name="unlock")
    flush = _shell("test -e /data/prepared && echo flushed > /data/flushed", name="flush")
    lock["exec"]["workload"] = unlock["exec"]["workload"] = _WEB.reference

    shop.kubectl.apply(
        _hooked(
            "hooked",
            {"before": [flush], "after": [_shell("echo hello", name="greet")]},
            {"before": [lock, prepare], "after": [unlock, _ring(shop)]},
        )
    )
    status = shop.await_end("backup", "hooked")

    assert status["phase"] == "Succeeded", status
    assert "; but" not in status["message"]
    names = ["lock", "prepare", "flush", "greet", "unlock", "ring"]
    assert _outcomes(status) == dict.fromkeys(names, "Succeeded")
    assert status["hooks"][0]["output"] == "locked the shop"
    assert status["hooks"][-1]["output"] == "the answer was HTTP 202"
    seen = shop.kubectl.exec(shop.pod(_WEB), "sh", "-c", "cd /data; ls locked; cat prepared flushed || true")
    assert seen.split() == ["locked", "flushed"]
    assert "HookSucceeded" in checks.events(shop, "hooked")
    checks.nothing_is_held(shop)


def test_a_failing_before_hook_stops_nothing_and_after_hooks_run(make_shop: MakeShop) -> None:
    shop = make_shop(_WEB)
    shop.open_repository()
    before = shop.kubectl.get("Deployment", "web")
    late = _shell("sleep 60", name="late", timeout="2s", onError="Continue")
    refused = _shell("echo no such table >&2; exit 3", name="refused")

    shop.kubectl.apply(
        _hooked("refused", {"before": [late, refused], "after": [_shell("true", name="undo")]})
    )
    status = shop.await_end("backup", "refused")

    assert (status["phase"], status["reason"]) == ("Failed", "HookFailed"), status
    assert status["message"].endswith("ended with exit code 3: no such table")
    assert _outcomes(status) == {"late": "TimedOut", "refused": "Failed", "undo": "Succeeded"}
    after = shop.kubectl.get("Deployment", "web")
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "it was scaled"
    checks.nothing_is_held(shop)


def test_an_after_hook_that_fails_is_told_and_the_backup_is_good(make_shop: MakeShop) -> None:
    shop = make_shop(_WEB)
    shop.open_repository()
    bad = [{"name": "broken", "job": {"template": {"spec": {"containers": [{"name": "Not_A_Name"}]}}}}]
    bad += [_shell("true", name="gone", exec={"container": "none", "command": ["true"]})]

    shop.kubectl.apply(_hooked("told", {"after": bad}))
    status = shop.await_end("backup", "told")

    assert status["phase"] == "Succeeded", status
    assert _outcomes(status) == {"broken": "Failed", "gone": "Failed"}
    assert "added; but after-hook broken" in status["message"]
    assert "HookFailed" in checks.events(shop, "told")
    checks.nothing_is_held(shop)


@pytest.mark.parametrize(
    ("hook", "complaint"),
    [
        ({"exec": {"command": ["true"]}}, "exec needs a workload or a podSelector"),
        ({"http": {"url": "http://x/"}, "job": {"template": {}}}, "exactly one of exec, http and job"),
        ({"http": {"url": "http://x/"}, "timeout": "2h"}, "at most 1h"),
    ],
)
def test_the_api_server_refuses_a_hook_that_makes_no_sense(lab: Lab, hook: Document, complaint: str) -> None:
    with pytest.raises(SetUpError, match=complaint):
        lab.kubectl.within("default").apply(
            backup("bad", [_WEB], hooks={"before": [{"name": "bad", **hook}]})
        )
