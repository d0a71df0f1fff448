import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.cluster.port import Key
from becalm_operator.errors import ClusterError, ConflictError, RefusedError, UnavailableError
from becalm_operator.handlers.queue import Backoff, Queue
from tests.operator.handlers.virtual_time import now, virtually

A, B, C = (Key("Backup", "shop", name) for name in "abc")


class Recorder:
    """A reconcile that takes some time and notes what was done when, and that no key is reconciled twice at once."""

    def __init__(
        self, lasts: float = 0.0, answers: Mapping[Key, Sequence[float | Exception | None]] | None = None
    ) -> None:
        self.lasts = lasts
        self.answers = {key: list(steps) for key, steps in (answers or {}).items()}
        self.done: list[tuple[float, Key]] = []
        self.at_work: list[Key] = []
        self.most_at_once = 0

    async def __call__(self, key: Key) -> float | None:
        assert key not in self.at_work
        self.at_work.append(key)
        self.most_at_once = max(self.most_at_once, len(self.at_work))
        self.done.append((now(), key))
        try:
            await asyncio.sleep(self.lasts)
        finally:
            self.at_work.remove(key)
        answers = self.answers.get(key)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, key: Key) -> list[float]:
        return [round(at, 3) for at, done in self.done if done == key]


Script = Callable[[Queue], Awaitable[None]]


def played(
    recorder: Recorder,
    script: Script,
    *,
    until: float = 1000.0,
    workers: int = 3,
    presses: Callable[[Key], bool] = lambda _: False,
) -> None:
    """Run a queue while a script adds to it, and stop it at a moment."""

    async def scenario() -> None:
        queue = Queue(recorder, presses, workers=workers)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            await script(queue)
            await asyncio.sleep(until - now())
            await queue.stop(5.0)

    virtually(scenario())


def test_a_key_that_is_added_is_reconciled_at_once() -> None:
    recorder = Recorder()

    async def script(queue: Queue) -> None:
        queue.add(A)

    played(recorder, script)
    assert recorder.done == [(0.0, A)]


def test_a_waiting_key_is_reconciled_once_however_often_it_is_added() -> None:
    recorder = Recorder(lasts=1.0)

    async def script(queue: Queue) -> None:
        for _ in range(5):
            queue.add(A)
            queue.add(B)

    played(recorder, script, workers=1)
    assert recorder.done == [(0.0, A), (1.0, B)]


def test_a_key_added_while_it_is_reconciled_is_looked_at_again_afterwards() -> None:
    recorder = Recorder(lasts=10.0)

    async def script(queue: Queue) -> None:
        queue.add(A)
        await asyncio.sleep(5)
        queue.add(A)
        queue.add(A)

    played(recorder, script)
    assert recorder.times(A) == [0, 10]


@pytest.mark.parametrize("delays", [(7, 3), (3, 7)])
def test_of_several_delays_the_earliest_wins(delays: tuple[float, float]) -> None:
    recorder = Recorder()

    async def script(queue: Queue) -> None:
        for delay in delays:
            queue.add(A, delay)

    played(recorder, script)
    assert recorder.times(A) == [3]


def test_an_event_does_not_wait_for_the_delay() -> None:
    recorder = Recorder()

    async def script(queue: Queue) -> None:
        queue.add(A, 100)
        queue.add(A)

    played(recorder, script)
    assert recorder.times(A) == [0]


def test_the_answer_of_a_reconcile_says_when_to_come_back() -> None:
    recorder = Recorder(answers={A: [2.0, 15.0, None]})

    async def script(queue: Queue) -> None:
        queue.add(A)

    played(recorder, script)
    assert recorder.times(A) == [0, 2, 17]


def test_a_delayed_wish_during_a_reconcile_counts_from_when_it_was_made() -> None:
    recorder = Recorder(lasts=4.0, answers={A: [60.0]})

    async def script(queue: Queue) -> None:
        queue.add(A)
        await asyncio.sleep(1)
        queue.add(A, 10)

    played(recorder, script, until=50)
    assert recorder.times(A) == [0, 11]


def test_workers_bound_how_much_is_done_at_once() -> None:
    recorder = Recorder(lasts=1.0)

    async def script(queue: Queue) -> None:
        for number in range(500):
            queue.add(Key("Backup", "shop", str(number)))

    played(recorder, script, workers=8)
    assert recorder.most_at_once == 8
    assert len(recorder.done) == 500


def test_a_slow_key_holds_up_no_other() -> None:
    recorder = Recorder(lasts=100.0)

    async def script(queue: Queue) -> None:
        queue.add(A)
        await asyncio.sleep(1)
        queue.add(B)

    played(recorder, script)
    assert recorder.times(B) == [1]


def test_what_presses_goes_before_what_waits_already() -> None:
    recorder = Recorder(lasts=1.0)

    async def scenario() -> None:
        queue = Queue(recorder, {C}.__contains__, workers=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            for key in (A, B, C):
                queue.add(key)
            await asyncio.sleep(10)
            await queue.stop(1)

    virtually(scenario())
    assert [key for _, key in recorder.done] == [C, A, B]


def test_failures_back_off_exponentially_and_success_resets() -> None:
    conflict = ConflictError("changed")
    recorder = Recorder(answers={A: [conflict, conflict, conflict, 10.0, conflict]})

    async def script(queue: Queue) -> None:
        queue.add(A)

    played(recorder, script)
    assert recorder.times(A) == [0, 0.2, 0.6, 1.4, 11.4, 11.6]


@pytest.mark.parametrize(
    ("error", "longest"),
    [(UnavailableError("no answer"), 30.0), (RefusedError("no"), 300.0), (KeyError("bug"), 300.0)],
)
def test_what_a_retry_can_help_is_tried_more_often(error: Exception, longest: float) -> None:
    backoff = Backoff()
    delays = [backoff.delay(failures, error) for failures in range(1, 2000)]
    assert delays == sorted(delays)
    assert delays[0] == 0.2
    assert delays[-1] == longest


@pytest.mark.parametrize("error", [RefusedError("no"), KeyError("bug")])
def test_where_something_is_down_whatever_fails_is_tried_often(error: Exception) -> None:
    assert max(Backoff().delay(failures, error, presses=True) for failures in range(1, 50)) == 30.0


def test_a_key_for_which_something_is_down_is_tried_often_though_it_is_refused() -> None:
    recorder = Recorder(answers={key: [RefusedError("no")] * 50 for key in (A, B)})

    async def script(queue: Queue) -> None:
        queue.add(A)
        queue.add(B)

    played(recorder, script, until=1000, presses=lambda key: key == A)
    assert len(recorder.times(A)) > 2 * len(recorder.times(B))


def test_one_failing_key_does_not_disturb_another(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(answers={A: [KeyError("bug")] * 50, B: [1.0] * 5})

    async def script(queue: Queue) -> None:
        queue.add(A)
        queue.add(B)

    played(recorder, script, until=100, workers=1)
    assert recorder.times(B) == [0, 1, 2, 3, 4, 5]


def test_a_cluster_error_is_logged_once_and_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(answers={A: [RefusedError("not allowed")] * 3})

    async def script(queue: Queue) -> None:
        queue.add(A)

    with caplog.at_level(logging.INFO):
        played(recorder, script)
    failed, again = caplog.records
    assert failed.getMessage() == "Backup shop/a: RefusedError: not allowed; trying again in 0.2 s"
    assert failed.exc_info is None
    assert again.getMessage() == "Backup shop/a: works again after 3 failures"


def test_an_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(answers={A: [KeyError("bug")]})

    async def script(queue: Queue) -> None:
        queue.add(A)

    played(recorder, script)
    assert caplog.records[0].exc_info is not None


def test_the_first_conflict_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(answers={A: [ConflictError("changed")]})

    async def script(queue: Queue) -> None:
        queue.add(A)

    with caplog.at_level(logging.INFO):
        played(recorder, script)
    assert not caplog.records


def test_a_reconcile_that_hangs_is_given_up_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(lasts=1000.0)

    async def script(queue: Queue) -> None:
        queue.add(A)

    played(recorder, script, until=700)
    assert recorder.times(A) == [0, 300.2, 600.6]


def test_a_part_that_is_cancelled_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def reconcile(key: Key) -> float | None:
        if not done:
            done.append(key)
            raise asyncio.CancelledError
        done.append(key)
        return None

    done: list[Key] = []

    async def scenario() -> None:
        queue = Queue(reconcile, workers=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            queue.add(A)
            await asyncio.sleep(1)
            await queue.stop(1)

    virtually(scenario())
    assert done == [A, A]


def test_stopping_finishes_what_is_under_way_and_begins_nothing_new() -> None:
    recorder = Recorder(lasts=4.0)

    async def script(queue: Queue) -> None:
        queue.add(A)
        queue.add(B)
        queue.add(C, 2.0)

    played(recorder, script, until=1, workers=1)
    assert recorder.done == [(0.0, A)]
    assert not recorder.at_work


def test_stopping_cuts_off_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> float:
        recorder = Recorder(lasts=3600.0)
        queue = Queue(recorder)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            queue.add(A)
            await asyncio.sleep(1)
            await queue.stop(10.0)
        return now()

    assert virtually(scenario()) == 11.0
    assert "cut off 1 reconciles" in caplog.text


def test_what_is_added_after_the_stop_is_ignored() -> None:
    async def scenario() -> list[tuple[float, Key]]:
        recorder = Recorder()
        queue = Queue(recorder)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run())
            await asyncio.sleep(0)
            await queue.stop(1)
            queue.add(A)
        return recorder.done

    assert virtually(scenario()) == []


_keys = st.sampled_from([A, B, C])
_steps = st.lists(st.tuples(st.floats(0, 5), _keys, st.floats(0, 20)), max_size=30)
_outcomes = st.lists(st.sampled_from([None, 0.5, UnavailableError("x"), RefusedError("y")]), max_size=8)


@given(steps=_steps, lasts=st.floats(0, 3), outcomes=st.fixed_dictionaries({A: _outcomes, B: _outcomes}))
def test_whatever_happens_each_wish_is_followed_by_a_reconcile_that_begins_later(
    steps: list[tuple[float, Key, float]], lasts: float, outcomes: dict[Key, list[float | Exception | None]]
) -> None:
    logging.disable()
    recorder = Recorder(lasts, outcomes)
    wishes: list[tuple[float, Key]] = []

    async def script(queue: Queue) -> None:
        for pause, key, delay in steps:
            await asyncio.sleep(pause)
            wishes.append((now(), key))
            queue.add(key, delay)

    try:
        played(recorder, script, until=100_000, workers=2)
    finally:
        logging.disable(logging.NOTSET)
    for at, key in wishes:
        assert any(done == key and began >= at for began, done in recorder.done)
    assert len(recorder.done) <= len(wishes) + sum(len(answers) for answers in outcomes.values())


def test_all_errors_of_a_cluster_have_a_delay() -> None:
    assert all(Backoff().delay(1, kind("x")) == 0.2 for kind in ClusterError.__subclasses__())
