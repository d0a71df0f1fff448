from pathlib import Path

import pytest

from becalm_engine.volume import hot
from tests.engine.volume.disks import disk


def test_nothing_speaks_against_a_disk(tmp_path: Path) -> None:
    with disk(tmp_path) as place:
        assert hot.reason_against([bytes(place)]) == ""
        assert hot.synced([bytes(place)]) == ""


def test_what_is_mounted_below_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "mounts_below", lambda _: [b"/proc"])
    with disk(tmp_path) as place:
        reason = hot.reason_against([bytes(place)])

    assert reason == "/proc is proc, whose files need not tell that they were changed"


def test_what_cannot_be_opened_is_not_trusted(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    assert hot.reason_against([bytes(gone)]) == f"{gone} cannot be opened: No such file or directory"
    assert hot.synced([bytes(gone)]) == f"{gone} cannot be synced: No such file or directory"
