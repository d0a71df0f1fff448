"""A listing that leaves out files must never pass for a whole one, nor an answer be longer than what was asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from becalm_engine.errors import StorageError, StorageUnavailableError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from becalm_engine.storage.s3_listing import LISTINGS, refuse_cut_short
from tests.engine.storage.http_server import Answer, Request, serving_http

NAME = "ab" * 32
PIECE_BYTES = 65536


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def _opened(url: str, **options: Any) -> S3Storage:
    return S3Storage(S3Location(url, "bucket", "a"), StorageOptions(**options))


def _listing(entry: str, *, truncated: str = "false", more: str = "") -> bytes:
    entries = f"<Contents>{entry}</Contents>" if entry else ""
    return (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{entries}</ListBucketResult>".encode()
    )


def _listed(page: bytes, **options: bool) -> list[str]:
    with serving_http(lambda _: Answer(200, page)) as server:
        return [stored.name for stored in _opened(server.url, **options).list(FileKind.KEY)]


ENTRY = f"<Key>a/keys/{NAME}</Key><Size>1</Size>"


def test_a_page_that_says_there_is_more_but_not_how_to_go_on_is_refused() -> None:
    with pytest.raises(StorageError, match=r"list-objects-v1=true") as refused:
        _listed(_listing(ENTRY, truncated="true"))

    assert not refused.value.retryable


def test_so_is_an_empty_page_of_the_older_listing() -> None:
    with pytest.raises(StorageError, match="how to go on"):
        _listed(_listing("", truncated="true"), list_objects_v1=True)


def test_what_is_no_listing_is_not_an_empty_one() -> None:
    with pytest.raises(StorageUnavailableError, match="no listing"):
        _listed(b"<html><body>sign in</body></html>")


def test_a_listing_without_anything_in_it_is_an_empty_one() -> None:
    assert _listed(_listing("")) == []
    assert _listed(b"<ListBucketResult><Name>bucket</Name></ListBucketResult>") == []


@pytest.mark.parametrize(
    "entry", [f"<Key>a/keys/{NAME}</Key>", f"{ENTRY}<LastModified>yesterday</LastModified>"]
)
def test_an_entry_that_makes_no_sense_is_an_error_of_the_storage(entry: str) -> None:
    with pytest.raises(StorageError, match="makes no sense"):
        _listed(_listing(entry))


@pytest.mark.parametrize("listing", LISTINGS)
def test_the_last_page_needs_no_way_on(listing: str) -> None:
    refuse_cut_short({"IsTruncated": False}, listing, "keys/")


def _chunked(pieces: int) -> Callable[[Request], Answer]:
    """Answer without a length, with pieces of 64 KiB."""
    piece = b"%x\r\n" % PIECE_BYTES + bytes(PIECE_BYTES) + b"\r\n"
    body = piece * pieces + b"0\r\n\r\n"
    return lambda _: Answer(200, body, {"transfer-encoding": "chunked"}, without_length=True)


def test_an_answer_without_a_length_is_read_as_far_as_a_file_may_be_long() -> None:
    with serving_http(_chunked(64)) as server, pytest.raises(StorageError, match="far beyond") as refused:
        _opened(server.url).load(FileKind.CONFIG, "")

    read = int(str(refused.value).split(" has ")[1].split()[0])
    assert read <= 1024 * 1024 + PIECE_BYTES


def test_an_answer_without_a_length_is_whole() -> None:
    with serving_http(_chunked(3)) as server:
        assert _opened(server.url).load(FileKind.CONFIG, "") == bytes(3 * PIECE_BYTES)
        assert _opened(server.url).load_range(FileKind.PACK, NAME, offset=0, length=3 * PIECE_BYTES) == bytes(
            3 * PIECE_BYTES
        )


def test_a_server_that_sends_the_whole_file_for_a_part_is_not_read_to_its_end() -> None:
    with (
        serving_http(_chunked(64)) as server,
        pytest.raises(StorageError, match=r"gave 65536 bytes or more where 100"),
    ):
        _opened(server.url).load_range(FileKind.PACK, NAME, offset=0, length=100)
