"""From pods to the users that read and write their claims. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.aio.client import V1Container, V1PodSpec, V1SELinuxOptions

from becalm_operator.api.identity import MOST_GROUPS, Identity


def identities(pod: V1PodSpec | None, made: Mapping[str, Sequence[str]] | None = None) -> dict[str, Identity]:
    """Return as whom a pod of this spec reads and writes each claim.

    `made` are claims by the names of volumes that the spec does not list, as those of a StatefulSet's templates.
    """
    if pod is None:
        return {}
    volumes = {volume.name: volume.persistent_volume_claim for volume in pod.volumes or ()}
    claims = {name: (source.claim_name,) for name, source in volumes.items() if source} | dict(made or {})
    return {claim: _of_volume(pod, volume) for volume, names in claims.items() for claim in names}


def _of_volume(pod: V1PodSpec, volume: str) -> Identity:
    """Return as whom the containers of a pod use a volume."""
    users = [one for one in pod.containers if any(mount.name == volume for mount in one.volume_mounts or ())]
    found = [_of_container(pod, container) for container in users or pod.containers]
    if len({identity.run_as_user for identity in found}) == 1:
        return found[0]
    return Identity()


def _of_container(pod: V1PodSpec, container: V1Container) -> Identity:
    """Return as whom a container runs: what it says itself counts before what its pod says.

    With more groups than a mover can be given it is nobody that is known: with fewer of them it could not read all.
    """
    own, shared = container.security_context, pod.security_context
    groups = tuple(shared.supplemental_groups or ()) if shared else ()
    if len(groups) > MOST_GROUPS:
        return Identity()
    return Identity(
        run_as_user=_first(own, shared, "run_as_user"),
        run_as_group=_first(own, shared, "run_as_group"),
        fs_group=shared.fs_group if shared else None,
        supplemental_groups=groups,
        se_linux_options=_labels(_first(own, shared, "se_linux_options")),
    )


def _first(own: Any, shared: Any, name: str) -> Any:
    found = getattr(own, name, None)
    return getattr(shared, name, None) if found is None else found


def _labels(options: V1SELinuxOptions | None) -> dict[str, str]:
    return options.model_dump(by_alias=True, exclude_none=True) if options is not None else {}
