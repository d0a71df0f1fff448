"""A client of S3: addresses, regions, certificates, and whose credentials are used."""

import json
import ssl
import warnings
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from urllib3.exceptions import InsecureRequestWarning

from becalm_engine.errors import UsageError
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import AssumedRole, StorageOptions
from becalm_engine.storage.s3_errors import translated
from becalm_engine.storage.s3_models import Models

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONNECT_SECONDS = 30.0
"""How long a connection may take, and the sending of one piece."""
_DEFAULT_REGION = "us-east-1"
_DEFAULT_SESSION_NAME = "becalm"


def connect(
    location: S3Location, options: StorageOptions, models: Models, *, checked: bool = False
) -> "S3Client":
    """Return a client; nothing is contacted yet. What was `checked` by another process is not looked at again.

    It is botocore's own: what boto3 has beside it takes time to import, and nobody here uses it.

    Raises:
        UsageError: A certificate cannot be read, or an option makes no sense.
        StorageError: The user's AWS configuration makes no sense.
    """
    with translated("set up S3"):
        session = _session(location, options, models)
        if not checked:
            _check_certificates(session.get_config_variable("ca_bundle"), options.client_cert_file)
        if options.role and not options.anonymous:
            provider = _RoleProvider(session, options.role, options)
            session.register_component("credential_provider", CredentialResolver([provider]))
        try:
            client = session.create_client(
                "s3",
                endpoint_url=location.endpoint or None,
                verify=_verification(options),
                config=_config(location, options),
            )
            return cast("S3Client", client)
        except ValueError as error:
            raise UsageError(f"{location} cannot be used: {error}") from error


def region_of(client: "S3Client") -> str:
    """Return the region that requests are signed for."""
    return client.meta.region_name


def addressing(location: S3Location, options: StorageOptions) -> Literal["virtual", "path"]:
    """Return whether the bucket is named in the host or in the path."""
    if options.bucket_lookup == "auto":
        return "virtual" if location.has_bucket_host else "path"
    return "virtual" if options.bucket_lookup == "dns" else "path"


def _config(location: S3Location, options: StorageOptions) -> Config:
    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=options.stuck_seconds,
        max_pool_connections=options.connections + 2,
        # repeating is for RetryingStorage, which knows what may be repeated, and when to stop
        retries={"mode": "standard", "total_max_attempts": 1},
        s3={"addressing_style": addressing(location, options)},
        # newer checksums in every request are refused by many servers that are not AWS
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        client_cert=options.client_cert_file or None,
        signature_version=UNSIGNED if options.anonymous else None,
    )


def _verification(options: StorageOptions) -> Literal[False] | None:
    """Return False for no verification; the certificates to trust are a matter of the session."""
    if not options.insecure_tls:
        return None
    warnings.simplefilter("ignore", InsecureRequestWarning)  # whoever said --insecure-tls knows
    return False


def _session(location: S3Location, options: StorageOptions, models: Models) -> botocore.session.Session:
    """Return a session of our own: each process has one."""
    session = botocore.session.Session()
    session.register_component("data_loader", models)
    if options.ca_file:
        # for the services too that give out credentials
        session.set_config_variable("ca_bundle", options.ca_file)
    region = options.region or location.region or session.get_config_variable("region") or _DEFAULT_REGION
    session.set_config_variable("region", region)
    return session


def _check_certificates(ca_file: str | None, client_cert_file: str) -> None:
    """Look at the files early: what urllib3 says of them names neither the file nor the fault.

    Raises:
        UsageError: One is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca_file:
            file, flag = ca_file, "--cacert (or AWS_CA_BUNDLE)"
            context.load_verify_locations(ca_file)
        if client_cert_file:
            file, flag = client_cert_file, "--tls-client-cert"
            context.load_cert_chain(client_cert_file, password=_no_passphrase)
    except ssl.SSLError as error:
        raise UsageError(f"{flag} {file} holds no certificates, or not their key: {error.reason}") from error
    except OSError as error:
        raise UsageError(f"cannot read {flag} {file}: {error.strerror}") from error


def _no_passphrase() -> str:
    raise UsageError("the key of --tls-client-cert is encrypted; give one without a passphrase")


class _RoleProvider(CredentialProvider):
    """Takes on a role with the credentials that are found elsewhere, and again before it expires."""

    METHOD = CANONICAL_NAME = "becalm-assume-role"

    def __init__(self, session: botocore.session.Session, role: AssumedRole, options: StorageOptions) -> None:
        super().__init__(session)
        self._found = session.get_component("credential_provider")
        self._fetcher_of = partial(
            AssumeRoleCredentialFetcher,
            client_creator=partial(
                session.create_client,
                region_name=role.region or session.get_config_variable("region"),
                endpoint_url=role.sts_endpoint or None,
                verify=_verification(options),
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=options.stuck_seconds,
                    retries={"mode": "standard", "total_max_attempts": 1},
                    client_cert=options.client_cert_file or None,
                ),
            ),
            role_arn=role.arn,
            extra_args=_role_arguments(role),
        )

    def load(self) -> Credentials:
        """Return credentials of the role; the service is asked when they are first used."""
        source = self._found.load_credentials()
        if source is None:
            raise NoCredentialsError
        fetcher = self._fetcher_of(source_credentials=source)
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)


def _role_arguments(role: AssumedRole) -> dict[str, str]:
    arguments = {
        "RoleSessionName": role.session_name or _DEFAULT_SESSION_NAME,
        "ExternalId": role.external_id,
        "Policy": role.policy,
    }
    try:
        json.loads(role.policy or "{}")
    except ValueError:
        raise UsageError("RESTIC_AWS_ASSUME_ROLE_POLICY is not JSON") from None
    return {name: value for name, value in arguments.items() if value}
