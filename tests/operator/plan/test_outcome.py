"""What a Job's end means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport, ExitCode, Problem
from becalm_operator.api.conditions import Reason
from becalm_operator.plan.outcome import cannot_start, failure_of, missing_secret, report_of
from becalm_operator.plan.world import JobState
from tests.operator.plan.worlds import NOW, later


def a_job(**fields: Any) -> JobState:
    return JobState("mover", NOW, **fields)


def reported(**fields: Any) -> str:
    return CaptureReport(**fields).to_json()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ExitCode.NO_REPOSITORY, Reason.REPOSITORY_MISSING),
        (ExitCode.WRONG_PASSWORD, Reason.WRONG_PASSWORD),
        (ExitCode.LOCKED, Reason.REPOSITORY_LOCKED),
        (ExitCode.INCOMPLETE, Reason.FILES_UNREADABLE),
        (ExitCode.ERROR, Reason.MOVER_FAILED),
        (ExitCode.INTERRUPTED, Reason.MOVER_FAILED),
        (137, Reason.MOVER_FAILED),
        (None, Reason.MOVER_FAILED),
    ],
)
def test_an_exit_code_is_a_reason(code: int | None, reason: Reason) -> None:
    assert failure_of(a_job(failed=True, exit_code=code), CaptureReport, Reason.MOVER_FAILED).reason is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("StorageUnavailable", Reason.STORAGE_UNAVAILABLE),
        ("StorageDenied", Reason.STORAGE_DENIED),
        ("Damaged", Reason.REPOSITORY_DAMAGED),
        ("Anything", Reason.MOVER_FAILED),
    ],
)
def test_a_reported_error_is_a_reason_and_a_message(error: str, reason: Reason) -> None:
    job = a_job(failed=True, exit_code=1, report=reported(exit_code=1, error=Problem(error, "so it was")))

    failure = failure_of(job, CaptureReport, Reason.MOVER_FAILED)

    assert (failure.reason, failure.message) == (reason, "so it was")


def test_without_a_report_the_exit_code_and_the_logs_are_named() -> None:
    failure = failure_of(a_job(failed=True, exit_code=137), CaptureReport, Reason.MOVER_FAILED)

    assert failure.message == (
        "Job mover ended with exit code 137: it was killed, for it used more than its memory limit or by somebody; "
        "see `kubectl logs job/mover`"
    )


def test_without_anything_it_was_killed_or_evicted() -> None:
    assert "killed, or evicted" in failure_of(a_job(failed=True), CaptureReport, Reason.MOVER_FAILED).message


@pytest.mark.parametrize("code", [None, 137, ExitCode.INTERRUPTED])
def test_a_job_that_took_too_long_says_so(code: int | None) -> None:
    failure = failure_of(a_job(failed=True, overdue=True, exit_code=code), CaptureReport, Reason.MOVER_FAILED)

    assert "Job mover took longer than its activeDeadlineSeconds" in failure.message


def test_what_never_started_says_so() -> None:
    failure = failure_of(a_job(failed=True, stuck="FailedMount: x"), CaptureReport, Reason.MOVER_FAILED)

    assert (failure.reason, failure.message) == (Reason.MOVER_NOT_STARTED, "FailedMount: x")


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"x"', "{", '{"kind":"commit"}', "\x00"])
def test_what_is_no_report_of_the_kind_is_none(text: str) -> None:
    assert report_of(a_job(report=text), CaptureReport) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
FIELDS = st.dictionaries(
    st.sampled_from(["exit_code", "tree", "x", "unreadable", "error", "unreadable_count"]), JSON, max_size=4
)


@given(FIELDS, st.integers() | st.none())
def test_no_report_whatsoever_makes_judging_fail(fields: dict[str, object], code: int | None) -> None:
    text = json.dumps({"kind": "capture", **fields})

    assert failure_of(
        a_job(failed=True, exit_code=code, report=text), CaptureReport, Reason.MOVER_FAILED
    ).message


@given(st.text())
def test_no_termination_message_whatsoever_makes_reading_fail(text: str) -> None:
    report_of(a_job(report=text), CaptureReport)


def test_a_pod_may_take_five_minutes_to_start() -> None:
    job = a_job(stuck="Unschedulable: 0/3 nodes")

    assert cannot_start(job, later(minutes=5)) is None
    late = cannot_start(job, later(minutes=5, seconds=1))
    assert late is not None
    assert late.reason is Reason.MOVER_NOT_STARTED
    assert "0/3 nodes" in late.message


def test_what_is_not_stuck_or_has_ended_counts_as_started() -> None:
    assert cannot_start(a_job(active=True), later(hours=5)) is None
    assert cannot_start(a_job(failed=True, stuck="x"), later(hours=5)) is None


@pytest.mark.parametrize(
    ("stuck", "told"),
    [
        (
            'FailedMount: MountVolume.SetUp failed for volume "password" : secret "main-password" not found',
            "Secret main-password does not exist: make it",
        ),
        ('CreateContainerConfigError: secret "s3" not found', "Secret s3 does not exist: make it"),
        (
            "CreateContainerConfigError: couldn't find key AWS_ACCESS_KEY_ID in Secret shop/s3",
            "Secret s3 has no key AWS_ACCESS_KEY_ID: add it",
        ),
        (
            "FailedMount: references non-existent secret key: password",
            "a Secret has no key password: add it",
        ),
    ],
)
def test_a_missing_secret_is_named_and_what_to_do(stuck: str, told: str) -> None:
    missing = missing_secret(a_job(stuck=stuck))

    assert missing is not None
    assert missing.reason is Reason.SECRET_NOT_FOUND
    assert missing.message.startswith(told)
    assert stuck in missing.message


def test_other_troubles_are_no_missing_secret() -> None:
    assert missing_secret(a_job(stuck="FailedMount: timed out")) is None
    assert missing_secret(a_job(failed=True, stuck='secret "x" not found')) is None
