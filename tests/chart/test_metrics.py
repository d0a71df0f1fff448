"""What the chart makes for Prometheus and Grafana speaks of metrics that there are."""

import json
import re
from typing import Any

from becalm_operator.handlers.metrics import BUILD, COUNTERS, GAUGES, HISTOGRAMS
from tests.chart.conftest import ROOT, Document, Render, of_kind

ALL = (
    "metrics.serviceMonitor.enabled=true",
    "metrics.rules.enabled=true",
    "metrics.dashboard.enabled=true",
)
_NAMES = re.compile(r"becalm_[a-z_]+")
_LABELS = re.compile(r"\$labels\.([a-z]+)")
_SHOWN = {told.name: told for told in (*GAUGES, *COUNTERS, BUILD)} | {
    f"{told.name}_{part}": told for told in HISTOGRAMS for part in ("bucket", "count", "sum")
}


def rules(documents: list[Document]) -> list[dict[str, Any]]:
    (made,) = of_kind(documents, "PrometheusRule")
    return [rule for group in made["spec"]["groups"] for rule in group["rules"]]


def dashboard(documents: list[Document]) -> dict[str, Any]:
    (made,) = of_kind(documents, "ConfigMap")
    shown: dict[str, Any] = json.loads(made["data"]["becalm.json"])
    return shown


def test_alerts_ask_for_metrics_and_labels_that_there_are(render: Render) -> None:
    for rule in rules(render(*ALL)):
        asked = [_SHOWN[name] for name in _NAMES.findall(rule["expr"])]
        assert asked, rule
        told = set(_LABELS.findall(str(rule["annotations"])))
        assert all(told <= set(metric.labels) for metric in asked), rule
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} == set(rule["annotations"])


def test_an_operator_that_is_down_is_seen_beside_another_release_that_is_at_work(render: Render) -> None:
    asked = [
        _down(render(*ALL, release=release, namespace=namespace))
        for release, namespace in (("becalm", "becalm"), ("becalm", "office"), ("other", "becalm"))
    ]

    assert asked == [
        {"namespace": "becalm", "service": "becalm-metrics"},
        {"namespace": "office", "service": "becalm-metrics"},
        {"namespace": "becalm", "service": "other-becalm-metrics"},
    ]


def _down(documents: list[Document]) -> dict[str, str]:
    """Return the labels by which the alert looks for an operator, which are those of its Service."""
    (rule,) = [one for one in rules(documents) if one["alert"] == "BecalmOperatorDown"]
    asked = re.fullmatch(r"absent\(becalm_build_info\{(.*)\}\)", rule["expr"])
    assert asked
    labels = dict(re.findall(r'(\w+)="([^"]*)"', asked[1]))
    (service,) = of_kind(documents, "Service")
    assert labels == {"namespace": service["metadata"]["namespace"], "service": service["metadata"]["name"]}
    assert labels["namespace"] in rule["annotations"]["summary"]
    return labels


def test_limits_of_alerts_are_those_of_the_values(render: Render) -> None:
    made = rules(render(*ALL, "metrics.rules.noSuccessHours=1000000", "metrics.rules.downtimeFactor=3"))
    by_name = {rule["alert"]: rule["expr"] for rule in made}

    assert "due_timestamp_seconds > 1000000 * 3600" in by_name["BecalmNoRecentBackup"]
    assert "> 3 * becalm" in by_name["BecalmDowntimeOverForecast"]


def test_every_alert_is_explained(render: Render) -> None:
    docs = (ROOT / "docs" / "metrics.md").read_text()
    named = {rule["alert"] for rule in rules(render(*ALL))}

    assert set(re.findall(r"`(Becalm[A-Za-z]+)`", docs)) == named


def test_the_dashboard_asks_for_metrics_that_there_are(render: Render) -> None:
    shown = dashboard(render(*ALL))
    asked = [target["expr"] for panel in shown["panels"] for target in panel["targets"]]

    assert any("downtime" in expression for expression in asked)
    for expression in (*asked, *(one["query"] for one in shown["templating"]["list"])):
        assert set(_NAMES.findall(expression)) <= set(_SHOWN), expression
    ids = [panel["id"] for panel in shown["panels"]]
    assert len(ids) == len(set(ids))


def test_what_scrapes_finds_the_port(render: Render) -> None:
    documents = render(*ALL, "metrics.port=9999")

    (deployment,) = of_kind(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": 9999} in container["ports"]
    assert {"name": "BECALM_METRICS_PORT", "value": "9999"} in container["env"]
    (service,) = of_kind(documents, "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 9999, "targetPort": "metrics"}]
    (monitor,) = of_kind(documents, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["honorLabels"]) == ("metrics", True)


def test_labels_can_be_added_for_those_who_look_for_them(render: Render) -> None:
    documents = render(
        *ALL, "metrics.serviceMonitor.labels.release=stack", "metrics.rules.labels.release=stack"
    )

    for kind in ("ServiceMonitor", "PrometheusRule"):
        (made,) = of_kind(documents, kind)
        assert made["metadata"]["labels"]["release"] == "stack"
    (made,) = of_kind(documents, "ConfigMap")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_without_metrics_nothing_of_them_is_left(render: Render) -> None:
    documents = render("metrics.enabled=false", *ALL)

    for kind in ("Service", "ServiceMonitor", "PrometheusRule", "ConfigMap"):
        assert of_kind(documents, kind) == []
    (deployment,) = of_kind(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["health"]
    assert {"name": "BECALM_METRICS_PORT", "value": "0"} in container["env"]
