"""What the soak reads off the operator and the API server."""

from e2e.soak.gauges import Reading, calls, calls_per_backup, memory_mib

METRICS = """# TYPE apiserver_flowcontrol_dispatched_requests_total counter
apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"} 900
apiserver_flowcontrol_dispatched_requests_total{flow_schema="service-accounts",priority_level="workload-low"} 1.2e+03
apiserver_flowcontrol_dispatched_requests_total{flow_schema="system-nodes",priority_level="system"} 7
"""


def test_memory_is_the_resident_one() -> None:
    assert memory_mib("VmPeak:\t  400000 kB\nVmRSS:\t  102400 kB\n") == 100.0


def test_calls_are_those_of_service_accounts() -> None:
    assert calls(METRICS) == 1200


def test_calls_are_told_for_each_backup_that_ended() -> None:
    first = Reading(seconds=0, ended=10, kills=3, memory_mib=90, calls=1000)
    last = Reading(seconds=60, ended=30, kills=3, memory_mib=90, calls=1800)

    assert calls_per_backup(first, last) == 40.0
    assert calls_per_backup(first, first) == 0.0
