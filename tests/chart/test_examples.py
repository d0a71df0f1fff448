"""Examples against the CRDs as a stranger reads them: kubeconform, which knows nothing of our models."""

import copy
import functools
import json
import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from e2e.paths import places

from becalm_operator.api.names import SCHEDULE_LABEL
from tests.chart.conftest import ROOT, Document, fits

Check = Callable[[Document], "subprocess.CompletedProcess[str]"]


def _examples() -> Iterator[tuple[str, Document]]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield from ((path.name, document) for document in yaml.safe_load_all(path.read_text()))
    for page in ("README.md", "docs/restore.md", "docs/dumps.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        yield from ((f"{page}[{at}]", yaml.safe_load(textwrap.dedent(one))) for at, one in enumerate(blocks))


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


@pytest.mark.parametrize("job", ["prune.yaml:Job", "restore-by-hand.yaml:Job"])
def test_what_is_done_by_hand_is_done_to_the_repository_beside_it(job: str) -> None:
    every = dict(EXAMPLES + OTHERS)
    repository = every["s3-repository.yaml:BackupRepository"]["spec"]
    pod = every[job]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    password, s3 = repository["passwordSecretRef"], repository["storage"]["s3"]

    variables = {one["name"]: one for one in container["env"]}
    location = f"s3:{s3['endpoint']}/{s3['bucket']}/{s3['prefix']}"
    assert variables["RESTIC_REPOSITORY"]["value"] == location
    assert variables["AWS_DEFAULT_REGION"]["value"] == s3["region"]
    # as a file, as for movers: from that, unlike from a variable, a newline at the end is taken off
    folder, _, key = variables["RESTIC_PASSWORD_FILE"]["value"].rpartition("/")
    (volume,) = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == folder]
    secrets = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one}
    assert {"name": secrets[volume], "key": key} == password
    assert container["envFrom"] == [{"secretRef": s3["credentialsSecretRef"]}]


def test_the_backup_that_is_made_of_a_schedule_by_hand_fits_the_crds(check: Check) -> None:
    """The program of jq on the page is of the simplest kind: names, paths and texts, which YAML reads as well."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (program,) = re.findall(r"get backupschedule nightly -o json \\\n *\| jq '(.*?)'", page, re.DOTALL)
    schedule = next(one for name, one in EXAMPLES if name == "nightly-schedule.yaml:BackupSchedule")
    schedule = {**schedule, "metadata": {**schedule["metadata"], "namespace": "shop"}}

    made = _filled(yaml.safe_load(program), schedule)

    done = check(made)
    assert done.returncode == 0, done.stdout
    assert made["spec"] == schedule["spec"]["template"]["spec"]
    assert made["metadata"]["namespace"] == "shop"
    # by this the schedule's retention knows its snapshots
    assert made["metadata"]["labels"] == {SCHEDULE_LABEL: "nightly"}


def _filled(template: dict[str, Any], document: Document) -> dict[str, Any]:
    """Return what jq makes of a template: `name` alone is that field, `.a.b` what stands there, all else a text."""
    made: dict[str, Any] = {}
    for key, value in template.items():
        if isinstance(value, dict):
            made[key] = _filled(value, document)
        elif value is None or value.startswith("."):
            path = key if value is None else value.removeprefix(".")
            made[key] = functools.reduce(lambda inner, name: inner[name], path.split("."), document)
        else:
            made[key] = value
    return made


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
