"""Objects as the API server returns them."""

from datetime import UTC, datetime
from typing import Any

from kubernetes.aio.client import V1Pod

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def a_pod(phase: str = "Running", **changes: Any) -> V1Pod:
    made = V1Pod.from_dict(
        {
            "metadata": {
                "name": "web-1",
                "uid": "p1",
                "labels": changes.get("labels", {}),
                "creationTimestamp": "2026-11-27T12:00:00Z",
                "ownerReferences": changes.get("owners", []),
            },
            "spec": {
                "nodeName": "node1",
                "restartPolicy": changes.get("restart", "Always"),
                "containers": [{"name": "becalm"}],
                "volumes": changes.get("volumes", []),
            },
            "status": {
                "phase": phase,
                "initContainerStatuses": changes.get("init", []),
                "ephemeralContainerStatuses": changes.get("ephemeral", []),
                "containerStatuses": changes.get("containers", []),
                "conditions": changes.get("conditions", []),
            },
        }
    )
    assert made is not None
    return made


def controller(kind: str, name: str, version: str = "apps/v1") -> list[dict[str, Any]]:
    return [{"apiVersion": version, "kind": kind, "name": name, "uid": "x", "controller": True}]


def becalm_container(state: dict[str, Any], name: str = "becalm") -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "ready": False,
            "restartCount": 0,
            "image": "becalm",
            "imageID": "",
            "state": state,
        }
    ]


ENDED, FAILED = ({"terminated": {"exitCode": code}} for code in (0, 1))
