import aiohttp
import pytest

from becalm_operator.handlers.liveness import Heartbeats, serving


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_gives_no_sign_of_life_in_time_is_overdue() -> None:
    clock = Clock()
    heartbeats = Heartbeats(clock)
    heartbeats.expect("the Lease", 60)
    heartbeats.expect("a watch", 150)
    clock.now = 60
    assert heartbeats.overdue() == []
    clock.now = 61
    assert heartbeats.overdue() == ["the Lease: no sign of life for 61 s"]
    heartbeats.beat("the Lease")
    assert heartbeats.overdue() == []


def test_nobody_waits_for_a_sign_of_life_that_is_not_expected() -> None:
    clock = Clock()
    heartbeats = Heartbeats(clock)
    heartbeats.beat("/api/v1")
    clock.now = 10_000
    assert heartbeats.overdue() == []


async def asked(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_the_endpoint_says_whether_everything_is_alive(
    caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    clock = Clock()
    heartbeats = Heartbeats(clock)
    heartbeats.expect("a watch", 150)
    async with serving(unused_tcp_port, heartbeats):
        assert await asked(unused_tcp_port, "/healthz") == (200, "ok\n")
        clock.now = 151
        assert await asked(unused_tcp_port, "/healthz") == (500, "a watch: no sign of life for 151 s\n")
        heartbeats.beat("a watch")
        assert await asked(unused_tcp_port, "/healthz") == (200, "ok\n")


async def test_a_stand_by_is_alive_and_not_ready(unused_tcp_port: int) -> None:
    heartbeats = Heartbeats()
    async with serving(unused_tcp_port, heartbeats):
        assert (await asked(unused_tcp_port, "/healthz"))[0] == 200
        assert (await asked(unused_tcp_port, "/readyz"))[0] == 503
        heartbeats.ready = True
        assert (await asked(unused_tcp_port, "/readyz"))[0] == 200


async def test_a_blind_operator_is_alive_and_not_ready(unused_tcp_port: int) -> None:
    heartbeats = Heartbeats()
    heartbeats.ready = heartbeats.blind = True
    async with serving(unused_tcp_port, heartbeats):
        assert (await asked(unused_tcp_port, "/healthz"))[0] == 200
        status, told = await asked(unused_tcp_port, "/readyz")
        assert (status, told) == (503, "every watch is refused: the log says what to do\n")
        heartbeats.blind = False
        assert (await asked(unused_tcp_port, "/readyz"))[0] == 200


async def test_an_operator_that_cannot_renew_its_lease_is_alive_and_not_ready(unused_tcp_port: int) -> None:
    held = True
    heartbeats = Heartbeats()
    heartbeats.ready, heartbeats.holds_lease = True, lambda: held
    async with serving(unused_tcp_port, heartbeats):
        assert (await asked(unused_tcp_port, "/readyz"))[0] == 200
        held = False
        assert (await asked(unused_tcp_port, "/healthz"))[0] == 200
        told = await asked(unused_tcp_port, "/readyz")
        assert told == (503, "the Lease cannot be renewed: the log says why\n")
        held = True
        assert (await asked(unused_tcp_port, "/readyz"))[0] == 200


async def test_the_port_is_free_again_afterwards(unused_tcp_port: int) -> None:
    async with serving(unused_tcp_port, Heartbeats()):
        pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked(unused_tcp_port, "/healthz")
