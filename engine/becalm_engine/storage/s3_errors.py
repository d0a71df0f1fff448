"""What botocore raises, as errors of ours. Messages name keys, hosts and codes, never credentials."""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from becalm_engine.errors import (
    ObjectMissingError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)

EXISTS = frozenset(("PreconditionFailed", "412"))
NO_CONDITIONS = frozenset(("NotImplemented", "501"))

_MISSING = frozenset(("NoSuchKey", "NoSuchBucket", "404", "NotFound"))
_DENIED = frozenset(
    (
        "AccessDenied",
        "AllAccessDisabled",
        "403",
        "Forbidden",
        "AccountProblem",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestTimeTooSkewed",  # signing anew does not set a clock right
        "ObjectLocked",  # MinIO's word for retention
        "XAdminUserNotFound",  # versitygw's word for an unknown access key
    )
)
_FULL = frozenset(("QuotaExceeded", "XMinioStorageFull", "EntityTooLarge"))
_BUSY = frozenset(
    (
        "SlowDown",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "ConditionalRequestConflict",  # somebody writes the same key just now
        "OperationAborted",
        "BadDigest",  # changed on its way
        "XAmzContentSHA256Mismatch",  # the same, seen by the signature
        "IncompleteBody",
    )
)
_DENIED_STATUS = frozenset((401, 403, 407))
"""A proxy on the way has no words of S3."""

_BUSY_STATUS = frozenset((408, 425, 429))
_NEVER_STATUS = frozenset((501, 505))
"""The server does not know the request, and will not learn it."""

_PAGE = "BecalmPage"
"""A mark at an answer that the client has parsed: of the body nothing else is left there."""

_BROKEN_OFF = ("UNEXPECTED_EOF", "EOF occurred", "timed out")


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours; the message says what was tried."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, what) from error
    except (SSLError, ssl.SSLError) as error:
        raise _from_tls(error, what) from error
    except HTTPClientError as error:
        raise _from_client(error, what) from None
    except (BotoConnectionError, IncompleteReadError, ConnectionError, TimeoutError) as error:
        raise StorageUnavailableError(f"cannot {what}: {error}") from error
    except ResponseParserError as error:
        raise StorageUnavailableError(f"cannot {what}: the answer is not whole") from error
    except RecursionError:  # botocore asks for the bucket's region, is sent elsewhere again, and so on
        raise StorageError(
            f"cannot {what}: the server sends elsewhere without a word; is it http:// or https://?"
        ) from None
    except BotoCoreError as error:
        raise _from_setting(error, what) from None
    except (KeyError, TypeError, ValueError) as error:  # a date that is none, an entry without its size
        raise StorageError(
            f"cannot {what}: the answer makes no sense ({type(error).__name__}: {error})"
        ) from error


def note_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Mark a 404 that says something, but not in S3's words: whoever said it does not know what is stored.

    The client makes the same `404` of it as of one without a body, which is all that HEAD and some servers have to say.
    """
    body = response_dict["body"]
    if response_dict["status_code"] == 404 and body.strip() and b"<Error" not in body:
        customized_response_dict[_PAGE] = True


def code_of(error: ClientError) -> str:
    """Return S3's word for an error, or the status where there is no word."""
    return str(error.response.get("Error", {}).get("Code", ""))


def wants_md5(error: ClientError) -> bool:
    """Return whether a bucket with Object Lock has refused what came without a checksum.

    There is no code for it: AWS says `InvalidRequest` for this and more, others have codes of their own.
    """
    message = f"{code_of(error)} {error.response.get('Error', {}).get('Message', '')}".lower()
    return "md5" in message and code_of(error) not in _BUSY


def _from_answer(error: ClientError, what: str) -> StorageError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = error.response.get("Error", {}).get("Message", "")
    text = f"cannot {what}: {code or status} {message}".rstrip()
    if error.operation_name.startswith("AssumeRole"):
        text = f"cannot {what}: the role could not be assumed: {code or status} {message}".rstrip()
        return StorageUnavailableError(text) if status >= 500 else StorageDeniedError(text)
    if _PAGE in error.response:
        return StorageUnavailableError(f"{text}; these are no words of S3: has a proxy on the way lost it?")
    return _kind(code, status)(text)


def _kind(code: str, status: int) -> type[StorageError]:
    if code in _MISSING:
        return ObjectMissingError
    if code in _DENIED:
        return StorageDeniedError
    if code in _FULL or status == 507:
        return StorageFullError
    if status in _NEVER_STATUS:
        return StorageError
    if code in _BUSY or status >= 500 or status in _BUSY_STATUS:
        return StorageUnavailableError
    return StorageDeniedError if status in _DENIED_STATUS else StorageError


def _from_tls(error: Exception, what: str) -> StorageError:
    text = f"cannot {what}: {error}"
    if any(word in str(error) for word in _BROKEN_OFF):
        return StorageUnavailableError(text)
    if "WRONG_VERSION_NUMBER" in str(error):
        return StorageError(f"{text}; does the server speak http:// there?")
    if "alert" in str(error):
        return StorageError(f"{text}; the server wants another certificate: is --tls-client-cert right?")
    return StorageError(f"{text}; is --cacert right?")


def _from_client(error: HTTPClientError, what: str) -> StorageError:
    """A request that could not even be sent shows its headers in its message, and a token may be one."""
    inner = error.kwargs.get("error")
    if isinstance(inner, StorageUnavailableError):  # a body that was broken off
        return StorageUnavailableError(f"cannot {what}: {inner}")
    if isinstance(inner, ValueError) and "header" not in str(inner):
        return StorageError(f"cannot {what}: the server's address is none that can be looked up")
    if isinstance(inner, ValueError):
        return StorageDeniedError(
            f"cannot {what}: the credentials hold a character that no request may hold, such as a line break"
        )
    return StorageUnavailableError(f"cannot {what}: {error}")


def _from_setting(error: BotoCoreError, what: str) -> StorageError:
    """What went wrong before anything was sent: credentials, mostly."""
    if isinstance(error, NoCredentialsError):
        return StorageDeniedError(f"cannot {what}: no S3 credentials found (AWS_ACCESS_KEY_ID …)")
    if isinstance(error, PartialCredentialsError):
        return StorageDeniedError(f"cannot {what}: {error}")
    if isinstance(error, (CredentialRetrievalError, MetadataRetrievalError, TokenRetrievalError)):
        # These repeat what a program or a service said, which may be half of a secret.
        name = error.kwargs.get("provider") or type(error).__name__
        return StorageDeniedError(f"cannot {what}: what gives out the credentials failed ({name})")
    return StorageError(f"cannot {what}: {error}")
