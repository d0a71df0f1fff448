"""The page of errors, and what it relies on: that each class of both trees says all that the page needs."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from docgen.__main__ import files, main
from docgen.errors import Kind, explained, page, tree

from becalm_engine.errors import EngineError
from becalm_operator.errors import OperatorError

ROOT = Path(__file__).resolve().parents[2]
ROOTS: tuple[Kind, ...] = (EngineError, OperatorError)
CLASSES = [kind for root in ROOTS for kind, _ in tree(root)]
SOURCES = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "operator").rglob("*.py")])


@pytest.mark.parametrize("path", files(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_generated_is_fresh(path: Path) -> None:
    assert path.read_text() == files(ROOT)[path], "run `make generate`"


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_a_row_with_what_a_script_needs(kind: Kind) -> None:
    [row] = [line for line in page().splitlines() if f"`{kind.__name__}` |" in line]

    _, _, code, retryable, meaning, to_do, _ = (cell.strip() for cell in row.split("|"))
    assert (code, retryable) == (str(kind.exit_code), "yes" if kind.retryable else "no")
    assert meaning.endswith(".")
    assert to_do.endswith(".")


def test_classes_stand_below_the_one_they_belong_to() -> None:
    depths = {kind.__name__: depth for kind, depth in tree(EngineError)}

    assert (depths["EngineError"], depths["StorageError"], depths["StorageFullError"]) == (0, 1, 2)


def test_a_class_that_does_not_say_what_to_do_is_refused() -> None:
    class SilentError(EngineError):
        """Something is wrong."""

    class BareError(EngineError):
        pass

    for kind in (SilentError, BareError):
        with pytest.raises(ValueError, match=kind.__name__):
            explained(kind)


def _made(path: Path) -> Iterator[tuple[str, int]]:
    """Yield what is called in a module by name, and in which line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node.lineno


def test_the_roots_are_caught_and_never_made() -> None:
    """Whoever reads the class must learn more than that something went wrong."""
    roots = {root.__name__ for root in ROOTS}

    assert [f"{path}:{line}" for path in SOURCES for name, line in _made(path) if name in roots] == []


def test_every_class_below_the_roots_is_used() -> None:
    texts = [path.read_text() for path in SOURCES if path.name != "errors.py"]

    unused = [kind.__name__ for kind in CLASSES if not any(kind.__name__ in text for text in texts)]

    assert unused == []


def test_the_check_tells_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "charts", tmp_path / "charts")

    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "errors.md is stale" in capsys.readouterr().err

    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
