"""The operator's own settings, read once from the environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from becalm_operator.errors import SettingsError

_CRD_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the chart decides. `watched_namespaces` empty means all.

    `most_down_…` is how many workloads may be down at once, 0 for any number. With
    `metrics_port` 0 no metrics are shown.
    `extra_kinds` are names of CustomResourceDefinitions with a scale subresource, as `widgets.example.org`.
    """

    namespace: str
    image: str
    pull_policy: PullPolicy = "IfNotPresent"
    watched_namespaces: tuple[str, ...] = ()
    extra_kinds: tuple[str, ...] = ()
    identity: str = "becalm-operator"
    log_format: LogFormat = "text"
    log_level: str = "INFO"
    health_port: int = 8080
    metrics_port: int = 8081
    most_down_per_namespace: int = 0
    most_down_per_cluster: int = 0
    hooks_enabled: bool = False
    dumps_enabled: bool = False


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: A variable is missing or makes no sense.
    """
    image = environment.get("BECALM_IMAGE", "")
    if not image:
        raise SettingsError("BECALM_IMAGE is not set: it names the image that movers run")
    return Settings(
        namespace=environment.get("BECALM_NAMESPACE", "default"),
        image=image,
        pull_policy=cast(
            "PullPolicy", _one_of(environment, "BECALM_PULL_POLICY", get_args(PullPolicy), "IfNotPresent")
        ),
        watched_namespaces=_listed(environment, "BECALM_WATCHED_NAMESPACES"),
        extra_kinds=_extra_kinds(environment),
        identity=environment.get("HOSTNAME", "becalm-operator"),
        log_format=cast("LogFormat", _one_of(environment, "BECALM_LOG_FORMAT", get_args(LogFormat), "text")),
        log_level=environment.get("BECALM_LOG_LEVEL", "INFO").upper(),
        health_port=_port(environment, "BECALM_HEALTH_PORT", 8080),
        metrics_port=_port(environment, "BECALM_METRICS_PORT", 8081),
        most_down_per_namespace=_number(environment, "BECALM_MAX_WORKLOADS_DOWN_PER_NAMESPACE"),
        most_down_per_cluster=_number(environment, "BECALM_MAX_WORKLOADS_DOWN_PER_CLUSTER"),
        hooks_enabled=_switch(environment, "BECALM_HOOKS"),
        dumps_enabled=_switch(environment, "BECALM_DUMPS"),
    )


def _one_of(environment: Mapping[str, str], name: str, words: Sequence[str], otherwise: str) -> str:
    """Return one of some words, `otherwise` where it is not set or empty."""
    text = environment.get(name) or otherwise
    if text not in words:
        raise SettingsError(f"{name}={text} is none of {', '.join(words)}")
    return text


def _switch(environment: Mapping[str, str], name: str) -> bool:
    """Return whether something is on; it is off where nothing is set.

    A word that means on elsewhere, as `True` or `1`, must not mean off here without a word.
    """
    return _one_of(environment, name, ("true", "false"), "false") == "true"


def _extra_kinds(environment: Mapping[str, str]) -> tuple[str, ...]:
    listed = _listed(environment, "BECALM_EXTRA_KINDS")
    for name in listed:
        if not _CRD_NAME.fullmatch(name):
            raise SettingsError(
                f"BECALM_EXTRA_KINDS: {name} is no name of a CustomResourceDefinition (plural.group)"
            )
    return listed


def _port(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    text = environment.get(name, str(otherwise))
    if not (text.isdecimal() and int(text) < 65536):
        raise SettingsError(f"{name}={text} is not a port")
    return int(text)


def _number(environment: Mapping[str, str], name: str) -> int:
    """Return a count, 0 where it is not set."""
    text = environment.get(name, "0")
    if not text.isdecimal():
        raise SettingsError(f"{name}={text} is not a number; 0 means any number")
    return int(text)


def _listed(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return what a variable lists, separated by commas."""
    return tuple(item.strip() for item in environment.get(name, "").split(",") if item.strip())
