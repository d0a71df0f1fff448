import io

import pytest

from becalm_engine.cli.output import Output, duration_text, size_text, table


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


def test_lines_that_show_how_far_a_run_is_stay_below_all_others() -> None:
    out = io.StringIO()
    output = Output(out=out, err=out)

    output.show_status(["half", "file"])
    output.say("text")
    output.show_status(["done"])
    output.clear_status()
    output.clear_status()

    up_and_clear = "\r\x1b[1A\x1b[J"
    assert out.getvalue() == f"half\nfile{up_and_clear}text\ndone\r\x1b[J"


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


def test_json_has_no_blanks_and_cannot_steer_a_terminal() -> None:
    """Scripts look for `"message_type":"summary"`, as restic writes it."""
    out = io.StringIO()

    Output(json=True, out=out).message({"message_type": "error", "item": "/a\x9b31m", "ratio": 0.5})

    assert out.getvalue() == '{"message_type":"error","item":"/a\\u009b31m","ratio":0.5}\n'
