import pytest

from becalm_engine.errors import DamagedError
from becalm_engine.format.documents import number_of, parse_object, text_of, texts_of


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"5", b"{", b'{"a":\xff}', b"\x02{}", b'{"a":1}x'])
def test_what_is_no_object_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedError, match="thing"):
        parse_object(text, "thing")


def test_an_absent_field_takes_its_default_or_is_damage() -> None:
    assert text_of({}, "name", "thing", "x") == "x"
    assert number_of({}, "size", "thing", 4) == 4
    assert texts_of({"tags": None}, "tags", "thing") == ()
    with pytest.raises(DamagedError, match="thing: name"):
        text_of({}, "name", "thing")
    with pytest.raises(DamagedError, match="thing: size"):
        number_of({}, "size", "thing")


@pytest.mark.parametrize("value", [True, 1.0, "1", -1, None, [1]])
def test_only_whole_numbers_are_numbers(value: object) -> None:
    with pytest.raises(DamagedError):
        number_of({"size": value}, "size", "thing")
