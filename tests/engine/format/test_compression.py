import random
import threading
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format.compression import Codec, Compression, unwrap_document, wrap_document
from tests.engine.format import hostile

CODEC = Codec()
PLAIN = b"content " * 50
FRAME = zstandard.ZstdCompressor().compress(PLAIN)
SKIPPABLE = b"\x50\x2a\x4d\x18" + b"\x03\x00\x00\x00" + b"abc"


@given(st.binary(max_size=500), st.sampled_from(Compression))
def test_what_is_compressed_comes_back(plaintext: bytes, mode: Compression) -> None:
    codec = Codec(mode.level)

    packed = codec.compress(plaintext)

    assert codec.decompress(packed, plain_bytes=len(plaintext)) == plaintext


RANDOM = random.Random(1).randbytes(1 << 20)
TEXT = b"".join(b"%d %d\n" % (number, number * number) for number in range(60_000))[: 1 << 20]


def test_long_content_that_does_not_compress_seems_to_gain_nothing() -> None:
    assert not CODEC.seems_to_gain(RANDOM)
    assert not CODEC.seems_to_gain(memoryview(zlib.compress(RANDOM)))


@pytest.mark.parametrize("share", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [True, False])
def test_content_of_which_a_quarter_compresses_seems_to_gain(share: int, *, first: bool) -> None:
    text, noise = TEXT[: len(TEXT) // share], RANDOM[: len(RANDOM) - len(TEXT) // share]

    assert CODEC.seems_to_gain(text + noise if first else noise + text)


@given(st.integers(0, 2**19), st.booleans())
def test_short_content_always_seems_to_gain_and_text_of_any_length(length: int, zeros: bool) -> None:
    assert CODEC.seems_to_gain(bytes(length) if zeros else TEXT[:length])
    assert CODEC.seems_to_gain(RANDOM[: min(length, 256 * 1024)])


def test_whoever_asks_for_more_than_usual_gets_all_there_is() -> None:
    assert [mode for mode in Compression if mode.samples] == [Compression.FASTEST, Compression.AUTO]


@pytest.mark.parametrize(
    ("what", "packed"),
    [
        ("a checksum", zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)),
        ("no stated size", zstandard.ZstdCompressor(write_content_size=False).compress(PLAIN)),
        ("a negative level", zstandard.ZstdCompressor(level=-5).compress(PLAIN)),
        ("level 19", zstandard.ZstdCompressor(level=19).compress(PLAIN)),
        ("two frames", b"".join(map(zstandard.ZstdCompressor().compress, (PLAIN[:99], PLAIN[99:])))),
        ("a skippable frame first", SKIPPABLE + FRAME),
    ],
)
def test_every_kind_of_zstd_that_restic_reads_is_read(what: str, packed: bytes) -> None:
    assert CODEC.decompress(packed, plain_bytes=len(PLAIN)) == PLAIN


@pytest.mark.parametrize("stated", [0, len(PLAIN) - 1, len(PLAIN) + 1])
def test_a_wrong_length_is_damage(stated: int) -> None:
    with pytest.raises(DamagedError):
        CODEC.decompress(FRAME, plain_bytes=stated)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(10_000_000))

    with pytest.raises(DamagedError, match="more than 1000"):
        CODEC.decompress_at_most(bomb, max_bytes=1000)


@given(hostile.damage(FRAME))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(lambda packed: CODEC.decompress(packed, plain_bytes=len(PLAIN)), data)


@given(st.dictionaries(st.text(), st.text()).map(str).map(str.encode), st.sampled_from((1, 2)))
def test_a_document_comes_back_from_either_version(text: bytes, version: int) -> None:
    wrapped = wrap_document(text, CODEC, version=version)

    assert unwrap_document(wrapped, CODEC) == text
    assert wrapped[:1] == (b"\x02" if version == 2 else b"{")


@pytest.mark.parametrize("text", [b"", b"\x01{}", b"\x03{}", b" {}", b"null"])
def test_an_unknown_document_encoding_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedError):
        unwrap_document(text, CODEC)


@given(hostile.damage(wrap_document(b'{"packs":[]}', CODEC, version=2)))
def test_a_damaged_document_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(lambda text: unwrap_document(text, CODEC), data)


def test_one_codec_serves_several_threads() -> None:
    results: list[bytes] = []

    def work() -> None:
        results.extend(CODEC.decompress(CODEC.compress(PLAIN), plain_bytes=len(PLAIN)) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [PLAIN] * 200


@pytest.mark.parametrize("mode", Compression)
def test_the_names_of_the_modes_are_read(mode: Compression) -> None:
    assert Compression.parse(mode.value) is mode


def test_an_unknown_mode_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="off, fastest, auto, better, max"):
        Compression.parse("ultra")


def test_more_effort_never_means_a_lower_level() -> None:
    levels = [mode.level for mode in Compression]

    assert levels == sorted(levels)
