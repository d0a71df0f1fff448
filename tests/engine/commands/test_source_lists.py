import os
from pathlib import Path

import pytest

from becalm_engine.commands import source_lists
from becalm_engine.errors import UsageError


def test_patterns_are_a_line_each_with_comments_and_blanks() -> None:
    text = b"# comment\n\n  /a*  \r\n\t/b c\n#/d\n/e"

    assert source_lists.patterns_in(text) == [b"/a*", b"/b c", b"/e"]


def test_names_in_lines_are_kept_as_they_are() -> None:
    assert source_lists.names_in_lines(b"# no comment\n\n /a \n/b*\r\n") == [
        b"# no comment",
        b" /a ",
        b"/b*\r",
    ]


def test_names_with_nul_may_hold_anything_else() -> None:
    assert source_lists.names_with_nul(b"/a\nb\0#c\0") == [b"/a\nb", b"#c"]
    assert source_lists.names_with_nul(b"") == []


@pytest.mark.parametrize("text", [b"/a\0/b", b"/a\0\0", b"\0"])
def test_a_list_that_was_cut_off_or_has_an_empty_name_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match="--files-from-raw"):
        source_lists.names_with_nul(text)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {".hidden", "a1", "a2", "b", "[x]", "d"}),
        ("a?", {"a1", "a2"}),
        ("a[12]", {"a1", "a2"}),
        ("a[^1]", {"a2"}),
        ("[^a]", {"b", "d"}),
        (r"\[x\]", {"[x]"}),
        (r"\[^a", set()),
        ("d/*", {"d/inside"}),
        ("*/inside", {"d/inside"}),
        ("b", {"b"}),
        ("none", set()),
    ],
)
def test_patterns_are_expanded_as_restic_does(tmp_path: Path, pattern: str, found: set[str]) -> None:
    for name in (".hidden", "a1", "a2", "b", "[x]", "d/inside"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    unmatched: list[bytes] = []

    names = source_lists.expanded(os.fsencode(tmp_path / pattern), unmatched.append)

    assert {str(Path(os.fsdecode(name)).relative_to(tmp_path)) for name in names} == found
    assert bool(unmatched) is not bool(found)


def test_what_several_lists_name_is_taken_once_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    path = os.fsencode(tmp_path / "x")

    found = source_lists.sources_of(
        ["/first", str(tmp_path / "x")], [path], [b"/second\n/first\n"], [b"/\xff\0"], lambda _: None
    )

    assert found == ["/first", str(tmp_path / "x"), "/second", "/\udcff"]
