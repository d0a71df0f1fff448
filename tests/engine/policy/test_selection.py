from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection


def test_without_includes_everything_is_wanted_that_is_not_excluded() -> None:
    selection = Selection(
        include=(Patterns([]),), exclude=(Patterns(["*.o"]), Patterns(["*.TMP"], ignore_case=True))
    )

    assert selection.wants("/a/b.c")
    assert not selection.wants("/a/b.o")
    assert not selection.wants("/a/b.tmp")
    assert selection.may_include_below("/a")


def test_any_of_the_includes_will_do() -> None:
    selection = Selection(include=(Patterns(["/a/x"]), Patterns(["/B"], ignore_case=True)))

    assert selection.wants("/a/x/deep")
    assert selection.wants("/b")
    assert not selection.wants("/a")
    assert selection.may_include_below("/a")
    assert not selection.may_include_below("/c")


def test_what_is_excluded_stays_out_whatever_includes_it() -> None:
    selection = Selection(include=(Patterns(["/a"]),), exclude=(Patterns(["/a/x"]),))

    assert not selection.wants("/a/x")
    assert selection.excludes("/a/x")


def test_lists_without_a_pattern_leave_nothing_out() -> None:
    nothing = (Patterns([]), Patterns([], ignore_case=True))

    assert Selection(include=nothing, exclude=nothing).is_everything
    assert not Selection(include=(Patterns(["/a"]),)).is_everything
    assert not Selection(exclude=(Patterns(["/a"]),)).is_everything
