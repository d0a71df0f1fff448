"""As whom movers run: root with the capabilities of their task, the workload's own user, or nobody."""

from collections.abc import Sequence

from kubernetes.aio.client import (
    V1Capabilities,
    V1PodSecurityContext,
    V1SeccompProfile,
    V1SecurityContext,
    V1SELinuxOptions,
)

from becalm_operator.api.identity import Identity
from becalm_operator.api.repository import BackupRepositorySpec
from becalm_operator.manifests.written import security_context

_NOBODY = 65532
"""The user of becalm's image."""
OF_REPOSITORY = "the BackupRepository"
"""Where people write what movers look like."""


def pod_context(identity: Identity | None) -> V1PodSecurityContext:
    """Return the security context of a mover's pod; the groups are set here, for volumes are given to `fsGroup`."""
    seccomp = V1SeccompProfile(type="RuntimeDefault")
    if identity is None:
        return V1PodSecurityContext(seccomp_profile=seccomp)
    labels = identity.se_linux_options
    return V1PodSecurityContext(
        seccomp_profile=seccomp,
        fs_group=identity.fs_group,
        # a volume that the workload has used is its group's already; to look at each file again would take long
        fs_group_change_policy="OnRootMismatch" if identity.fs_group is not None else None,
        supplemental_groups=list(identity.supplemental_groups) or None,
        se_linux_options=V1SELinuxOptions.model_validate(labels) if labels else None,
    )


def container_context(
    repository: BackupRepositorySpec, identity: Identity | None, capabilities: Sequence[str]
) -> V1SecurityContext:
    """Return the security context of a mover's container; what the repository says replaces all of it.

    One that mounts nothing of a workload needs no more than the image's user. On a claim, a repository's files belong
    to root, so that there it is root who opens it.

    Raises:
        UnfitError: What the repository says is no security context.
    """
    own = repository.mover.security_context
    if own is not None:
        return security_context(own, "spec.mover.securityContext", OF_REPOSITORY)
    if identity is not None:
        return _context(identity.run_as_user, identity.run_as_group, ())
    needs_root = bool(capabilities) or repository.storage.persistent_volume_claim is not None
    return _context(0 if needs_root else _NOBODY, None if needs_root else _NOBODY, capabilities)


def nobody_context() -> V1SecurityContext:
    """Return the security context of a container that needs nothing but its network."""
    return _context(_NOBODY, _NOBODY, ())


def _context(user: int | None, group: int | None, capabilities: Sequence[str]) -> V1SecurityContext:
    return V1SecurityContext(
        run_as_user=user,
        run_as_group=group,
        run_as_non_root=user != 0,
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=V1Capabilities(drop=["ALL"], add=list(capabilities) or None),
    )
