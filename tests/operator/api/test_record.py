"""The record on a stopped workload: what is read back is what was written, and its command undoes it."""

import json
import shlex
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.base import NAME_PATTERN, time_text
from becalm_operator.api.names import RECORD_ANNOTATION
from becalm_operator.api.record import Holder, Record, undo_command
from becalm_operator.api.switches import KEDA_PAUSE, REPLICAS, SUSPENSION, Form, Switch

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 63)
replicas = st.integers(1, 2**31 - 1)
times = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001  Hypothesis adds the zone
    datetime(2999, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
records = st.builds(
    Record,
    by=st.builds(Holder, kind=st.sampled_from(["Backup", "Restore"]), name=names, uid=st.uuids().map(str)),
    at=times,
    replicas=replicas,
    deadline=times,
    undo=st.text(st.characters(exclude_categories=["Cs"])),
    generation=st.none() | st.integers(1, 2**63 - 1),
)


@given(records)
def test_a_record_comes_back_from_its_annotation(record: Record) -> None:
    assert Record.model_validate_json(record.to_annotation()) == record


@given(records)
def test_an_annotation_can_be_read_by_anybody(record: Record) -> None:
    plain = json.loads(record.to_annotation())

    assert plain["by"] == {"kind": record.by.kind, "name": record.by.name, "uid": record.by.uid}
    assert plain["replicas"] == record.replicas
    assert plain["deadline"] == time_text(record.deadline)


@given(records, st.sampled_from(["by", "at", "replicas", "deadline"]))
def test_a_record_that_lost_a_part_is_refused(record: Record, lost: str) -> None:
    plain = json.loads(record.to_annotation())
    del plain[lost]

    with pytest.raises(ValidationError):
        Record.model_validate_json(json.dumps(plain))


SWITCHES = {
    WorkloadReference(kind="Deployment", name="x"): (REPLICAS, {"spec": {"replicas": 3}}),
    WorkloadReference(kind="StatefulSet", name="x"): (REPLICAS, {"spec": {"replicas": 3}}),
    WorkloadReference(kind="CronJob", name="x"): (SUSPENSION, {"spec": {"suspend": False}}),
    WorkloadReference(api_version="example.org/v1", kind="Widget", name="x"): (
        Switch(Form.COUNT, ("spec", "size", "members")),
        {"spec": {"size": {"members": 3}}},
    ),
    WorkloadReference(api_version="keda.sh/v1alpha1", kind="ScaledObject", name="x"): (KEDA_PAUSE, {}),
}


@given(names, names, replicas)
def test_the_command_restores_the_replicas_and_removes_the_record_in_one_update(
    namespace: str, name: str, count: int
) -> None:
    workload = WorkloadReference(kind="Deployment", name=name)

    *command, patch = shlex.split(undo_command(namespace, workload, REPLICAS, count))

    assert command == ["kubectl", "-n", namespace, "patch", "deployment", name, "--type", "merge", "-p"]
    assert json.loads(patch) == {
        "metadata": {"annotations": {RECORD_ANNOTATION: None}},
        "spec": {"replicas": count},
    }


@pytest.mark.parametrize("workload", SWITCHES, ids=str)
def test_the_command_of_any_kind_sets_its_own_field(workload: WorkloadReference) -> None:
    switch, spec = SWITCHES[workload]

    *command, patch = shlex.split(undo_command("shop", workload, switch, 3))

    assert command[4] == str(workload).partition("/")[0]
    changes = json.loads(patch)
    assert changes.pop("metadata")["annotations"].pop(RECORD_ANNOTATION, "kept") is None
    assert changes == spec


def test_a_record_of_an_older_version_is_read() -> None:
    text = (
        '{"by":{"kind":"Backup","name":"b","uid":"u"},"at":"2026-11-27T03:00:00Z","replicas":3,'
        '"deadline":"2026-11-27T03:30:00Z","undo":"kubectl"}'
    )

    record = Record.model_validate_json(text)

    assert record.generation is None
    assert record.to_annotation() == text


@pytest.mark.parametrize("count", [0, -1, 2**31])
@given(record=records)
def test_a_record_of_something_that_was_not_up_is_refused(record: Record, count: int) -> None:
    """Somebody has edited it. It is not believed: the workload would stay at a standstill."""
    plain = json.loads(record.to_annotation())

    with pytest.raises(ValidationError):
        Record.model_validate_json(json.dumps({**plain, "replicas": count}))
