import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format import config
from becalm_engine.format.config import Config, is_irreducible, random_polynomial
from tests.engine import strategies
from tests.engine.format import hostile

ID = "5956a3f67a6230d4a92cefb29529f10196c7d92582ec305fd71ff6d331d6271b"
VALID = f'{{"version":2,"id":"{ID}","chunker_polynomial":"3da3358b4dc173"}}'.encode()
polynomials = st.integers(2, 2**12)


def test_a_config_is_written_as_restic_writes_it() -> None:
    assert config.encode(Config(2, ID, 0x3DA3358B4DC173)) == VALID


@given(st.sampled_from((1, 2)), strategies.ids, st.integers(0, 2**54))
def test_a_config_reads_back_as_it_was(version: int, raw_id: bytes, polynomial: int) -> None:
    written = Config(version, raw_id.hex(), polynomial)

    assert config.decode(config.encode(written)) == written


def test_fields_of_other_tools_are_ignored() -> None:
    text = hostile.changed(VALID, {"append_only": True, "chunk_size": 5})

    assert config.decode(text) == Config(2, ID, 0x3DA3358B4DC173)


@pytest.mark.parametrize("version", [0, 3, -1, "2", 2.0, None, True])
def test_an_unknown_version_is_refused(version: object) -> None:
    with pytest.raises(DamagedError):
        config.decode(hostile.changed(VALID, {"version": version}))


@given(strategies.replaced_fields("version", "id", "chunker_polynomial"))
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object]) -> None:
    assert hostile.is_read_or_refused(config.decode, hostile.changed(VALID, changes))


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(config.decode, data)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"version":' + b"9" * 5000 + b"}", b"\xff\xfe{\x00}\x00"])
def test_json_beyond_reason_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedError):
        config.decode(text)


@pytest.mark.parametrize("repository_id", ["", "ab", "AB" * 32, "xy" * 32, "ab" * 33])
def test_an_id_that_is_not_64_hex_digits_is_damage(repository_id: str) -> None:
    with pytest.raises(DamagedError, match="64 hex digits"):
        config.decode(hostile.changed(VALID, {"id": repository_id}))


def test_a_source_of_randomness_that_gives_the_same_for_ever_is_no_endless_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "_TRIES", 5)
    reducible = (1 << 53) + 1  # x + 1 divides it

    with pytest.raises(DamagedError, match="randomness"):
        config.random_polynomial(lambda: reducible)


def test_restic_s_own_polynomials_are_irreducible() -> None:
    assert is_irreducible(0x3DA3358B4DC173)


@given(polynomials, polynomials)
def test_a_product_is_reducible(a: int, b: int) -> None:
    product = 0
    for bit in range(b.bit_length()):
        product ^= (a << bit) if b >> bit & 1 else 0

    assert not is_irreducible(product)


def test_irreducible_polynomials_are_as_many_as_gauss_counted() -> None:
    counted = {degree: sum(map(is_irreducible, range(1 << degree, 2 << degree))) for degree in range(2, 9)}

    assert counted == {2: 1, 3: 2, 4: 3, 5: 6, 6: 9, 7: 18, 8: 30}


@given(st.integers())
def test_a_drawn_polynomial_is_one_that_restic_accepts(seed: int) -> None:
    bits = random.Random(seed)

    polynomial = random_polynomial(lambda: bits.getrandbits(64))

    assert polynomial.bit_length() == 54
    assert is_irreducible(polynomial)
