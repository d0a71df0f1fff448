"""How movers reach a repository."""

from typing import Any

import pytest
from kubernetes.aio.client import V1EnvVar

from becalm_operator.api.limits import RepositoryLimits
from becalm_operator.manifests.access import PASSWORD_FILE, literal, repository_access
from tests.operator.manifests.examples import CLAIM, S3, a_repository


def environment(storage: dict[str, Any]) -> dict[str, V1EnvVar]:
    return {variable.name: variable for variable in repository_access(a_repository(storage)).environment}


@pytest.mark.parametrize(
    ("storage", "location"),
    [
        (S3, "s3:https://s3.example.org/backups/shop"),
        ({"s3": {"bucket": "backups"}}, "s3:https://s3.amazonaws.com/backups"),
        ({"s3": {"bucket": "backups", "endpoint": "http://minio:9000"}}, "s3:http://minio:9000/backups"),
        (CLAIM, "/repository/shop/main"),
        ({"persistentVolumeClaim": {"claimName": "backups"}}, "/repository"),
    ],
)
def test_the_location_is_as_restic_writes_it(storage: dict[str, Any], location: str) -> None:
    assert environment(storage)["RESTIC_REPOSITORY"].value == location


def test_the_password_is_a_file_of_a_secret() -> None:
    access = repository_access(a_repository())

    volume = next(volume for volume in access.volumes if volume.name == "password")
    assert volume.secret is not None
    assert volume.secret.secret_name == "main-password"
    (item,) = volume.secret.items or []
    assert (item.key, item.path) == ("secret-key", "password")
    mount = next(mount for mount in access.mounts if mount.name == "password")
    assert f"{mount.mount_path}/{item.path}" == PASSWORD_FILE
    assert mount.read_only


def test_credentials_come_from_their_secret_and_a_session_token_is_optional() -> None:
    sources = {
        name: variable.value_from for name, variable in environment(S3).items() if name.startswith("AWS_")
    }

    references = {name: source.secret_key_ref for name, source in sources.items() if source}
    assert {name: (ref.name, ref.key, ref.optional) for name, ref in references.items() if ref} == {
        "AWS_ACCESS_KEY_ID": ("s3-keys", "AWS_ACCESS_KEY_ID", False),
        "AWS_SECRET_ACCESS_KEY": ("s3-keys", "AWS_SECRET_ACCESS_KEY", False),
        "AWS_SESSION_TOKEN": ("s3-keys", "AWS_SESSION_TOKEN", True),
    }


def test_without_a_secret_the_store_knows_the_service_account() -> None:
    assert not [name for name in environment({"s3": {"bucket": "backups"}}) if name.startswith("AWS_")]


def test_certificates_come_from_their_secret() -> None:
    access = repository_access(a_repository())

    assert environment(S3)["RESTIC_CACERT"].value == "/etc/becalm/ca/ca.crt"
    volume = next(volume for volume in access.volumes if volume.name == "ca")
    assert volume.secret is not None
    assert [(item.key, item.path) for item in volume.secret.items or []] == [("bundle.pem", "ca.crt")]


def test_the_stores_options_are_flags() -> None:
    assert repository_access(a_repository()).flags == (
        "--option=s3.bucket-lookup=auto",
        "--option=s3.region=eu-1",
        "--option=s3.storage-class=COLD",
    )
    path = {"s3": {"bucket": "backups", "addressingStyle": "Path"}}
    assert repository_access(a_repository(path)).flags == ("--option=s3.bucket-lookup=path",)


def test_a_claim_is_mounted_where_the_location_says() -> None:
    access = repository_access(a_repository(CLAIM))

    volume = next(volume for volume in access.volumes if volume.name == "repository")
    assert volume.persistent_volume_claim is not None
    assert volume.persistent_volume_claim.claim_name == "backups"
    assert [m.mount_path for m in access.mounts if m.name == "repository"] == ["/repository"]
    assert access.flags == ()


def test_a_pod_refers_to_the_secrets_that_the_repository_names_and_to_no_others() -> None:
    def named(storage: dict[str, Any] | None = None) -> set[str | None]:
        access = repository_access(a_repository(storage))
        volumes = {volume.secret.secret_name for volume in access.volumes if volume.secret}
        sources = [variable.value_from for variable in access.environment if variable.value_from]
        return volumes | {source.secret_key_ref.name for source in sources if source.secret_key_ref}

    assert named() == {"main-password", "s3-keys", "ca"}
    assert named(CLAIM) == {"main-password"}


def test_a_text_with_dollars_is_handed_on_as_it_is() -> None:
    assert literal("$(AWS_SECRET_ACCESS_KEY) a$b $$") == "$$(AWS_SECRET_ACCESS_KEY) a$$b $$$$"


def test_a_prefix_cannot_spell_out_a_variable() -> None:
    tricky = {"s3": {"bucket": "backups", "prefix": "$(KUBERNETES_SERVICE_HOST)"}}

    assert environment(tricky)["RESTIC_REPOSITORY"].value == (
        "s3:https://s3.amazonaws.com/backups/$$(KUBERNETES_SERVICE_HOST)"
    )


def test_rates_are_handed_on_to_the_engine() -> None:
    spec = a_repository().model_copy(
        update={"limits": RepositoryLimits(upload_kib_per_second=512, download_kib_per_second=2048)}
    )

    flags = repository_access(spec).flags

    assert [flag for flag in flags if "limit" in flag] == ["--limit-upload=512", "--limit-download=2048"]
    assert not [flag for flag in repository_access(a_repository()).flags if "limit" in flag]
