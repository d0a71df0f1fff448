"""The operator's settings."""

import pytest

from becalm_operator.errors import SettingsError
from becalm_operator.settings import Settings, read_settings

IMAGE = {"BECALM_IMAGE": "becalm:1"}


def test_the_image_alone_is_enough() -> None:
    assert read_settings(IMAGE) == Settings(namespace="default", image="becalm:1")


def test_everything_can_be_set() -> None:
    settings = read_settings(
        {
            **IMAGE,
            "BECALM_NAMESPACE": "becalm",
            "BECALM_PULL_POLICY": "Never",
            "BECALM_WATCHED_NAMESPACES": " shop, blog ,,",
            "BECALM_EXTRA_KINDS": "widgets.example.org, presses.example.org",
            "HOSTNAME": "becalm-7d9",
            "BECALM_LOG_FORMAT": "json",
            "BECALM_LOG_LEVEL": "debug",
            "BECALM_HEALTH_PORT": "9090",
            "BECALM_METRICS_PORT": "0",
            "BECALM_MAX_WORKLOADS_DOWN_PER_NAMESPACE": "5",
            "BECALM_MAX_WORKLOADS_DOWN_PER_CLUSTER": "20",
        }
    )

    assert settings == Settings(
        namespace="becalm",
        image="becalm:1",
        pull_policy="Never",
        watched_namespaces=("shop", "blog"),
        extra_kinds=("widgets.example.org", "presses.example.org"),
        identity="becalm-7d9",
        log_format="json",
        log_level="DEBUG",
        health_port=9090,
        metrics_port=0,
        most_down_per_namespace=5,
        most_down_per_cluster=20,
    )


def test_hooks_and_dumps_are_enabled_each_by_itself() -> None:
    hooks = read_settings({**IMAGE, "BECALM_HOOKS": "true", "BECALM_DUMPS": "false"})
    dumps = read_settings({**IMAGE, "BECALM_DUMPS": "true"})
    neither = read_settings({**IMAGE, "BECALM_HOOKS": "", "BECALM_DUMPS": ""})

    assert neither == read_settings(IMAGE)
    assert (hooks.hooks_enabled, hooks.dumps_enabled) == (True, False)
    assert (dumps.hooks_enabled, dumps.dumps_enabled) == (False, True)


@pytest.mark.parametrize("name", ["BECALM_HOOKS", "BECALM_DUMPS"])
@pytest.mark.parametrize("text", ["True", "1", "yes", "on", "False", "0", " true"])
def test_a_switch_that_is_neither_true_nor_false_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}={text} is none of true, false"):
        read_settings({**IMAGE, name: text})


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_namespaces_means_all(text: str) -> None:
    assert read_settings({**IMAGE, "BECALM_WATCHED_NAMESPACES": text}).watched_namespaces == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BECALM_IMAGE", ""),
        ("BECALM_PULL_POLICY", "Sometimes"),
        ("BECALM_LOG_FORMAT", "xml"),
        ("BECALM_LOG_FORMAT", "JSON"),
        ("BECALM_HEALTH_PORT", "http"),
        ("BECALM_HEALTH_PORT", "-1"),
        ("BECALM_METRICS_PORT", "65536"),
        ("BECALM_MAX_WORKLOADS_DOWN_PER_NAMESPACE", "-1"),
        ("BECALM_MAX_WORKLOADS_DOWN_PER_CLUSTER", "few"),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({**IMAGE, name: value})


def test_a_missing_image_is_named() -> None:
    with pytest.raises(SettingsError, match="BECALM_IMAGE is not set"):
        read_settings({})


@pytest.mark.parametrize("name", ["widgets", "Widget.example.org", "*.example.org", "widgets."])
def test_what_names_no_definition_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="BECALM_EXTRA_KINDS"):
        read_settings({**IMAGE, "BECALM_EXTRA_KINDS": f"presses.example.org,{name}"})
