import pytest

from becalm_operator.handlers.liveness import Heartbeats
from becalm_operator.handlers.refusals import Refusals
from becalm_operator.handlers.watches import WATCHED

PATHS = [watched.path("gone") for watched in WATCHED]
JOBS = "/apis/batch/v1/namespaces/gone/jobs"


def refusals(heartbeats: Heartbeats | None = None) -> Refusals:
    return Refusals(("shop", "gone"), heartbeats or Heartbeats())


@pytest.mark.parametrize("status", [403, 404])
def test_a_watch_rests_longer_each_time_up_to_half_a_minute(status: int) -> None:
    found = refusals()
    assert [found.note(JOBS, status) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_each_watch_rests_by_itself() -> None:
    found = refusals()
    found.note(JOBS, 403)
    found.note(JOBS, 403)
    assert found.note("/api/v1/namespaces/gone/pods", 403) == 1


def test_a_watch_that_is_allowed_begins_anew() -> None:
    found = refusals()
    found.note(JOBS, 403)
    assert found.note(JOBS, 200) is None
    assert found.note(JOBS, 403) == 1


@pytest.mark.parametrize(
    ("path", "status"), [(JOBS, 410), (JOBS, 429), (JOBS, 200), ("/apis", 403), ("/api/v1", 404)]
)
def test_what_is_no_refusal_of_a_watch_is_kopfs_affair(path: str, status: int) -> None:
    assert refusals().note(path, status) is None


def test_an_error_of_another_kind_gives_no_permission_back() -> None:
    found = refusals()
    found.note(JOBS, 403)
    found.note(JOBS, 410)
    assert found.note(JOBS, 403) == 2


def test_the_watches_of_a_namespace_are_told_of_together_and_once(caplog: pytest.LogCaptureFixture) -> None:
    found = refusals()
    for path in (*PATHS, *PATHS):
        found.note(path, 403)
        found.note(path, 403)
    for _ in PATHS:
        found.tell()
    (told,) = caplog.messages
    assert told == (
        "backuprepositories, backupschedules, backups, restores, jobs, pods, deployments, statefulsets "
        "of namespace gone are not watched: the API server answers 403 Forbidden. If the namespace is gone, take it "
        "off watchNamespaces of the chart; if not, helm upgrade gives the role back."
    )


def test_where_definitions_are_gone_something_else_is_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    found = Refusals((), Heartbeats())
    found.note("/apis/becalm.dev/v1alpha1/backups", 404)
    found.tell()
    (told,) = caplog.messages
    assert told == (
        "backups of all namespaces are not watched: the API server answers 404 Not Found. "
        "If the CustomResourceDefinitions are gone, helm upgrade makes them again."
    )


def test_what_is_allowed_before_anybody_was_told_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = refusals()
    found.note(JOBS, 403)
    found.note(JOBS, 200)
    found.tell()
    assert caplog.messages == []


def test_what_is_refused_again_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = refusals()
    for _ in range(2):
        found.note(JOBS, 403)
        found.tell()
        found.note(JOBS, 200)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "jobs of namespace gone are not watched",
        "jobs of namespace gone are watched again",
    ] * 2


def test_an_operator_is_blind_only_where_every_watch_is_refused() -> None:
    heartbeats = Heartbeats()
    found = refusals(heartbeats)
    for path in PATHS:
        found.note(path, 403)
    assert not heartbeats.blind
    for watched in WATCHED:
        found.note(watched.path("shop"), 403)
    assert heartbeats.blind
    found.note(JOBS, 200)
    assert not heartbeats.blind
