"""The repository's config: sealed JSON, never compressed.

becalm cuts files with FastCDC, but restic refuses a repository without a valid polynomial, so one is made.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from becalm_engine.errors import DamagedError
from becalm_engine.format.documents import number_of, parse_object, text_of
from becalm_engine.ids import is_name

_DEGREE = 53
_TRIES = 1_000_000
READABLE_VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True)
class Config:
    """A repository's format version, its id (64 hex digits) and restic's chunker polynomial."""

    version: int
    id: str
    chunker_polynomial: int


def encode(config: Config) -> bytes:
    """Return the JSON of a config."""
    document = {
        "version": config.version,
        "id": config.id,
        "chunker_polynomial": f"{config.chunker_polynomial:x}",
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(text: bytes) -> Config:
    """Return the config in `text`; unknown fields are ignored.

    Raises:
        DamagedError: It is not a config, or of a version this engine does not know.
    """
    document = parse_object(text, "config")
    version = number_of(document, "version", "config")
    if version not in READABLE_VERSIONS:
        raise DamagedError(f"config: repository version {version} is not supported (only 1 and 2)")
    repository_id = text_of(document, "id", "config")
    if not is_name(repository_id):
        raise DamagedError("config: id is not 64 hex digits")
    try:
        polynomial = int(text_of(document, "chunker_polynomial", "config"), 16)
    except ValueError as error:
        raise DamagedError("config: chunker_polynomial is not hex") from error
    return Config(version, repository_id, polynomial)


def random_polynomial(random_bits: Callable[[], int]) -> int:
    """Draw an irreducible polynomial of degree 53 over GF(2). `random_bits` gives 64 random bits."""
    for _ in range(_TRIES):
        candidate = random_bits() & ((1 << (_DEGREE + 1)) - 1) | 1 << _DEGREE | 1
        if is_irreducible(candidate):
            return candidate
    raise DamagedError("the source of randomness gives no irreducible polynomial")


def is_irreducible(polynomial: int) -> bool:
    """Apply Ben-Or's test: no common factor with x^(2^i) - x for any i up to half the degree."""
    degree = polynomial.bit_length() - 1
    power = 2  # the polynomial x
    for _ in range(degree // 2):
        power = _remainder(_square(power), polynomial)
        if _common_divisor(polynomial, power ^ 2) != 1:
            return False
    return True


def _square(polynomial: int) -> int:
    """Square over GF(2): a zero between any two bits."""
    return int("0".join(f"{polynomial:b}"), 2)


def _remainder(dividend: int, divisor: int) -> int:
    length = divisor.bit_length()
    while dividend.bit_length() >= length:
        dividend ^= divisor << (dividend.bit_length() - length)
    return dividend


def _common_divisor(a: int, b: int) -> int:
    while b:
        a, b = b, _remainder(a, b)
    return a
