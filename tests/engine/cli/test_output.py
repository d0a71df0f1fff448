import io
import json
import time
from collections.abc import Callable

import pytest

from becalm_engine.cli.output import Output, Watcher, duration_text, size_text, table
from becalm_engine.commands.progress import Progress

DEADLINE_SECONDS = 10.0


class Terminal(io.StringIO):
    """A stream on which somebody watches."""

    def isatty(self) -> bool:
        return True


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.000 KiB"), (1536, "1.500 KiB"), (5 << 30, "5.000 GiB"),
     (1 << 60, "1024.000 PiB")],
)  # fmt: skip
def test_sizes_are_in_units_of_1024(number: int, text: str) -> None:
    assert size_text(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.9, "1:01"), (3600, "1:00:00")])
def test_durations_are_clocks(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_cells_of_a_table_may_have_several_lines() -> None:
    lines = table(("ID", "Tags"), [[["1"], ["a", "long"]], [["22"], []]])

    assert lines == ["ID  Tags", "--------", "1   a", "    long", "22", "--------"]


def test_a_terminal_shows_progress_in_one_line_and_clears_it() -> None:
    out = Terminal()
    progress = Progress(files_done=3, bytes_done=512, bytes_total=1024, errors=1, current="/data/file")

    with Watcher(Output(out=out), progress, updates_per_second=500):
        wait(lambda: "50.0%" in out.getvalue())

    text = out.getvalue()
    assert "ETA" in text
    assert "3 files 512 B" in text
    assert "1 errors" in text
    assert "/data/file" in text
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")


def test_without_a_terminal_nothing_is_drawn() -> None:
    out = io.StringIO()

    with Watcher(Output(out=out), Progress(), updates_per_second=500) as watcher:
        assert not watcher._thread.is_alive()

    assert out.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_a_line_of_status_each_time(terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    progress = Progress(files_done=1, bytes_done=10, files_total=4, bytes_total=40, errors=2, current="x")

    with Watcher(Output(json=True, out=out), progress, updates_per_second=500):
        wait(lambda: out.getvalue().count("\n") >= 2)

    first = json.loads(out.getvalue().splitlines()[0])
    assert first == {
        "message_type": "status", "seconds_elapsed": 0, "percent_done": 0.25, "total_files": 4, "files_done": 1,
        "total_bytes": 40, "bytes_done": 10, "error_count": 2, "current_files": ["x"],
    }  # fmt: skip


def test_text_and_json_exclude_each_other() -> None:
    for as_json in (True, False):
        out, err = io.StringIO(), io.StringIO()
        output = Output(json=as_json, out=out, err=err)
        output.say("text")
        output.result("text")
        output.warn("text")
        output.message({"a": 1})
        output.message({"a": 2}, to_error=True)
        assert ("text" in out.getvalue(), "text" in err.getvalue()) == (not as_json, not as_json)
        assert ("{" in out.getvalue(), "{" in err.getvalue()) == (as_json, as_json)
