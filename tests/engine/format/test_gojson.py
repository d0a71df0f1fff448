import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format import gojson


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain ~ text", '"plain ~ text"'),
        ("<a>&", r'"\u003ca\u003e\u0026"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ("\"\\/'", '"\\"\\\\/\'"'),
        ("\n\r\t\b\f", r'"\n\r\t\b\f"'),
        ("\x00\x1f", r'"\u0000\u001f"'),
        ("é😀\x7f\ufffd", '"é😀\x7f\ufffd"'),
        (b"\xff-\xe2(".decode("utf-8", "surrogateescape"), r'"\ufffd-\ufffd("'),
    ],
)
def test_strings_are_written_as_go_writes_them(text: str, written: str) -> None:
    assert gojson.string(text) == written


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_string_reads_back_as_it_was(text: str) -> None:
    assert json.loads(gojson.string(text)) == text


@given(st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=3), max_size=3))
def test_a_document_is_its_strings_without_blanks_between(value: dict[str, list[str]]) -> None:
    items = (f"{gojson.string(key)}:[{','.join(map(gojson.string, texts))}]" for key, texts in value.items())

    assert gojson.document(value) == f"{{{','.join(items)}}}".encode()
