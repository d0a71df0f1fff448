from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import OVERHEAD_BYTES, Envelope, Key, seal, unseal
from tests.engine import strategies
from tests.engine.format import hostile

KEY = Key(bytes(range(0x20)), bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40)))
IV = bytes(range(0x40, 0x50))
PLAINTEXT = b'{"nodes":[]}\n'
SEALED = bytes.fromhex(
    "404142434445464748494a4b4c4d4e4f"  # IV
    "d85cb150f33fc9cda9203fba87"  # ciphertext
    "69c47f91ec41da1bcc2336ae529e6752"  # tag
)


def test_the_known_envelope_comes_out() -> None:
    assert seal(KEY, PLAINTEXT, iv=IV) == SEALED


def test_the_known_envelope_opens() -> None:
    assert unseal(KEY, SEALED) == PLAINTEXT


@pytest.mark.parametrize(
    ("message", "r", "k", "nonce", "tag"),
    [
        (
            "f3f6",
            "851fc40c3467ac0be05cc20404f3f700",
            "ec074c835580741701425b623235add6",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f4c633c3044fc145f84f335cb81953de",
        ),
        (
            "",
            "a0f3080000f46400d0c7e9076c834403",
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "dd3fab2251f11ac759f0887129cc2ee7",
        ),
        (
            "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
            "48443d0bb0d21109c89a100b5ce2c208",
            "6acb5f61a7176dd320c5c1eb2edcdc74",
            "ae212a55399729595dea458bc621ff0e",
            "0ee1c16bb73f0f4fd19881753c01cdbe",
        ),
    ],
)
def test_tags_are_those_of_the_poly1305_aes_paper(message: str, r: str, k: str, nonce: str, tag: str) -> None:
    key = Key(bytes(32), bytes.fromhex(k), bytes.fromhex(r))
    iv, ciphertext = bytes.fromhex(nonce), bytes.fromhex(message)
    plaintext = seal(key, ciphertext, iv=iv)[16:-16]  # counter mode is its own inverse

    sealed = seal(key, plaintext, iv=iv)

    assert sealed[16:-16] == ciphertext
    assert sealed[-16:].hex() == tag


@given(strategies.keys, strategies.ivs, st.binary(max_size=200))
def test_what_is_sealed_opens_again(key: Key, iv: bytes, plaintext: bytes) -> None:
    sealed = seal(key, plaintext, iv=iv)

    assert unseal(key, memoryview(sealed)) == plaintext
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES


@given(strategies.keys, st.lists(st.tuples(strategies.ivs, st.binary(max_size=100)), min_size=1, max_size=5))
def test_one_envelope_seals_and_opens_one_after_the_other(key: Key, many: list[tuple[bytes, bytes]]) -> None:
    envelope = Envelope(key)

    sealed = [envelope.seal(plaintext, iv=iv) for iv, plaintext in many]

    assert sealed == [seal(key, plaintext, iv=iv) for iv, plaintext in many]
    assert [envelope.unseal(one) for one in sealed] == [plaintext for _, plaintext in many]


def test_what_is_unsealed_for_a_look_is_good_until_the_next_look() -> None:
    envelope = Envelope(KEY)
    texts = [bytes([number]) * length for number, length in enumerate((5, 0, 2**20, 2**20 + 1, 3 * 2**20, 1))]
    kept = []
    for text in texts:
        sealed = envelope.seal(text, iv=bytes(16))
        assert envelope.unseal_briefly(sealed) == text
        kept.append(envelope.unseal(sealed))

    assert kept == texts


@given(strategies.keys, strategies.ivs, st.binary(max_size=100))
def test_sealing_into_a_place_touches_nothing_beside_it(key: Key, iv: bytes, plaintext: bytes) -> None:
    length = len(plaintext) + OVERHEAD_BYTES
    around = bytearray(b"#" * (length + 20))

    Envelope(key).seal_into(plaintext, memoryview(around)[10 : 10 + length], iv=iv)

    assert around == b"#" * 10 + seal(key, plaintext, iv=iv) + b"#" * 10


@given(strategies.keys, st.lists(st.tuples(strategies.ivs, st.binary(max_size=100)), max_size=5))
def test_sealing_many_is_sealing_each(key: Key, many: list[tuple[bytes, bytes]]) -> None:
    places = [bytearray(len(plaintext) + OVERHEAD_BYTES) for _, plaintext in many]
    pairs = [(plaintext, memoryview(place)) for (_, plaintext), place in zip(many, places, strict=True)]

    Envelope(key).seal_each(pairs, ivs=b"".join(iv for iv, _ in many))

    assert places == [seal(key, plaintext, iv=iv) for iv, plaintext in many]


def test_threads_do_not_disturb_each_other() -> None:
    envelope = Envelope(KEY)
    texts = [bytes([number]) * 50_000 for number in range(64)]
    ivs = [bytes([number]) * 16 for number in range(64)]

    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda text, iv: envelope.seal(text, iv=iv), texts, ivs))

    assert sealed == [seal(KEY, text, iv=iv) for text, iv in zip(texts, ivs, strict=True)]


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_no_bit_can_be_changed(bit: int) -> None:
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DamagedError):
        unseal(KEY, bytes(changed))


@given(st.integers(0, len(SEALED) - 1))
def test_nothing_can_be_cut_off(end: int) -> None:
    with pytest.raises(DamagedError):
        unseal(KEY, SEALED[:end])


@given(hostile.damage(SEALED))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(lambda sealed: unseal(KEY, sealed), data)


def test_another_key_does_not_open_it() -> None:
    other = Key.from_bytes(bytes(64))

    with pytest.raises(DamagedError):
        unseal(other, SEALED)


@given(strategies.keys)
def test_key_material_reads_back(key: Key) -> None:
    assert Key.from_bytes(key.to_bytes()) == key


def test_key_material_of_another_length_is_damage() -> None:
    with pytest.raises(DamagedError):
        Key.from_bytes(bytes(63))


def test_a_key_does_not_show_itself() -> None:
    assert repr(KEY) == "Key()"
