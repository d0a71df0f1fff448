import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.names import quote, unquote


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        (b"plain name.txt", "plain name.txt"),
        (b"\a\b\f\n\r\t\v", r"\a\b\f\n\r\t\v"),
        (b'say "hi"', r"say \"hi\""),
        (b"back\\slash", r"back\\slash"),
        (b"\x00\x01\x1f\x7f", r"\x00\x01\x1f\x7f"),
        (b"\xff", r"\xff"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # a surrogate
        (b"\xc0\xaf", r"\xc0\xaf"),  # an overlong slash
        (b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"),  # above U+10FFFF
        ("\u2028\u00ad\u00a0".encode(), r"\u2028\u00ad\u00a0"),
        ("\u0085\u200b\u3000\ufeff".encode(), r"\u0085\u200b\u3000\ufeff"),
        ("\ue000\U000e0001\U0010ffff".encode(), r"\ue000\U000e0001\U0010ffff"),
        ("\ufffd😀é'`<>&".encode(), "\ufffd😀é'`<>&"),
        ("\U0001fae8".encode(), "\U0001fae8"),  # new in Unicode 15.0
    ],
)
def test_names_are_quoted_as_restic_quotes_them(name: bytes, quoted: str) -> None:
    assert quote(name) == quoted
    assert unquote(quoted) == name


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_quoted_name_reads_back_as_it_was(name: bytes) -> None:
    assert unquote(quote(name)) == name


@given(st.binary())
def test_a_quoted_name_can_be_written_into_json_and_read_by_people(name: bytes) -> None:
    quoted = quote(name)

    quoted.encode()
    assert not any(ord(character) < 0x20 or ord(character) == 0x7F for character in quoted)


@pytest.mark.parametrize(
    ("quoted", "name"), [(r"\101\377", b"A\xff"), (r"\u00e9", b"\xc3\xa9"), ("a\tb", b"a\tb")]
)
def test_other_forms_that_go_unquotes_are_read(quoted: str, name: bytes) -> None:
    assert unquote(quoted) == name


@pytest.mark.parametrize(
    "quoted",
    [
        "\\",
        "a\\qb",
        'a"b',
        "a\nb",
        r"\'",
        r"\x1",
        r"\xgg",
        r"\400",
        r"\ud800",
        r"\U00110000",
        r"\u12",
        "\ud800",
        "\\n\udc80",
    ],
)
def test_what_go_would_not_unquote_is_damage(quoted: str) -> None:
    with pytest.raises(DamagedError):
        unquote(quoted)


@given(st.text('\\"abfnrtvxuU01289\n\ud800é', max_size=12))
def test_odd_escapes_are_read_or_called_damage(quoted: str) -> None:
    try:
        name = unquote(quoted)
    except DamagedError:
        return

    assert unquote(quote(name)) == name
