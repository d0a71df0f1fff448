import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from e2e.paths import places

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "becalm"
IMAGE = "--set=image.repository=registry.example.org/becalm"
"""What the chart has no default for."""

Document = dict[str, Any]
Render = Callable[..., list[Document]]


@pytest.fixture(scope="session")
def helm() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs helm."""
    program = places().binary("helm")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> Render:
    """Renders the chart with values for a release, as a list of documents."""

    def rendered(*values: str, release: str = "becalm", namespace: str = "becalm") -> list[Document]:
        flags = [IMAGE, f"--namespace={namespace}", *(f"--set={value}" for value in values)]
        done = helm("template", release, str(CHART), "--kube-version=1.34.0", *flags)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


def of_kind(documents: Sequence[Document], kind: str) -> list[Document]:
    """Return the documents of one kind."""
    return [document for document in documents if document["kind"] == kind]


def fits(document: Document, model: str) -> None:
    """See that a document is what the API server expects of the kind that a model of Kubernetes' client describes."""
    made = getattr(kubernetes.client, model).from_dict(document)
    _same(document, made.model_dump(mode="json", by_alias=True), document["kind"])


def _same(written: Any, understood: Any, path: str) -> None:
    """A field that the model does not know is a typo, which the API server would drop in silence."""
    if isinstance(written, dict) and isinstance(understood, dict):
        for key, value in written.items():
            if value not in (None, {}, []):
                assert key in understood, f"{path}.{key} is no field"
                _same(value, understood[key], f"{path}.{key}")
    elif isinstance(written, list) and isinstance(understood, list):
        for at, (one, other) in enumerate(zip(written, understood, strict=True)):
            _same(one, other, f"{path}[{at}]")
