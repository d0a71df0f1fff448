import codecs

import pytest

from becalm_engine.cli.text_files import expanded, patterns_in

ENVIRONMENT = {"A": "a", "B_1": "*.b", "EMPTY": "", "HASH": "#x", "1": "one"}


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("$A", "a"),
        ("${A}${B_1}", "a*.b"),
        ("/$A/x$B_1", "/a/x*.b"),
        ("!$A", "!a"),
        ("$AB-$UNSET-${UNSET}-$EMPTY", "---"),
        ("d$$x", "d$x"),
        ("d${$}x", "d$x"),
        ("x$1y", "xoney"),
        ("x$*y$#", "xy"),
        ("${}a", "a"),
        ("${a", "a"),
        ("$.z", "$.z"),
        ("q$", "q$"),
        ("$é", "$é"),
        ("${A b}", ""),
    ],
)
def test_variables_are_expanded_as_go_does(line: str, pattern: str) -> None:
    assert expanded(line, ENVIRONMENT) == pattern


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_file_of_patterns_may_begin_with_a_byte_order_mark(mark: str) -> None:
    text = "é\nb\n" if mark == "utf-8-sig" else "\ufeffé\nb\n"

    assert patterns_in(text.encode(mark), {}) == ["é", "b"]
    assert text.encode(mark)[:2] in (codecs.BOM_UTF8[:2], codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@pytest.mark.parametrize(
    ("raw", "patterns"),
    [
        (b"a\r\n\tb \n\n  \n", ["a", "b"]),
        (b"# a\n  #b\na#c\n$HASH\n$UNSET\n", ["a#c", "#x"]),
        (
            "u\u2028v\nn\x0bm\nr\rs\nx\x85y\nz\x1c\n".encode(),
            ["u\u2028v", "n\x0bm", "r\rs", "x\x85y", "z\x1c"],
        ),
        (b"\xe9\n", ["\udce9"]),
    ],
)
def test_patterns_are_lines_without_blanks_and_comments(raw: bytes, patterns: list[str]) -> None:
    assert patterns_in(raw, ENVIRONMENT) == patterns
