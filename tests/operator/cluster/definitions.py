"""CustomResourceDefinitions for tests: a kind with a scale subresource of its own shape, and what is read of KEDA's.

KEDA's is cut down by hand to the fields that matter here, after config/crd/bases/keda.sh_scaledobjects.yaml and
apis/keda/v1alpha1/scaledobject_types.go of github.com/kedacore/keda (Apache-2.0).
"""

from typing import Any

from becalm_operator.api.backup import WorkloadReference

Document = dict[str, Any]

WIDGET = WorkloadReference(api_version="example.org/v1", kind="Widget", name="press")
AUTOSCALER = WorkloadReference(api_version="keda.sh/v1alpha1", kind="ScaledObject", name="web-scaler")
WIDGETS_NAME = "widgets.example.org"


def _text(**more: Any) -> Document:
    return {"type": "string", **more}


def _object(**properties: Document) -> Document:
    return {"type": "object", "properties": properties}


def _definition(group: str, kind: str, plural: str, version: Document) -> Document:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{"served": True, "storage": True, **version}],
        },
    }


def widgets() -> Document:
    """Return the definition of a kind that counts its replicas elsewhere than most."""
    spec = _object(size=_object(members={"type": "integer", "minimum": 0}), colour=_text())
    status = _object(members={"type": "integer"}, observedGeneration={"type": "integer"})
    scale = {"specReplicasPath": ".spec.size.members", "statusReplicasPath": ".status.members"}
    version = {
        "name": "v1",
        "subresources": {"status": {}, "scale": scale},
        "schema": {"openAPIV3Schema": _object(spec=spec, status=status)},
    }
    return _definition("example.org", "Widget", "widgets", version)


def scaled_objects() -> Document:
    """Return the definition of KEDA's ScaledObject."""
    target = {**_object(name=_text(), apiVersion=_text(), kind=_text()), "required": ["name"]}
    trigger = {
        **_object(type=_text(), metadata={"type": "object", "additionalProperties": _text()}),
        "required": ["metadata", "type"],
    }
    spec = {
        **_object(
            scaleTargetRef=target,
            minReplicaCount={"type": "integer", "format": "int32"},
            maxReplicaCount={"type": "integer", "format": "int32"},
            triggers={"type": "array", "items": trigger},
        ),
        "required": ["scaleTargetRef", "triggers"],
    }
    status = _object(pausedReplicaCount={"type": "integer", "format": "int32"}, hpaName=_text())
    version = {
        "name": "v1alpha1",
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {**_object(spec=spec, status=status), "required": ["spec"]}},
    }
    return _definition("keda.sh", "ScaledObject", "scaledobjects", version)


def a_widget(name: str, members: int | None) -> Document:
    """Return a Widget."""
    size = {"colour": "red"} if members is None else {"colour": "red", "size": {"members": members}}
    return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": size}


def a_scaled_object(name: str, target: WorkloadReference, annotations: dict[str, str]) -> Document:
    """Return a ScaledObject. Of a Deployment it need not say the kind."""
    reference = {"name": target.name}
    if target.kind != "Deployment":
        reference |= {"kind": target.kind, "apiVersion": target.api_version or "apps/v1"}
    trigger = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *"}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"scaleTargetRef": reference, "triggers": [trigger]},
    }
