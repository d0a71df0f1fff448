"""Names of Jobs are valid and as unique as what they are made for."""

import re

from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.base import NAME_PATTERN
from becalm_operator.manifests.names import job_name

NAMES = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 253)
UIDS = st.uuids().map(str)
ROLES = st.sampled_from(["access", "init", "mover", "commit", "forget", "restore"])
PARTS = st.one_of(st.just(""), st.just("2"), NAMES)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@given(NAMES, UIDS, ROLES, PARTS)
def test_any_name_of_an_owner_gives_a_valid_dns_label(owner: str, uid: str, role: str, part: str) -> None:
    name = job_name(owner, uid, role, part)

    assert _LABEL.fullmatch(name)


@given(st.integers(40, 253), UIDS, NAMES)
def test_long_names_are_cut_and_not_their_digest(length: int, uid: str, claim: str) -> None:
    name = job_name("a" * length, uid, "mover", claim)

    assert len(name) <= 63
    assert re.search(r"-[0-9a-f]{8}$", name)


def test_the_same_is_the_same_whoever_asks() -> None:
    # the operator that takes a run over finds its Jobs by these names
    uid = "0b5f1f0e-7c0e-4a53-9d0a-0d5c1f6a7b11"

    assert job_name("nightly-1", uid, "mover", "data-db-0") == "nightly-1-mover-data-db-0-d075be1f"
    assert job_name("nightly-1", uid, "commit") == "nightly-1-commit-c010b086"
    assert job_name("a" * 60, uid, "mover", "data") == "a" * 54 + "-1a8c2d96"


@given(NAMES, UIDS, NAMES, NAMES)
def test_two_claims_never_share_a_job(owner: str, uid: str, one: str, other: str) -> None:
    same = job_name(owner, uid, "mover", one) == job_name(owner, uid, "mover", other)

    assert same == (one == other)


@given(NAMES, UIDS, UIDS, ROLES)
def test_two_runs_of_one_name_never_share_a_job(owner: str, one: str, other: str, role: str) -> None:
    assert (job_name(owner, one, role) == job_name(owner, other, role)) == (one == other)


def test_claims_that_differ_only_where_the_readable_part_is_cut_or_mended_have_different_jobs() -> None:
    uid = "0b5f1f0e-7c0e-4a53-9d0a-0d5c1f6a7b11"
    claims = ["a.b", "a-b", "x" * 100 + "1", "x" * 100 + "2"]

    assert len({job_name("b", uid, "mover", claim) for claim in claims}) == len(claims)


def test_a_name_can_be_read() -> None:
    assert job_name("nightly-1", "uid", "mover", "data-db-0").startswith("nightly-1-mover-data-db-0-")
