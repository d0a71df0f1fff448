from becalm_engine.digits import whole_number


def test_a_number_has_digits_and_no_more_than_anybody_counts_to() -> None:
    assert whole_number("0017") == 17
    assert whole_number("9" * 100) == 10**100 - 1
    assert [whole_number(text) for text in ("", "-1", "1.0", "٣", "²", "9" * 101, "9" * 5000)] == [None] * 7
