import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine import contract
from becalm_engine.contract import (
    REPORT_BYTES,
    AccessReport,
    CaptureReport,
    CommitPlan,
    CommitReport,
    ExitCode,
    ForgetReport,
    InitReport,
    PlannedSnapshot,
    Problem,
    Report,
    RestoreReport,
)

texts = st.text(max_size=30)
counts = st.integers(0, 2**63)
problems = st.none() | st.builds(Problem, texts, texts, st.booleans())
heads: dict[str, Any] = {"exit_code": st.integers(0, 255), "error": problems}
reports: st.SearchStrategy[Report] = st.one_of(
    st.builds(AccessReport, **heads, repository_id=texts, version=counts),
    st.builds(InitReport, **heads, repository_id=texts),
    st.builds(
        CaptureReport,
        **heads,
        tree=texts,
        files_new=counts,
        files_changed=counts,
        bytes_added=counts,
        unreadable_count=counts,
        unreadable=st.lists(texts, max_size=5).map(tuple),
    ),
    st.builds(CommitReport, **heads, snapshots=st.lists(texts, max_size=3).map(tuple)),
    st.builds(
        RestoreReport, **heads, files_restored=counts, problems=st.dictionaries(texts, counts, max_size=3)
    ),
    st.builds(ForgetReport, **heads, kept=counts, removed=counts),
)
planned = st.builds(
    PlannedSnapshot,
    tree=texts,
    hostname=texts,
    paths=st.lists(texts, max_size=3).map(tuple),
    time=texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    parent=texts,
    summary=st.dictionaries(texts, counts, max_size=3),
)


@given(reports)
def test_a_report_reads_back_as_it_was(report: Report) -> None:
    read = type(report).from_json(report.to_json())

    assert read == report


def test_a_report_says_its_kind() -> None:
    document = json.loads(ForgetReport(kept=3).to_json())

    assert document == {"kind": "forget", "exit_code": 0, "error": None, "kept": 3, "removed": 0}


def test_fields_of_a_later_version_are_ignored() -> None:
    text = '{"kind":"init","exit_code":0,"error":null,"repository_id":"ab","colour":"blue"}'

    assert InitReport.from_json(text) == InitReport(repository_id="ab")


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "{}", '{"kind":"forget"}', "{", '{"kind":["init"]}'])
def test_what_is_no_report_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        InitReport.from_json(text)


def test_names_of_unreadable_files_are_cut_until_the_report_fits() -> None:
    names = tuple(f"/data/db/{number:060d}" for number in range(200))

    text = CaptureReport(unreadable_count=200, unreadable=names).to_json()

    read = CaptureReport.from_json(text)
    assert len(text.encode()) <= REPORT_BYTES
    assert read.unreadable_count == 200
    assert read.unreadable == names[: len(read.unreadable)]
    assert len(read.unreadable) > 40


def test_a_long_message_is_cut_from_its_end() -> None:
    error = Problem("StorageError", "cannot read " + "é" * 5000)

    text = InitReport(exit_code=1, error=error).to_json()

    assert len(text.encode()) <= REPORT_BYTES
    assert '"message":"cannot read ' in text


def test_a_report_with_nothing_left_to_cut_is_refused_rather_than_cut_for_ever() -> None:
    report = CommitReport(error=Problem("X", "y"), snapshots=tuple(f"{n:064x}" for n in range(200)))

    with pytest.raises(ValueError, match="nothing left to cut"):
        report.to_json()


@given(st.lists(planned, max_size=3).map(tuple))
def test_a_commit_plan_reads_back_as_it_was(entries: tuple[PlannedSnapshot, ...]) -> None:
    plan = CommitPlan(entries)

    assert CommitPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"snapshots":null}',
        '{"snapshots":[1]}',
        '{"snapshots":["a"]}',
        '{"snapshots":[{"tree":"ab"}]}',
        '{"snapshots":[{"tree":"ab","hostname":"h","paths":null,"time":"t"}]}',
        '{"snapshots":[{"tree":"ab","hostname":"h","paths":[],"time":"t","summary":[1]}]}',
    ],
)
def test_what_is_no_commit_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        CommitPlan.from_json(text)


def test_the_summary_of_a_capture_has_restic_s_fields() -> None:
    report = CaptureReport(
        files_new=1,
        files_changed=2,
        files_unmodified=4,
        bytes_processed=70,
        started_at="then",
        ended_at="now",
    )

    summary = contract.summary_of(report)

    assert list(summary) == [
        "backup_start", "backup_end", "files_new", "files_changed", "files_unmodified",
        "dirs_new", "dirs_changed", "dirs_unmodified", "data_blobs", "tree_blobs",
        "data_added", "data_added_packed", "total_files_processed", "total_bytes_processed",
    ]  # fmt: skip
    assert summary["total_files_processed"] == 7
    assert summary["total_bytes_processed"] == 70


def test_exit_codes_are_restic_s() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "ERROR": 1,
        "INCOMPLETE": 3,
        "NO_REPOSITORY": 10,
        "LOCKED": 11,
        "WRONG_PASSWORD": 12,
        "INTERRUPTED": 130,
    }


def test_a_commit_of_many_volumes_fits_by_naming_snapshots_shorter() -> None:
    many = tuple(f"{number:064x}"[::-1] for number in range(64))

    text = CommitReport(snapshots=many).to_json()

    assert len(text.encode()) <= REPORT_BYTES
    found = CommitReport.from_json(text).snapshots
    assert all(name.startswith(short) for name, short in zip(many, found, strict=True))
    assert min(len(short) for short in found) == 32
