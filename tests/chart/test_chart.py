"""The chart as a user renders it: valid, least privileged, and true to the CRDs."""

import re
import subprocess
import tomllib
from collections.abc import Callable

import pytest
import yaml

from becalm_operator.handlers.watches import WATCHED, Watched
from tests.chart.conftest import CHART, IMAGE, ROOT, Document, Render, fits, of_kind

Helm = Callable[..., "subprocess.CompletedProcess[str]"]

_MODELS = {
    "ClusterRole": "V1ClusterRole",
    "ClusterRoleBinding": "V1ClusterRoleBinding",
    "ConfigMap": "V1ConfigMap",
    "CronJob": "V1CronJob",
    "CustomResourceDefinition": "V1CustomResourceDefinition",
    "Deployment": "V1Deployment",
    "Job": "V1Job",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
}
_VARIANTS = [
    (),
    ("watchNamespaces={shop,office}",),
    ("crds.install=false", "rbac.create=false", "serviceAccount.create=false", "releaseOnUninstall=false"),
    ("image.digest=sha256:" + "a" * 64, "imagePullSecrets[0].name=registry", "priorityClassName=high"),
    (
        "nodeSelector.disk=ssd",
        "tolerations[0].operator=Exists",
        "podLabels.team=storage",
        "extraEnv[0].name=A",
    ),
    ("watchdog.enabled=false",),
    ("hooks.enabled=true",),
    ("dumps.enabled=true",),
    ("metrics.enabled=false",),
    ("metrics.dashboard.enabled=true",),
    ("extraKinds={widgets.example.org}",),
    ("extraKinds={widgets.example.org}", "watchNamespaces={shop}", "watchdog.enabled=false"),
    (
        "watchdog.schedule=* * * * *",
        "watchdog.serviceAccount.create=false",
        "watchdog.serviceAccount.name=dog",
    ),
]


def test_helm_finds_no_fault(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", _VARIANTS)
def test_every_document_is_what_the_api_server_expects(render: Render, values: tuple[str, ...]) -> None:
    for document in render(*values):
        fits(document, _MODELS[document["kind"]])


@pytest.mark.parametrize(
    "value",
    [
        "imagee.tag=1",
        "image.tagg=1",
        "crds.instal=true",
        "log.format=xml",
        "image.digest=sha256:12",
        "replicas=2",
        "watchdog.often=true",
        "hooks.enabled=yes",
        "dumps.enabled=yes",
        "extraKinds={Widget}",
        "extraKinds={widgets}",
        "image.repository=registry.example.org/becalm:0.1.0",
        "image.repository=registry.example.org/be calm",
    ],
)
def test_a_value_that_the_chart_does_not_know_is_refused(helm: Helm, value: str) -> None:
    done = helm("template", "becalm", str(CHART), "--kube-version=1.34.0", IMAGE, f"--set={value}")

    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize("values", _VARIANTS[:2])
def test_the_operator_may_touch_no_secret(render: Render, values: tuple[str, ...]) -> None:
    documents = render(*values)
    rules = [
        rule
        for document in (*of_kind(documents, "ClusterRole"), *of_kind(documents, "Role"))
        for rule in document["rules"]
    ]

    assert rules
    for rule in rules:
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        assert not {"secrets", "pods/exec", "serviceaccounts/token"} & set(rule["resources"])


@pytest.mark.parametrize("values", [(), ("watchNamespaces={shop}",)])
def test_commands_in_pods_may_be_run_only_where_hooks_are_enabled(
    render: Render, values: tuple[str, ...]
) -> None:
    def granted(*more: str) -> set[tuple[str, str, str]]:
        return _granted(_rules(render(*values, *more), "becalm-becalm"))

    assert granted("hooks.enabled=true") - granted() == {
        ("", "pods/exec", "create"),
        ("", "pods/exec", "get"),
    }
    assert granted() < granted("hooks.enabled=true")


@pytest.mark.parametrize("enabled", ["false", "true"])
@pytest.mark.parametrize("what", ["hooks", "dumps"])
def test_the_operator_is_told_whether_hooks_and_dumps_are_enabled(
    render: Render, what: str, enabled: str
) -> None:
    (deployment,) = of_kind(render(f"{what}.enabled={enabled}"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert {"name": f"BECALM_{what.upper()}", "value": enabled} in container["env"]


def test_neither_hooks_nor_dumps_are_enabled_unless_somebody_says_so(render: Render) -> None:
    (deployment,) = of_kind(render(), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    told = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert (told["BECALM_HOOKS"], told["BECALM_DUMPS"]) == ("false", "false")


def test_dumps_take_no_permission(render: Render) -> None:
    assert _rules(render("dumps.enabled=true"), "becalm-becalm") == _rules(render(), "becalm-becalm")


@pytest.mark.parametrize("watched", WATCHED, ids=lambda watched: watched.plural)
def test_the_operator_may_list_and_watch_what_it_watches(render: Render, watched: Watched) -> None:
    (role,) = [one for one in of_kind(render(), "ClusterRole") if one["metadata"]["name"] == "becalm-becalm"]

    granted = {
        verb
        for rule in role["rules"]
        if watched.group in rule["apiGroups"] and watched.plural in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {"list", "watch"} <= granted


def test_a_role_of_a_namespace_allows_what_the_cluster_role_does(render: Render) -> None:
    cluster_wide = next(
        one for one in of_kind(render(), "ClusterRole") if one["metadata"]["name"] == "becalm-becalm"
    )
    roles = of_kind(render("watchNamespaces={shop,office}"), "Role")
    mine = [role for role in roles if role["metadata"]["name"] == "becalm-becalm"]

    assert [role["metadata"]["namespace"] for role in mine] == ["shop", "office"]
    for role in mine:
        assert role["rules"] == cluster_wide["rules"]


def test_with_watched_namespaces_nothing_is_cluster_wide(render: Render) -> None:
    documents = render("watchNamespaces={shop,office}", "rbac.aggregateToUserRoles=false")

    assert of_kind(documents, "ClusterRole") == []
    assert of_kind(documents, "ClusterRoleBinding") == []
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} == {
        "shop",
        "office",
        "becalm",
    }


def _templates(documents: list[Document]) -> list[Document]:
    jobs = [document["spec"]["jobTemplate"] for document in of_kind(documents, "CronJob")]
    found = (*of_kind(documents, "Deployment"), *of_kind(documents, "Job"), *jobs)
    return [document["spec"]["template"] for document in found]


def _pods(documents: list[Document]) -> list[Document]:
    return [template["spec"] for template in _templates(documents)]


def test_pods_meet_the_restricted_standard(render: Render) -> None:
    for pod in _pods(render()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


_SEEN_FOR_SNAPSHOTS = {
    ("snapshot.storage.k8s.io", "volumesnapshotclasses", "list"),
    ("storage.k8s.io", "storageclasses", "get"),
    ("storage.k8s.io", "volumeattachments", "list"),
    ("", "persistentvolumes", "get"),
}


@pytest.mark.parametrize("values", [(), ("watchNamespaces={shop}",)])
def test_snapshots_take_permissions_that_are_asked_for(render: Render, values: tuple[str, ...]) -> None:
    without = render(*values)
    documents = render(*values, "volumeSnapshots.enabled=true")

    more = _granted(_rules(documents, "becalm-becalm")) - _granted(_rules(without, "becalm-becalm"))
    snapshots = ("snapshot.storage.k8s.io", "volumesnapshots")
    assert more == {(*snapshots, verb) for verb in ("list", "create", "delete")}
    assert _granted(_rules(documents, "becalm-becalm-volumes")) == _SEEN_FOR_SNAPSHOTS
    assert _rules(without, "becalm-becalm-volumes") == []
    (binding,) = [
        one
        for one in of_kind(documents, "ClusterRoleBinding")
        if one["roleRef"]["name"] == "becalm-becalm-volumes"
    ]
    assert [one["name"] for one in binding["subjects"]] == ["becalm"]


@pytest.mark.parametrize("values", [(), ("watchNamespaces={shop}",)])
@pytest.mark.parametrize("asking", ["hooks", "volumeSnapshots"])
def test_what_asks_whether_it_is_allowed_may_ask(
    render: Render, asking: str, values: tuple[str, ...]
) -> None:
    """Kubernetes lets everybody, unless somebody has taken that away."""
    documents = render(*values, f"{asking}.enabled=true")
    name = "becalm-becalm-reviews"

    assert _granted(_rules(documents, name)) == {
        ("authorization.k8s.io", "selfsubjectaccessreviews", "create")
    }
    (binding,) = [one for one in of_kind(documents, "ClusterRoleBinding") if one["roleRef"]["name"] == name]
    assert [one["name"] for one in binding["subjects"]] == ["becalm"]
    assert _rules(render(*values), name) == []


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_the_operator_may_touch_no_claim(render: Render, enabled: str) -> None:
    granted = _granted(_rules(render(f"volumeSnapshots.enabled={enabled}"), "becalm-becalm"))

    assert {verb for _, resource, verb in granted if resource == "persistentvolumeclaims"} == {"list"}


def test_uninstalling_starts_what_is_held_down_first(render: Render) -> None:
    (job,) = of_kind(render(), "Job")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "becalm-operator",
        "release",
        "--uninstall",
    ]


def _rules(documents: list[Document], name: str) -> list[Document]:
    found = (*of_kind(documents, "ClusterRole"), *of_kind(documents, "Role"))
    return [rule for role in found if role["metadata"]["name"] == name for rule in role["rules"]]


def _granted(rules: list[Document]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_watchdog_runs_by_itself_with_an_identity_of_its_own(render: Render) -> None:
    documents = render()
    (cron_job,) = of_kind(documents, "CronJob")
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    assert cron_job["spec"]["concurrencyPolicy"] == "Forbid"
    assert pod["containers"][0]["command"] == ["becalm-operator", "watchdog"]
    assert pod["serviceAccountName"] == "becalm-watchdog"
    accounts = {account["metadata"]["name"] for account in of_kind(documents, "ServiceAccount")}
    assert accounts == {"becalm", "becalm-watchdog"}
    bound = {
        binding["roleRef"]["name"]
        for binding in (*of_kind(documents, "ClusterRoleBinding"), *of_kind(documents, "RoleBinding"))
        if binding["subjects"][0]["name"] == "becalm-watchdog"
    }
    assert bound == {"becalm-becalm-watchdog"}


@pytest.mark.parametrize("values", [(), ("watchNamespaces={shop}",)])
def test_the_watchdog_may_start_workloads_and_tell_of_it_and_nothing_else(
    render: Render, values: tuple[str, ...]
) -> None:
    assert _granted(_rules(render(*values), "becalm-becalm-watchdog")) == {
        *(
            ("becalm.dev", kind, verb)
            for kind in ("backups", "restores")
            for verb in ("get", "list", "patch")
        ),
        *((group, resource, verb) for group, resource in _SCALED for verb in ("list", "patch")),
        ("events.k8s.io", "events", "create"),
    }


_SCALED = (
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "replicasets"),
    ("batch", "cronjobs"),
    ("keda.sh", "scaledobjects"),
)


@pytest.mark.parametrize("role", ["becalm-becalm", "becalm-becalm-watchdog"])
def test_whatever_can_be_stopped_may_be_found_and_started_by_both(render: Render, role: str) -> None:
    granted = _granted(_rules(render("extraKinds={widgets.example.org}"), role))

    for group, resource in (*_SCALED, ("example.org", "widgets")):
        assert {(group, resource, "list"), (group, resource, "patch")} <= granted


@pytest.mark.parametrize("values", [(), ("watchNamespaces={shop}",)])
def test_of_extra_kinds_alone_the_definitions_may_be_read(render: Render, values: tuple[str, ...]) -> None:
    documents = render("extraKinds={widgets.example.org,presses.example.org}", *values)

    (rule,) = _rules(documents, "becalm-becalm-kinds")
    assert rule["resourceNames"] == ["widgets.example.org", "presses.example.org"]
    assert _granted([rule]) == {("apiextensions.k8s.io", "customresourcedefinitions", "get")}
    (binding,) = [
        one
        for one in of_kind(documents, "ClusterRoleBinding")
        if one["metadata"]["name"] == "becalm-becalm-kinds"
    ]
    assert [subject["name"] for subject in binding["subjects"]] == ["becalm", "becalm-watchdog"]
    for pod in _pods(documents):
        environment = pod["containers"][0]["env"]
        (told,) = [one["value"] for one in environment if one["name"] == "BECALM_EXTRA_KINDS"]
        assert told == "widgets.example.org,presses.example.org"


def test_the_watchdog_looks_where_the_operator_does(render: Render) -> None:
    def watched(documents: list[Document], kind: str) -> list[str]:
        (pod,) = [p for p in _pods(documents) if p["containers"][0]["name"] == kind]
        environment = pod["containers"][0]["env"]
        return [one["value"] for one in environment if one["name"] == "BECALM_WATCHED_NAMESPACES"]

    documents = render("watchNamespaces={shop,office}")

    assert watched(documents, "watchdog") == watched(documents, "operator") == ["shop,office"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("maxWorkloadsDownPerNamespace", "BECALM_MAX_WORKLOADS_DOWN_PER_NAMESPACE"),
        ("maxWorkloadsDownPerCluster", "BECALM_MAX_WORKLOADS_DOWN_PER_CLUSTER"),
    ],
)
def test_how_much_may_be_down_at_once_is_told_to_the_operator(render: Render, value: str, name: str) -> None:
    def told(*values: str) -> list[str]:
        (pod,) = [p for p in _pods(render(*values)) if p["containers"][0]["name"] == "operator"]
        return [one["value"] for one in pod["containers"][0]["env"] if one["name"] == name]

    assert (told(), told(f"limits.{value}=1000000")) == (["0"], ["1000000"])


@pytest.mark.parametrize("schedule", ["* * * * *", "*/5 * * * *", "0 * * * *"])
def test_a_try_of_the_watchdog_that_was_missed_is_made_up_for(render: Render, schedule: str) -> None:
    """Kubernetes may start none where it counts more than a hundred that were missed."""
    (cron_job,) = of_kind(render(f"watchdog.schedule={schedule}"), "CronJob")

    minutes = cron_job["spec"]["startingDeadlineSeconds"] / 60
    assert 5 < minutes < 100
    assert cron_job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 5 * 60


def test_the_watchdog_can_be_left_out(render: Render) -> None:
    assert "watchdog" not in str(render("watchdog.enabled=false"))


def test_a_long_name_of_a_release_is_cut_to_what_a_cron_job_may_have(render: Render) -> None:
    (cron_job,) = of_kind(render(release="b" * 53), "CronJob")
    assert len(cron_job["metadata"]["name"]) <= 52


def test_every_container_says_what_it_needs(render: Render) -> None:
    """A namespace with a quota refuses a pod that does not, and the pod that releases the workloads must start."""
    for pod in _pods(render()):
        for container in pod["containers"]:
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_every_setting_of_the_pod_reaches_every_pod(render: Render) -> None:
    """Or the one that releases the workloads could not start where the operator does."""
    templates = _templates(
        render(
            "nodeSelector.disk=ssd",
            "tolerations[0].operator=Exists",
            "imagePullSecrets[0].name=registry",
            "priorityClassName=high",
            "affinity.nodeAffinity.x=1",
            "podLabels.team=storage",
            "podAnnotations.proxy=none",
        )
    )

    assert len(templates) == 3
    for template in templates:
        assert template["metadata"]["labels"]["team"] == "storage"
        assert template["metadata"]["annotations"] == {"proxy": "none"}
        pod = template["spec"]
        assert pod["nodeSelector"] == {"disk": "ssd"}
        assert pod["tolerations"] == [{"operator": "Exists"}]
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["priorityClassName"] == "high"
        assert "affinity" in pod


def test_the_crds_are_those_of_the_project_and_stay(render: Render) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(render(), "CustomResourceDefinition")}

    for path in (ROOT / "crds").glob("*.yaml"):
        plain = yaml.safe_load(path.read_text())
        templated = rendered.pop(plain["metadata"]["name"])
        assert templated["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert templated["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
        assert templated == plain
    assert rendered == {}


def test_the_crds_can_be_let_go(render: Render) -> None:
    for crd in of_kind(render("crds.keep=false"), "CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]


def test_the_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert chart["appVersion"] == chart["version"] == project["version"]


def test_the_image_is_named_by_version_tag_or_digest(render: Render) -> None:
    def image(*values: str) -> str:
        (deployment,) = of_kind(render(*values), "Deployment")
        found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    assert image() == "registry.example.org/becalm:0.1.0"
    assert image("image.repository=localhost:5000/team/becalm") == "localhost:5000/team/becalm:0.1.0"
    assert image("image.tag=dev").endswith(":dev")
    digest = "sha256:" + "a" * 64
    assert image("image.tag=dev", f"image.digest={digest}").endswith(f"@{digest}")


def test_without_an_image_the_chart_says_where_to_get_one(helm: Helm) -> None:
    """A name that nobody owns could be anybody's image one day, and movers hold the repository's password."""
    done = helm("template", "becalm", str(CHART), "--kube-version=1.34.0")

    assert done.returncode != 0
    assert "image.repository is not set: build the image and push it" in done.stderr
    assert "## Use it" in (ROOT / "README.md").read_text()


def test_the_image_and_a_checkout_have_the_same_uv() -> None:
    told = [
        re.findall(r"^(?:ARG )?UV_VERSION ?:?= ?(\S+)$", (ROOT / name).read_text(), re.MULTILINE)
        for name in ("Makefile", "Dockerfile")
    ]

    assert told[0] == told[1]
    assert len(told[0]) == 1
