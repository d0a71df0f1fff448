"""The page of metrics: what the operator shows to Prometheus. Pure: the catalogue in, Markdown out."""

from becalm_operator.handlers.metrics import BUILD, COUNTERS, GAUGES, HISTOGRAMS, Told

_HEAD = """# Metrics

The operator shows metrics on port 8081 (`metrics.port` of the chart) at `/metrics`, beside those of its process. The
chart makes a Service, and on request a ServiceMonitor, alerts (PrometheusRule) and a dashboard for Grafana:
`metrics.serviceMonitor.enabled`, `metrics.rules.enabled`, `metrics.dashboard.enabled`. This page is generated from the
operator.

Labels are namespaces and the names of schedules and repositories; none names a run, a claim or a workload, whose
numbers have no bound. The `namespace` is that of the objects, so a scrape needs `honor_labels`. An empty `schedule`
stands for runs that were made by hand. What is counted begins at 0 with each start of the operator; gauges are right
again within seconds.
"""
_ALERTS = """
## Alerts

`BecalmOperatorDown` and `BecalmLeaseNotHeld` look for metrics with the labels `namespace` and `service` of the
release's own Service. The chart's ServiceMonitor adds them; if something else scrapes the operator, it has to add them,
too. The other alerts look at the metrics of all releases: with several of them, Alertmanager shows each alert once.

| alert | when | what to do |
|---|---|---|
| `BecalmOperatorDown` | no metrics of it for ten minutes | see its pod; the watchdog starts what is held down |
| `BecalmLeaseNotHeld` | it runs, but has not held the Lease for five minutes | its log: who has it, or why not |
| `BecalmWorkloadHeldBeyondDeadline` | a workload is down three minutes after its deadline | [start it](operations.md) |
| `BecalmNoRecentBackup` | `noSuccessHours` after one was due none has succeeded | `kubectl get backups` |
| `BecalmBackupFailed` | the newest Backup of a schedule failed | [by reason](operations.md#a-reason-and-what-to-do) |
| `BecalmBackupSuspect` | a volume has lost much since the Backup before | look at it; the condition `Suspect` |
| `BecalmRetentionFailed` | retention was not applied, and not for a doubt | read the condition `RetentionFailed` |
| `BecalmDowntimeOverForecast` | `downtimeFactor` times the forecast, and a bit | read `status.downtimeParts` |
| `BecalmRepositoryNotReady` | it cannot be opened for a quarter of an hour | read its condition `Ready` |
"""


def page() -> str:
    """Return the page as Markdown."""
    every = sorted((*GAUGES, *COUNTERS, *HISTOGRAMS, BUILD), key=lambda told: told.name)
    head = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    return "\n".join([_HEAD, *head, *map(_row, every), _ALERTS])


def _row(told: Told) -> str:
    labels = ", ".join(f"`{label}`" for label in told.labels)
    return f"| `{told.name}` | {told.type} | {labels} | {told.help} |"
