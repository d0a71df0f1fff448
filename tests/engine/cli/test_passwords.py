import pytest

from becalm_engine.cli import passwords


@pytest.mark.parametrize(
    ("raw", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b" \t\v\f\r\nsecret \t\r\n\n", "secret"),
        ("\x85\xa0\u1680\u2000\u2005\u200a\u2028\u2029\u202f\u205f\u3000secret\u3000".encode(), "secret"),
        (b"two words\nand a line\n", "two words\nand a line"),
        (b"se\rcret\r\nx", "se\rcret\r\nx"),
        (b"\x1csecret\x1d\x1e\x1f", "\x1csecret\x1d\x1e\x1f"),
        ("\u200bsecret-\n".encode(), "\u200bsecret-"),
        (b"s\xe9cret\xa0\n", "s\udce9cret\udca0"),
        (b" \n", ""),
        (b"", ""),
    ],
)
def test_files_and_output_are_trimmed_as_go_does(raw: bytes, password: str) -> None:
    assert passwords.in_file(raw)[0] == password
    assert passwords.in_output(raw)[0] == password


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf s\xc3\xa9cret\n",
        "\ufeff s\u00e9cret\n".encode("utf-16-le"),
        "\ufeff s\u00e9cret\n".encode("utf-16-be"),
    ],
)
def test_a_file_may_say_how_it_is_encoded_and_what_is_printed_may_not(raw: bytes) -> None:
    assert passwords.in_file(raw)[0] == "s\u00e9cret"
    assert passwords.in_output(raw)[0] == raw.decode("utf-8", "surrogateescape").strip()


@pytest.mark.parametrize(
    ("raw", "password"),
    [
        (b" secret \t\r\n\n", " secret \t"),
        (b"secret\n", "secret"),
        (b"se\rcret\r\nx\r", "se\ncret\nx"),
        (b" \n", " "),
        (b"\xef\xbb\xbfsecret\n", "\ufeffsecret"),
        (b"s\xe9cret\n", ""),
    ],
)
def test_what_becalm_once_took_of_the_same_bytes_is_known(raw: bytes, password: str) -> None:
    assert passwords.in_file(raw)[1] == passwords.in_output(raw)[1] == password
