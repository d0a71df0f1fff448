import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.names import unquote
from becalm_engine.format.printable import is_printable
from becalm_engine.format.shown import indented_text, json_text, shown, shown_text


@pytest.mark.parametrize(
    "name", [b"/plain", b'/quo"te', b"/back\\slash", b"/two words", "/größe 日本語 😀".encode()]
)
def test_what_is_printable_stays_as_it_is(name: bytes) -> None:
    assert shown(name) == name.decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"/\x1b[31mred", r'"/\x1b[31mred"'),
        (b"/line\nbreak", r'"/line\nbreak"'),
        (b"/\xff", r'"/\xff"'),
        ("/csi\x9b31m".encode(), r'"/csi\u009b31m"'),
        ("/right\u202eleft".encode(), r'"/right\u202eleft"'),
        (b'/\x07"', r'"/\a\""'),
    ],
)
def test_what_could_steer_a_terminal_is_quoted(name: bytes, text: str) -> None:
    assert shown(name) == text


@given(st.binary(max_size=30))
def test_any_name_is_one_printable_line_and_no_two_are_alike(name: bytes) -> None:
    text = shown(b"/" + name)

    assert all(map(is_printable, text))
    assert (unquote(text[1:-1]) if text.startswith('"') else text.encode()) == b"/" + name


def test_texts_are_shown_like_names() -> None:
    assert (shown_text("host"), shown_text("\udcff\n")) == ("host", r'"\xff\n"')


@given(st.text(max_size=30))
def test_json_keeps_every_text_and_holds_nothing_that_steers_a_terminal(text: str) -> None:
    line = json_text({"name": text})

    assert all(map(is_printable, line))
    assert json.loads(line) == {"name": text}


def test_json_is_written_as_go_writes_it() -> None:
    assert json_text({"a": "<&>", "b": [1, True, None]}) == '{"a":"\\u003c\\u0026\\u003e","b":[1,true,null]}'
    assert json_text("\udcff") == '"\\ufffd"'
    assert json_text("\x9b\U000e0001") == '"\\u009b\\udb40\\udc01"'


def test_half_a_character_is_shown_as_go_shows_it_in_one_line_and_in_several() -> None:
    half = {"user\ud800": ["\udfff", "\ud7ff\ue000"]}

    for text in (json_text(half), indented_text(half)):
        assert json.loads(text) == {"user\ufffd": ["\ufffd", "\ud7ff\ue000"]}
        assert text.isascii()
