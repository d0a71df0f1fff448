import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import UsageError
from becalm_engine.policy.patterns import Patterns


def fits(pattern: str, path: str) -> bool:
    """As a walk asks: about each folder on the way first, and nothing below one that fits."""
    return Patterns([pattern]).covers(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.go", "/foo/bar/test.go"),
        ("test.*", "/foo/test.c/below/it"),
        ("/bin", "/bin"),
        ("/bin", "/bin/bash"),
        ("bin", "/usr/bin/restic"),
        ("b*ash", "/bin/bash"),
        ("foo/**/bar", "/dir1/foo/dir2/bar/file"),
        ("foo/**/bar", "/foo/bar/file"),
        ("foo/**/bar", "/tmp/foo/bar"),
        ("/**/bar", "/bar"),
        ("/**/bar", "/a/b/bar"),
        ("foo/**", "/foo"),
        ("foo/**", "/foo/x"),
        ("**", "/anything/at/all"),
        ("/home/*/Downloads", "/home/user/Downloads/file"),
        ("/home/user/", "/home/user"),
        ("a/b", "/x/a/b/c"),
        ("file?", "/file1"),
        ("[a-c]x", "/bx"),
        ("[^a-c]x", "/dx"),
        ("[!a]x", "/!x"),
        ("[]]x", "/]x"),
        ("[a-]x", "/-x"),
        (r"[\^]x", "/^x"),
        ("[[:]x", "/[x"),
        ("[&&~~]", "/&"),
        (r"\*x", "/*x"),
        ("a[b", "/a[b"),
        ("a//./b", "/a/b"),
        ("ä*", "/äpfel"),
        ("a*", "/a\nb"),
        (".cache", "/home/.cache/x"),
    ],
)
def test_patterns_fit_what_restic_s_fit(pattern: str, path: str) -> None:
    assert fits(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.go", "/foo/test.goo"),
        ("/bin", "/usr/bin/restic"),
        ("b*ash", "/bin/ash"),
        ("bin", "/sbin"),
        ("foo/**/bar", "/foo"),
        ("foo/**/bar", "/foobar"),
        ("/home/*/Downloads", "/home/a/b/Downloads"),
        ("/**/bar", "/a/bars"),
        ("file?", "/file"),
        ("a?b", "/a/b"),
        ("[a-c]x", "/dx"),
        ("[^a-c]x", "/ax"),
        ("a[^x]b", "/a/b"),
        ("a[+-9]b", "/a/b"),
        (r"\*x", "/ax"),
        ("A", "/a"),
        ("a.b", "/axb"),
        ("a+", "/aa"),
    ],
)
def test_patterns_leave_alone_what_restic_s_leave_alone(pattern: str, path: str) -> None:
    assert not fits(pattern, path)


def test_a_path_itself_is_asked_about_without_its_parents() -> None:
    patterns = Patterns(["/home"])

    assert patterns.match("/home")
    assert not patterns.match("/home/user")
    assert patterns.covers("/home/user")


def test_an_exclamation_mark_takes_back_what_came_before() -> None:
    patterns = Patterns(["*.c", "!main.c", "/old/main.c"])

    assert patterns.match("/src/a.c")
    assert not patterns.match("/src/main.c")
    assert patterns.match("/old/main.c")


def test_what_is_taken_back_is_so_with_all_that_lies_below() -> None:
    patterns = Patterns(["*.log", "!/srv/audit", "/srv/audit/old/*.log"])

    assert patterns.match("/srv/x.log")
    assert not patterns.match("/srv/audit/a.log")
    assert not patterns.match("/srv/audit/deep/b.log")
    assert patterns.match("/srv/audit/old/c.log")


@pytest.mark.parametrize(
    ("patterns", "by_name"), [(["*.log", "x"], True), (["*.log", "!x"], False), (["a/b"], False)]
)
def test_a_name_alone_decides_only_where_nothing_is_taken_back(patterns: list[str], by_name: bool) -> None:
    assert Patterns(patterns).names_only is by_name


def test_taking_back_what_nothing_matched_matches_nothing() -> None:
    assert not Patterns(["!a"]).match("/a")


def test_case_can_be_ignored() -> None:
    assert Patterns(["*.JPG"], ignore_case=True).match("/a.jpg")


def test_no_patterns_match_nothing() -> None:
    patterns = Patterns([])

    assert not patterns
    assert not patterns.covers("/a/b")


def test_what_lies_below_is_covered_until_a_pattern_takes_it_back() -> None:
    patterns = Patterns(["/a", "!/a/x", "/a/x/keep"])

    assert patterns.covers("/a/b/c")
    assert not patterns.covers("/a/x")
    assert not patterns.covers("/a/x/y")
    assert patterns.covers("/a/x/keep/z")


@pytest.mark.parametrize(
    ("pattern", "path", "may"),
    [
        ("/srv/*/data", "/srv", True),
        ("/srv/*/data", "/srv/x", True),
        ("/srv/*/data", "/srv/x/other", False),
        ("/srv/*/data", "/srv/x/data/deep", True),
        ("/srv/*/data", "/home", False),
        ("/srv/**/data", "/srv/x/other", True),
        ("data", "/home", True),
        ("!/srv", "/srv", False),
    ],
)
def test_where_nothing_can_fit_below_nobody_needs_to_look(pattern: str, path: str, may: bool) -> None:
    assert Patterns([pattern]).may_cover_below(path) is may


components = st.text("ab*", min_size=1, max_size=2)
names = st.text("ab", min_size=1, max_size=2)


@given(
    st.builds(
        lambda rooted, parts: "/" * rooted + "/".join(parts),
        st.booleans(),
        st.lists(components, min_size=1, max_size=3),
    ),
    st.lists(names, min_size=1, max_size=4),
)
def test_every_folder_above_a_path_that_is_covered_may_cover_below(pattern: str, parts: list[str]) -> None:
    patterns = Patterns([pattern])
    above = ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]

    assert patterns.covers(above[-1]) is any(map(patterns.match, above))
    if patterns.covers(above[-1]):
        assert all(map(patterns.may_cover_below, above[:-1]))


@pytest.mark.parametrize("pattern", ["", "/", "//", "!"])
def test_an_empty_pattern_is_a_mistake_of_the_caller(pattern: str) -> None:
    with pytest.raises(UsageError):
        Patterns([pattern])


def test_a_backward_range_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="z-a"):
        Patterns(["[z-a]"])


components = st.text("ab[]^!-\\*?.+(){}|$ä", min_size=1, max_size=8)


@given(st.lists(components, min_size=1, max_size=4).map("/".join), st.booleans())
def test_any_text_is_a_pattern_or_a_mistake_of_the_caller(pattern: str, anchored: bool) -> None:
    try:
        patterns = Patterns(["/" + pattern if anchored else pattern])
    except UsageError:
        return

    assert patterns.match("/a/b") in (True, False)


@given(st.text("ab*?.", min_size=1, max_size=6), st.text("ab.", min_size=1, max_size=6))
def test_one_component_is_matched_as_the_shell_does(pattern: str, name: str) -> None:
    stands_for_itself = pattern in (".", "..") or name in (".", "..") or pattern == "**"

    assert stands_for_itself or fits("/" + pattern, "/" + name) == fnmatch.fnmatchcase(name, pattern)


@given(
    st.lists(st.text("ab.", min_size=1, max_size=3).filter(lambda c: c.strip(".")), min_size=1, max_size=4)
)
def test_a_literal_path_fits_itself_and_what_is_below(parts: list[str]) -> None:
    path = "/" + "/".join(parts)

    assert fits(path, path)
    assert fits(path, path + "/below")
    assert fits(parts[-1], path)
    assert not fits(path + "/below", path)


def test_a_long_name_is_not_looked_through_again_for_each_star() -> None:
    """A repository may hold names of any length: with a hundred thousand characters that would take days."""
    patterns = Patterns(["*a*b*c", "*a*b*a*b*d/e"])

    assert not patterns.match("/" + "ab" * 50_000)
    assert patterns.match("/" + "ab" * 50_000 + "c")


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a*b*c", "axbxbxc", True),
        ("a*b*bc", "abbc", True),
        ("a*b*bc", "abc", False),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "abxaab", True),
        ("a*[bc]?*d", "acbd", True),
        ("a*[bc]?*d", "acd", False),
        ("a**b", "ab", True),
        ("*.tar.*", "x.tar.tar.gz", True),
    ],
)
def test_what_stands_between_stars_is_found_wherever_it_fits(pattern: str, name: str, fits: bool) -> None:
    assert Patterns([pattern]).match(f"/{name}") is fits
    assert Patterns([f"/{pattern}/x"]).match(f"/{name}/x") is fits
