"""What the Jobs look like, and what they must never hold."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import V1Job

from becalm_engine.contract import CommitPlan
from becalm_operator.api import names
from becalm_operator.api.identity import Identity
from becalm_operator.api.restore import TargetStatus
from becalm_operator.api.schedule import Retention
from becalm_operator.manifests import dumps, jobs
from becalm_operator.manifests.owned import Owner
from tests.operator.manifests.examples import (
    CLAIM,
    IMAGE,
    OWNER,
    PLAN,
    S3,
    a_mover_job,
    a_repository,
    a_restore,
    a_restore_job,
    all_jobs,
    command_of,
    container_of,
    labels_of,
    name_of,
    pod_of,
    template_of,
)
from tests.operator.manifests.test_names import NAMES, UIDS

EVERY_JOB = {
    f"{role} of {store}": job
    for store, storage in (("a bucket", S3), ("a claim", CLAIM))
    for role, job in all_jobs(repository=a_repository(storage)).items()
}
every_job = pytest.mark.parametrize("job", EVERY_JOB.values(), ids=EVERY_JOB)


# --- all Jobs


@every_job
def test_no_job_has_a_token_of_the_api(job: V1Job) -> None:
    pod = pod_of(job)

    assert pod.automount_service_account_token is False
    assert pod.enable_service_links is False
    assert not [volume for volume in pod.volumes or [] if volume.projected]


@every_job
def test_every_job_can_be_told_whose_locks_count_for_nothing(job: V1Job) -> None:
    before = command_of(job)

    told = jobs.breaking_locks(job, ["a-1", "b-2"])

    assert command_of(told) == [*before, "--gone-host=a-1", "--gone-host=b-2"]
    assert command_of(job) == before


@every_job
def test_every_job_is_tried_once_and_kept_for_a_day(job: V1Job) -> None:
    assert job.spec is not None
    assert (job.spec.backoff_limit, job.spec.completions, job.spec.parallelism) == (0, 1, 1)
    assert job.spec.ttl_seconds_after_finished == 24 * 3600
    assert pod_of(job).restart_policy == "Never"


@every_job
def test_every_job_may_as_little_as_it_can(job: V1Job) -> None:
    context, pod = container_of(job).security_context, pod_of(job)

    assert context is not None
    assert context.capabilities is not None
    assert (context.allow_privilege_escalation, context.read_only_root_filesystem) == (False, True)
    assert context.capabilities.drop == ["ALL"]
    assert not context.privileged
    assert not any((pod.host_network, pod.host_pid, pod.host_ipc))
    assert not [volume for volume in pod.volumes or [] if volume.host_path]
    assert pod.security_context is not None
    assert pod.security_context.seccomp_profile is not None
    assert pod.security_context.seccomp_profile.type == "RuntimeDefault"


@pytest.mark.parametrize(
    ("role", "capabilities"),
    [
        (jobs.ACCESS, None),
        (jobs.INIT, None),
        (dumps.DUMP, None),
        (jobs.COMMIT, None),
        (jobs.FORGET, None),
        (jobs.MOVER, ["DAC_READ_SEARCH"]),
        (
            jobs.RESTORE,
            ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP"],
        ),
    ],
)
def test_only_what_touches_files_has_capabilities(role: str, capabilities: list[str] | None) -> None:
    context = container_of(all_jobs()[role]).security_context

    assert context is not None
    assert context.capabilities is not None
    assert context.capabilities.add == capabilities


@every_job
def test_every_job_belongs_to_its_owner(job: V1Job) -> None:
    assert job.metadata is not None
    (reference,) = job.metadata.owner_references or []
    assert (reference.kind, reference.name, reference.uid) == ("Backup", "b", OWNER.uid)
    assert (reference.api_version, reference.controller) == (names.API_VERSION, True)
    assert job.metadata.namespace == "shop"
    assert (job.metadata.annotations or {})[names.OWNER_NAME_ANNOTATION] == "b"


@every_job
def test_a_job_and_its_pod_are_known_by_the_same_labels(job: V1Job) -> None:
    pod = template_of(job).metadata

    assert pod is not None
    assert labels_of(job).items() <= (pod.labels or {}).items()
    assert labels_of(job)[names.MANAGED_BY_LABEL] == "becalm"
    assert labels_of(job)[names.OWNER_UID_LABEL] == OWNER.uid


@every_job
def test_the_report_is_the_termination_message(job: V1Job) -> None:
    container = container_of(job)

    reports = [variable.value for variable in container.env or [] if variable.name == "BECALM_REPORT"]
    assert reports == [container.termination_message_path]
    assert container.termination_message_policy == "File"


@every_job
def test_a_read_only_root_has_a_place_for_temporary_files(job: V1Job) -> None:
    mounted = {mount.mount_path for mount in container_of(job).volume_mounts or [] if mount.name == "tmp"}
    homes = [variable.value for variable in container_of(job).env or [] if variable.name == "HOME"]

    assert mounted == {"/tmp"}
    assert homes == ["/tmp"]


@every_job
def test_every_mount_has_its_volume_and_every_volume_its_mount(job: V1Job) -> None:
    volumes = [volume.name for volume in pod_of(job).volumes or []]
    mounts = [mount.name for mount in container_of(job).volume_mounts or []]

    assert sorted(volumes) == sorted(mounts)
    assert len(set(volumes)) == len(volumes)
    paths = [mount.mount_path for mount in container_of(job).volume_mounts or []]
    assert len(set(paths)) == len(paths)


@every_job
def test_secrets_are_named_and_never_spelled_out(job: V1Job) -> None:
    for variable in container_of(job).env or []:
        if re.search("PASSWORD|KEY|TOKEN|SECRET", variable.name) and variable.name != "RESTIC_PASSWORD_FILE":
            assert variable.value is None
            assert variable.value_from is not None
            assert variable.value_from.secret_key_ref is not None
    mounted = [volume.secret for volume in pod_of(job).volumes or [] if volume.secret]
    assert all(secret.items for secret in mounted), "only the named keys"


@every_job
def test_a_job_can_be_written_as_json_and_read_again(job: V1Job) -> None:
    document = job.model_dump(mode="json", by_alias=True, exclude_none=True)

    again = V1Job.model_validate(json.loads(json.dumps(document)))

    assert again.model_dump(exclude_none=True) == job.model_dump(exclude_none=True)


# --- what each does


def test_the_commands_are_those_that_a_person_types() -> None:
    commands = {role: command_of(job) for role, job in all_jobs(repository=a_repository(CLAIM)).items()}

    assert commands == {
        "access": ["becalm", "cat", "config"],
        "init": ["becalm", "init"],
        "mover": ["becalm", "backup", "--capture", "--host=shop", "/data/data"],
        "dump": [
            "becalm",
            "backup",
            "--capture",
            "--host=shop",
            "--stdin-from-fifo=/run/becalm/dump/pipe",
            "--stdin-filename=/dumps/shop/shop.sql",
        ],
        "commit": ["becalm", "commit", "--plan=/run/becalm/plan.json"],
        "forget": [
            "becalm",
            "forget",
            "--host=shop",
            "--tag=schedule=nightly",
            "--group-by=host,paths",
            "--retry-lock=35m",
            "--keep-last=3",
        ],
        "preview": [
            "becalm",
            "restore",
            f"{'ab' * 32}:/data/data",
            "--target=/tmp/preview",
            "--exclude=*",
            "--dry-run",
        ],
        "restore": [
            "becalm",
            "restore",
            f"{'ab' * 32}:/data/data",
            "--target=/data/copy",
            "--sparse",
            "--allow-unset-metadata",
            "--delete",
            "--verify",
        ],
    }


def test_what_to_leave_out_is_handed_on() -> None:
    job = a_mover_job(paths={"exclude": ["*.tmp", "cache dir"], "excludeCaches": True})

    assert command_of(job)[4:7] == ["--exclude=*.tmp", "--exclude=cache dir", "--exclude-caches"]


def test_how_to_restore_is_handed_on() -> None:
    job = a_restore_job(paths={"include": ["/etc"]}, deleteExtra=False, verify=False)

    flags = [argument for argument in command_of(job) if argument.startswith("--")]
    assert flags[:2] == ["--target=/data/copy", "--include=/etc"]
    assert "--delete" not in flags
    assert "--verify" not in flags


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_pattern_arrives_as_it_was_written_and_cannot_spell_out_credentials(pattern: str) -> None:
    for job in (a_mover_job(paths={"exclude": [pattern]}), a_restore_job(paths={"include": [pattern]})):
        handed_on = [as_the_kubelet_hands_on(argument) for argument in command_of(job)]
        assert any(argument.split("=", 1)[-1] == pattern for argument in handed_on)


def as_the_kubelet_hands_on(text: str) -> str:
    """Expand `$(NAME)` as Kubernetes does, where every name is known and says SECRET."""
    parts = re.findall(r"\$\$|\$\([^)]*\)|[^$]+|\$", text, re.DOTALL)
    return "".join("$" if part == "$$" else "SECRET" if part.startswith("$(") else part for part in parts)


def test_a_backup_mounts_its_claim_read_only() -> None:
    job = a_mover_job(claim="data-db-0")

    (volume,) = [v for v in pod_of(job).volumes or [] if v.name == "data"]
    (mount,) = [m for m in container_of(job).volume_mounts or [] if m.name == "data"]
    assert volume.persistent_volume_claim is not None
    assert (volume.persistent_volume_claim.claim_name, volume.persistent_volume_claim.read_only) == (
        "data-db-0",
        True,
    )
    assert (mount.mount_path, mount.read_only) == ("/data/data-db-0", True)


def test_a_restore_writes_the_target_and_nothing_else() -> None:
    job = a_restore_job(claim="data", to="copy")

    claims = [v.persistent_volume_claim for v in pod_of(job).volumes or [] if v.persistent_volume_claim]
    assert [(claim.claim_name, claim.read_only) for claim in claims] == [("copy", None)]
    writable = [m.mount_path for m in container_of(job).volume_mounts or [] if not m.read_only]
    assert sorted(writable) == ["/data/copy", "/tmp"]


def test_a_mover_runs_where_its_volume_is() -> None:
    affinity = pod_of(a_mover_job(node="node-7")).affinity

    assert affinity is not None
    assert affinity.node_affinity is not None
    required = affinity.node_affinity.required_during_scheduling_ignored_during_execution
    assert required is not None
    (term,) = required.node_selector_terms
    assert [(f.key, f.operator, f.values) for f in term.match_fields or []] == [
        ("metadata.name", "In", ["node-7"])
    ]
    assert pod_of(a_mover_job(node="")).affinity is None
    assert pod_of(a_mover_job(node="node-7")).node_name is None  # the scheduler decides that it fits


def test_the_commit_reads_its_plan_from_an_annotation() -> None:
    job = all_jobs()[jobs.COMMIT]
    metadata = template_of(job).metadata
    assert metadata is not None

    assert CommitPlan.from_json((metadata.annotations or {})[names.COMMIT_ANNOTATION]) == PLAN
    (volume,) = [v for v in pod_of(job).volumes or [] if v.downward_api]
    assert volume.downward_api is not None
    (item,) = volume.downward_api.items or []
    assert item.field_ref is not None
    assert item.field_ref.field_path == f"metadata.annotations['{names.COMMIT_ANNOTATION}']"
    (mount,) = [m for m in container_of(job).volume_mounts or [] if m.name == volume.name]
    assert f"--plan={mount.mount_path}/{item.path}" in command_of(job)


def test_each_try_of_a_commit_is_a_job_of_its_own() -> None:
    tries = {name_of(jobs.commit_job(OWNER, a_repository(), IMAGE, plan=PLAN, attempt=n)) for n in (1, 2, 3)}

    assert len(tries) == 3


def test_every_kind_of_retention_is_a_flag() -> None:
    retention = Retention(
        keep_last=1,
        keep_hourly=2,
        keep_daily=3,
        keep_weekly=4,
        keep_monthly=5,
        keep_yearly=6,
        keep_within="1y6m",
    )

    assert jobs.retention_flags(retention) == [
        "--keep-last=1",
        "--keep-hourly=2",
        "--keep-daily=3",
        "--keep-weekly=4",
        "--keep-monthly=5",
        "--keep-yearly=6",
        "--keep-within=1y6m",
    ]


# --- what the repository says about movers


def test_what_the_repository_says_about_pods_is_done() -> None:
    spec = a_repository(
        S3,
        resources={"limits": {"memory": "1Gi"}},
        nodeSelector={"disk": "fast"},
        tolerations=[{"key": "backup", "operator": "Exists"}],
        serviceAccountName="mover",
        priorityClassName="low",
        podLabels={"team": "shop", names.OWNER_UID_LABEL: "forged"},
        podAnnotations={"sidecar.istio.io/inject": "false"},
    )

    job = all_jobs(repository=spec)[jobs.MOVER]

    pod, metadata = pod_of(job), template_of(job).metadata
    assert metadata is not None
    resources = container_of(job).resources
    assert resources is not None
    assert resources.limits == {"memory": "1Gi"}
    assert (pod.node_selector, pod.service_account_name, pod.priority_class_name) == (
        {"disk": "fast"},
        "mover",
        "low",
    )
    assert [(t.key, t.operator) for t in pod.tolerations or []] == [("backup", "Exists")]
    assert (metadata.labels or {})["team"] == "shop"
    assert (metadata.labels or {})[names.OWNER_UID_LABEL] == OWNER.uid
    assert (metadata.annotations or {})["sidecar.istio.io/inject"] == "false"


@pytest.mark.parametrize("role", [jobs.ACCESS, jobs.INIT, jobs.COMMIT, jobs.FORGET, dumps.DUMP])
def test_what_touches_no_volume_is_nobody_unless_the_repository_lies_on_a_claim(role: str) -> None:
    users = [container_of(all_jobs(repository=a_repository(storage))[role]) for storage in (S3, CLAIM)]

    contexts = [container.security_context for container in users]
    assert [(c.run_as_user, c.run_as_non_root) for c in contexts if c is not None] == [
        (65532, True),
        (0, False),
    ]


def test_a_mover_may_run_as_the_workload_does() -> None:
    identity = Identity(
        run_as_user=1000,
        run_as_group=2000,
        fs_group=3000,
        supplemental_groups=(4,),
        se_linux_options={"level": "s0"},
    )
    target = TargetStatus(claim="data", to="data", snapshot_id="ab" * 32, identity=identity)
    restored = jobs.restore_job(OWNER, a_repository(), IMAGE, restore=a_restore(), target=target)

    for job in (a_mover_job(identity=identity), restored):
        context, pod = container_of(job).security_context, pod_of(job).security_context
        assert context is not None
        assert context.capabilities is not None
        assert pod is not None
        assert pod.se_linux_options is not None
        assert pod.seccomp_profile is not None
        assert (context.run_as_user, context.run_as_group, context.run_as_non_root) == (1000, 2000, True)
        assert (context.capabilities.drop, context.capabilities.add) == (["ALL"], None)
        assert (pod.fs_group, pod.supplemental_groups, pod.se_linux_options.level) == (3000, [4], "s0")
        assert (pod.fs_group_change_policy, pod.seccomp_profile.type) == ("OnRootMismatch", "RuntimeDefault")


def test_a_security_context_replaces_ours_whole() -> None:
    own: dict[str, Any] = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }

    context = container_of(
        all_jobs(repository=a_repository(S3, securityContext=own))[jobs.MOVER]
    ).security_context

    assert context is not None
    assert context.model_dump(mode="json", by_alias=True, exclude_none=True) == own


# --- any owner

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@given(NAMES, UIDS, st.sampled_from(["Backup", "Restore", "BackupRepository"]))
def test_whatever_the_owner_is_called_the_api_server_takes_names_and_labels(
    name: str, uid: str, kind: str
) -> None:
    for job in all_jobs(Owner(kind, name, "shop", uid)).values():
        metadata = template_of(job).metadata
        assert metadata is not None
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name_of(job))
        for value in {**labels_of(job), **(metadata.labels or {})}.values():
            assert _LABEL_VALUE.fullmatch(value)


@given(NAMES, NAMES)
def test_two_claims_of_one_run_never_share_a_job(one: str, other: str) -> None:
    assert (name_of(a_mover_job(claim=one)) == name_of(a_mover_job(claim=other))) == (one == other)
