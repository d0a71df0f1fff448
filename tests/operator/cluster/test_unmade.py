"""What the API server refuses is remembered for a while; a webhook that is away is no silence of the server."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException

from becalm_operator.api import names
from becalm_operator.cluster.jobs import Jobs
from becalm_operator.cluster.translate import translated
from becalm_operator.cluster.unmade import Unmade
from becalm_operator.errors import ClusterError, RefusedError, UnavailableError, WebhookAwayError
from tests.operator.cluster.lab import Ending, a_backup
from tests.operator.fake.lab import FakeLab
from tests.operator.fake.state import State
from tests.operator.handlers.api import FakeApiServer, fake_api_server

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
PLACE = ("shop", "job")
AWAY = "Internal error occurred: failed calling webhook 'x.example.org': failed to call webhook: connection refused"


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def refusals(*minutes: float) -> Unmade:
    unmade = Unmade()
    for at in minutes:
        unmade.note(PLACE, "uid", RefusedError(f"no, at {at}"), after(at))
    return unmade


def test_the_first_refusal_says_since_when_and_the_last_one_why() -> None:
    (job,) = refusals(0, 1, 2.5).of("uid", after(3)).values()

    assert (job.name, job.refused, job.created, job.stuck) == ("job", True, NOW, "no, at 2.5")
    assert not job.finished


@pytest.mark.parametrize(("at", "seen"), [(2, True), (2.1, False)])
def test_a_refusal_that_is_not_repeated_counts_no_more(at: float, seen: bool) -> None:
    unmade = refusals(0)

    assert bool(unmade.of("uid", after(at))) == seen


def test_one_that_comes_long_after_another_begins_anew() -> None:
    (job,) = refusals(0, 10).of("uid", after(10)).values()

    assert job.created == after(10)


def test_what_belongs_to_others_is_not_seen_and_what_was_made_is_forgotten() -> None:
    unmade = refusals(0)
    assert unmade.of("another", NOW) == {}

    unmade.forget(PLACE)

    assert unmade.of("uid", NOW) == {}


def test_the_same_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals(0, 1, 2)

    assert len(caplog.records) == 1


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as made:
        yield made


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [(403, "exceeded quota", True), (422, "invalid", True), (500, AWAY, True), (409, "it is there", False)],
)
async def test_a_refusal_is_kept_and_not_raised(
    server: FakeApiServer, status: int, body: str, kept: bool
) -> None:
    job = FakeLab(State()).job(a_backup("shop", "b"), "one", Ending.WELL)
    assert job.metadata is not None
    uid = (job.metadata.labels or {})[names.OWNER_UID_LABEL]
    server.status_of = lambda _: status
    server.refusal = body
    async with ApiClient(Configuration(host=server.url)) as client:
        jobs = Jobs(client)

        await jobs.ask_for("shop", job, NOW)

        found = jobs.refused(uid, NOW)
        assert bool(found) == kept
        assert all(body in one.stuck for one in found.values())


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_does_not_answer_has_refused_nothing(server: FakeApiServer, status: int) -> None:
    job = FakeLab(State()).job(a_backup("shop", "b"), "one", Ending.WELL)
    server.status_of = lambda _: status
    async with ApiClient(Configuration(host=server.url)) as client:
        jobs = Jobs(client)

        with pytest.raises(UnavailableError):
            await jobs.ask_for("shop", job, NOW)

        assert jobs.refused("", NOW) == {}


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (500, AWAY, WebhookAwayError),
        (500, "etcdserver: no space", UnavailableError),
        (403, "denied", RefusedError),
    ],
)
def test_a_webhook_that_is_away_is_told_by_its_words(
    status: int, message: str, kind: type[ClusterError]
) -> None:
    error = ApiException(status=status)
    error.body = json.dumps({"message": message})

    with pytest.raises(ClusterError) as raised, translated("making it"):
        raise error

    assert type(raised.value) is kind
