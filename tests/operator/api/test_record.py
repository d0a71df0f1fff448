"""The record on a stopped workload: what is read back is what was written, and its command undoes it."""

import json
import shlex
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from becalm_operator.api.base import NAME_PATTERN, time_text
from becalm_operator.api.names import RECORD_ANNOTATION
from becalm_operator.api.record import Holder, Record, undo_command

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 63)
replicas = st.integers(0, 2**31 - 1)
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


@given(st.sampled_from(["Deployment", "StatefulSet"]), names, names, replicas)
def test_the_command_restores_the_replicas_and_removes_the_record_in_one_update(
    kind: str, namespace: str, name: str, count: int
) -> None:
    words = shlex.split(undo_command(kind, namespace, name, count))

    *command, patch = words
    assert command == ["kubectl", "-n", namespace, "patch", kind.lower(), name, "--type", "merge", "-p"]
    assert json.loads(patch) == {
        "metadata": {"annotations": {RECORD_ANNOTATION: None}},
        "spec": {"replicas": count},
    }
