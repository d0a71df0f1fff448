"""What documents say about snapshots, and what is made of an API server that has none or lets nobody make them."""

from typing import Any

import pytest
from kubernetes.aio.client import (
    ApiClient,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    V1SubjectAccessReviewStatus,
)

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.quantity import size_bytes
from becalm_operator.cluster.snapshot_views import class_view, taken_view
from becalm_operator.cluster.snapshots import VolumeSnapshots
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError, UnavailableError
from becalm_operator.plan.steps import DeleteSnapshot
from tests.operator.cluster.lab import a_backup

_DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"


@pytest.mark.parametrize(
    ("text", "size"), [("10Gi", 10 << 30), ("1500M", 1_500_000_000), ("0", 0), ("4096", 4096), ("much", 0)]
)
def test_sizes_are_read_as_kubernetes_writes_them(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    ("mark", "default"), [({_DEFAULT: "true"}, True), ({_DEFAULT: "false"}, False), (None, False)]
)
@pytest.mark.parametrize(("policy", "retains"), [("Delete", False), ("Retain", True)])
def test_a_class_tells_its_driver_and_what_stays(
    *, mark: dict[str, str] | None, default: bool, policy: str, retains: bool
) -> None:
    metadata: dict[str, Any] = {"name": "csi"} | ({"annotations": mark} if mark else {})

    seen = class_view({"metadata": metadata, "driver": "d", "deletionPolicy": policy})

    assert (seen.name, seen.driver, seen.default, seen.retains) == ("csi", "d", default, retains)


def a_document(status: dict[str, Any] | None, **metadata: Any) -> Document:
    made = {"name": "s", "creationTimestamp": "2026-11-27T03:00:00Z", **metadata}
    return {"metadata": made} | ({"status": status} if status is not None else {})


@pytest.mark.parametrize(
    ("document", "ready", "error", "size"),
    [
        (a_document(None), False, "", 0),
        (a_document({"readyToUse": False, "creationTime": "2026-11-27T03:00:01Z"}), False, "", 0),
        (a_document({"readyToUse": True, "restoreSize": "1Gi"}), True, "", 1 << 30),
        (a_document({"readyToUse": False, "error": {"message": "full"}}), False, "full", 0),
        (
            a_document({"readyToUse": True}, deletionTimestamp="2026-11-27T03:00:02Z"),
            False,
            "it is being deleted",
            0,
        ),
    ],
)
def test_only_a_snapshot_that_is_ready_to_use_and_stays_is_ready(
    *, document: Document, ready: bool, error: str, size: int
) -> None:
    seen = taken_view(document)

    assert (seen.ready, seen.error, seen.size_bytes) == (ready, error, size)


class Refusing(Documents):
    """An API server that answers everything with an error."""

    def __init__(self, error: ClusterError) -> None:
        self._error = error
        self.deleting: list[str] = []

    async def list(self, place: Place, namespace: str, selector: str = "") -> list[Document]:
        raise self._error

    async def delete(self, place: Place, namespace: str, name: str) -> None:
        self.deleting.append(f"{namespace}/{name}")
        raise self._error


def a_run(phase: Phase) -> Backup:
    made = a_backup("shop", "b")
    return made.model_copy(update={"status": made.status.model_copy(update={"phase": phase})})


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.DRAINING, Phase.CAPTURING, Phase.FINISHING])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFoundError("404 page not found"), "the cluster has no VolumeSnapshots: install"),
        (RefusedError("may not list"), "set volumeSnapshots.enabled of its chart (may not list)"),
    ],
)
async def test_what_cannot_be_is_said_and_not_raised(phase: Phase, error: ClusterError, text: str) -> None:
    async with ApiClient() as client:
        seen = await VolumeSnapshots(client, Refusing(error)).look(a_run(phase), {})

    assert text in seen.problem


class Nothing(Documents):
    """An API server that has no object of any kind."""

    def __init__(self) -> None:
        pass

    async def list(self, place: Place, namespace: str, selector: str = "") -> list[Document]:
        return []


Asked = tuple[str | None, str | None, str | None, str | None]
"""Group, resource, verb and namespace."""


class Roles:
    """Answers whether something is allowed: all but what is refused."""

    def __init__(self, *refused: Asked) -> None:
        self._refused = refused
        self.asked: list[Asked] = []

    async def create_self_subject_access_review(
        self, review: V1SelfSubjectAccessReview, **_: Any
    ) -> V1SelfSubjectAccessReview:
        assert isinstance(review.spec, V1SelfSubjectAccessReviewSpec)
        what = review.spec.resource_attributes
        assert isinstance(what, V1ResourceAttributes)
        asked = (what.group, what.resource, what.verb, what.namespace)
        self.asked.append(asked)
        status = V1SubjectAccessReviewStatus(allowed=asked not in self._refused)
        return V1SelfSubjectAccessReview(spec=review.spec, status=status)


_ATTACHMENTS = ("storage.k8s.io", "volumeattachments", "list", "")
_MAKING = ("snapshot.storage.k8s.io", "volumesnapshots", "create", "shop")


async def problem_of(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> str:
    async with ApiClient() as client:
        snapshots = VolumeSnapshots(client, Nothing())
        monkeypatch.setattr(snapshots, "_authorization", roles)
        return (await snapshots.look(a_run(Phase.PREFLIGHT), {})).problem


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        ((_ATTACHMENTS,), "(it lacks list volumeattachments)"),
        ((_MAKING, _ATTACHMENTS), "(it lacks create volumesnapshots, list volumeattachments)"),
    ],
)
async def test_what_is_needed_while_all_is_down_is_asked_before_anything_stops(
    refused: tuple[Asked, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await problem_of(Roles(*refused), monkeypatch)).endswith(text)


async def test_a_volume_belongs_to_no_namespace_and_so_does_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roles = Roles()

    assert not await problem_of(roles, monkeypatch)
    assert {_ATTACHMENTS, _MAKING} <= set(roles.asked)


async def test_an_api_server_that_is_away_says_nothing_about_snapshots() -> None:
    async with ApiClient() as client:
        with pytest.raises(UnavailableError):
            await VolumeSnapshots(client, Refusing(UnavailableError("away"))).look(a_run(Phase.CAPTURING), {})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NotFoundError("gone"), []),
        (RefusedError("may not delete"), ["VolumeSnapshot shop/s is left: may not delete"]),
    ],
)
async def test_one_that_cannot_be_deleted_keeps_no_run_from_its_end(
    error: ClusterError, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    documents = Refusing(error)

    async with ApiClient() as client:
        await VolumeSnapshots(client, documents).apply("shop", DeleteSnapshot("s"))

    assert documents.deleting == ["shop/s"]
    assert caplog.messages == told
