"""Examples against the CRDs as a stranger reads them: kubeconform, which knows nothing of our models."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from e2e.paths import places

from tests.chart.conftest import ROOT, Document, fits

Check = Callable[[Document], "subprocess.CompletedProcess[str]"]


def _examples() -> Iterator[tuple[str, Document]]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield from ((path.name, document) for document in yaml.safe_load_all(path.read_text()))
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        yield from (("README.md", document) for document in yaml.safe_load_all(block))


EXAMPLES = [(f"{name}:{one['kind']}", one) for name, one in _examples() if "becalm.dev" in one["apiVersion"]]
OTHERS = [
    (f"{name}:{one['kind']}", one) for name, one in _examples() if "becalm.dev" not in one["apiVersion"]
]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Checks one document against the schema of its kind."""
    folder = tmp_path_factory.mktemp("schemas")
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())["spec"]
        schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
        (folder / f"{crd['names']['kind'].lower()}.json").write_text(json.dumps(_closed(schema)))
    location = f"-schema-location={folder}/{{{{.ResourceKind}}}}.json"

    def checked(document: Document) -> "subprocess.CompletedProcess[str]":
        command = [places().binary("kubeconform"), "-strict", "-output=json", location, "-"]
        return subprocess.run(
            command, input=yaml.safe_dump(document), capture_output=True, text=True, check=False
        )

    return checked


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that refuses unknown fields, which the API server would drop in silence."""
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: _closed(field) for name, field in schema["properties"].items()}
        made["additionalProperties"] = False
    if "items" in schema:
        made["items"] = _closed(schema["items"])
    return made


@pytest.mark.parametrize(("name", "document"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_fits_the_crds(check: Check, name: str, document: Document) -> None:
    done = check(document)

    assert done.returncode == 0, done.stdout


def test_what_is_not_ours_is_what_the_api_server_expects() -> None:
    assert OTHERS
    for _, document in OTHERS:
        fits(document, f"V1{document['kind']}")


def test_the_prune_is_that_of_the_repository_beside_it() -> None:
    every = dict(EXAMPLES + OTHERS)
    repository = every["s3-repository.yaml:BackupRepository"]["spec"]
    (container,) = every["prune.yaml:Job"]["spec"]["template"]["spec"]["containers"]
    password, s3 = repository["passwordSecretRef"], repository["storage"]["s3"]

    variables = {one["name"]: one for one in container["env"]}
    location = f"s3:{s3['endpoint']}/{s3['bucket']}/{s3['prefix']}"
    assert variables["RESTIC_REPOSITORY"]["value"] == location
    assert variables["AWS_DEFAULT_REGION"]["value"] == s3["region"]
    assert variables["RESTIC_PASSWORD"]["valueFrom"]["secretKeyRef"] == password
    assert container["envFrom"] == [{"secretRef": s3["credentialsSecretRef"]}]


def test_every_kind_has_an_example() -> None:
    kinds = {
        yaml.safe_load(path.read_text())["spec"]["names"]["kind"] for path in (ROOT / "crds").glob("*.yaml")
    }

    assert {document["kind"] for _, document in EXAMPLES} == kinds


def test_the_index_of_the_examples_names_them_all() -> None:
    index = (ROOT / "examples" / "README.md").read_text()

    assert set(re.findall(r"\((\S+\.yaml)\)", index)) == {
        path.name for path in (ROOT / "examples").glob("*.yaml")
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workload", []),
        ("workloads", [{"kind": "deployment", "name": "web"}]),
        ("quiesce", {"maxDowntime": "half an hour"}),
        ("quiesce", {"drainTimeout": "99999999h"}),
        ("tags", ["a,b"]),
    ],
)
def test_a_mistake_is_found(check: Check, field: str, value: Any) -> None:
    document = copy.deepcopy(next(one for _, one in EXAMPLES if one["kind"] == "Backup"))
    document["spec"][field] = value

    assert check(document).returncode == 1
