"""The walls between modules leave none out: import-linter looks at those alone that a contract lists."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "engine" / "becalm_engine"
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def modules(package: Path) -> set[str]:
    """Return the dotted names of what lies in a package."""
    found = [
        path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    prefix = ".".join(package.relative_to(ENGINE.parent).parts)
    return {f"{prefix}.{name}" for name in found} - {f"{prefix}.__init__"}


def test_the_operator_is_walled_from_all_of_the_engine_but_its_contract() -> None:
    walled = CONTRACTS["the operator knows the engine only by its contract"]["forbidden_modules"]

    assert set(walled) == modules(ENGINE) - {"becalm_engine.contract"}
