import hashlib
import sys
import unicodedata

import pytest

from becalm_engine.format.printable import is_printable

# One byte per code point, 1 where `strconv.IsPrint` says true; printed by Go 1.26 (unicode.Version 15.0.0).
GO_DIGEST = "a24a109bc8e347f9490466c59e4160d0dc9dd1006a5be9a4c91af71cd2e7fa99"


@pytest.mark.slow
def test_the_table_is_the_one_that_go_prints() -> None:
    table = bytes(is_printable(chr(code)) for code in range(sys.maxunicode + 1))

    assert hashlib.sha256(table).hexdigest() == GO_DIGEST


@pytest.mark.slow
def test_where_python_knows_a_character_it_agrees() -> None:
    version = tuple(map(int, unicodedata.unidata_version.split(".")))

    characters = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) != "Cn"]
    differing = [c for c in characters if is_printable(c) != c.isprintable()]

    # what Python knows beyond Unicode 15.0 was printed by no restic's Go so far
    assert all(version > (15, 0, 0) and not is_printable(c) for c in differing)
