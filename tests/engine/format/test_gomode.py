import pytest

from becalm_engine.format.gomode import mode_text
from becalm_engine.format.tree import CHARDEV, DEV, DIR, FIFO, FILE, SOCKET, SYMLINK, go_mode


@pytest.mark.parametrize(
    ("kind", "mode", "text"),
    [
        (FILE, 0o644, "-rw-r--r--"),
        (FILE, 0o4755, "urwxr-xr-x"),
        (FILE, 0o7777, "ugtrwxrwxrwx"),
        (FILE, 0, "----------"),
        (DIR, 0o1777, "dtrwxrwxrwx"),
        (SYMLINK, 0o777, "Lrwxrwxrwx"),
        (DEV, 0o660, "Drw-rw----"),
        (CHARDEV, 0o644, "Dcrw-r--r--"),
        (FIFO, 0o600, "prw-------"),
        (SOCKET, 0o755, "Srwxr-xr-x"),
    ],
)
def test_modes_read_as_in_go(kind: str, mode: int, text: str) -> None:
    assert mode_text(go_mode(kind, mode)) == text
