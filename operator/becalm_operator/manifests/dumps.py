"""The Job of a dump: the user's container writes into a named pipe, and the mover beside it uploads what comes.

The user's container mounts nothing but that pipe: it sees neither the repository's credentials nor a token.
How the dump has ended, the kubelet tells: the Job succeeds only if both containers end with 0.
"""

from kubernetes.aio.client import (
    V1Capabilities,
    V1ConfigMapEnvSource,
    V1ConfigMapKeySelector,
    V1Container,
    V1EmptyDirVolumeSource,
    V1EnvFromSource,
    V1EnvVar,
    V1EnvVarSource,
    V1Job,
    V1ObjectFieldSelector,
    V1SecretEnvSource,
    V1SecretKeySelector,
    V1SecurityContext,
    V1Volume,
    V1VolumeMount,
)

from becalm_operator.api.base import parse_duration
from becalm_operator.api.dumps import Dump, DumpContainer, KeySelector, Variable, Variables, VariableSource
from becalm_operator.api.repository import BackupRepositorySpec
from becalm_operator.manifests.jobs import Image, stream_job
from becalm_operator.manifests.owned import Owner
from becalm_operator.manifests.written import resources, security_context

DUMP = "dump"
CONTAINER = "dump"
_FOLDER = "/run/becalm/dump"
_PIPE = f"{_FOLDER}/pipe"
_INTO_PIPE = f'exec "$@" >{_PIPE}'
"""Opening waits for the mover, so that nothing is dumped for a repository that cannot be opened."""


def dump_job(owner: Owner, repository: BackupRepositorySpec, image: Image, *, dump: Dump) -> V1Job:
    """Take one dump and upload it, without publishing a snapshot.

    Raises:
        UnfitError: What is written of its container, or of the repository's movers, makes no sense.
    """
    mount = V1VolumeMount(name="pipe", mount_path=_FOLDER)
    job = stream_job(
        owner,
        repository,
        image,
        role=DUMP,
        part=dump.name,
        fifo=_PIPE,
        path=dump.path,
        volume=V1Volume(name="pipe", empty_dir=V1EmptyDirVolumeSource()),
        mount=mount,
        deadline_seconds=int(parse_duration(dump.timeout).total_seconds()),
    )
    assert job.spec is not None
    pod = job.spec.template.spec
    assert pod is not None
    (mover,) = pod.containers
    pod.init_containers = [_pipe_maker(mover, mount)]
    pod.containers = [mover, _dumper(dump, mount)]
    return job


def _pipe_maker(mover: V1Container, mount: V1VolumeMount) -> V1Container:
    """Return what makes the pipe, for whatever user the dump runs as."""
    return V1Container(
        name="pipe",
        image=mover.image,
        image_pull_policy=mover.image_pull_policy,
        command=["mkfifo", "--mode=0666", _PIPE],
        resources=mover.resources,
        security_context=mover.security_context,
        volume_mounts=[mount],
    )


def _dumper(dump: Dump, mount: V1VolumeMount) -> V1Container:
    container, of = dump.container, f"dump {dump.name}"
    return V1Container(
        name=CONTAINER,
        image=container.image,
        image_pull_policy=container.image_pull_policy,
        # after the script comes what it calls $0
        command=["/bin/sh", "-c", _INTO_PIPE, "dump", *container.command],
        args=list(container.args) or None,
        env=[_variable(variable) for variable in container.env] or None,
        env_from=[_variables(variables) for variables in container.env_from] or None,
        resources=resources(container.resources, "container.resources", of),
        security_context=_security_context(container, of),
        volume_mounts=[mount],
    )


def _security_context(container: DumpContainer, of: str) -> V1SecurityContext:
    if container.security_context is not None:
        return security_context(container.security_context, "container.securityContext", of)
    return V1SecurityContext(allow_privilege_escalation=False, capabilities=V1Capabilities(drop=["ALL"]))


def _variable(variable: Variable) -> V1EnvVar:
    if variable.value_from is None:
        return V1EnvVar(name=variable.name, value=variable.value)
    return V1EnvVar(name=variable.name, value_from=_source(variable.value_from))


def _source(source: VariableSource) -> V1EnvVarSource:
    secret, config_map, field = source.secret_key_ref, source.config_map_key_ref, source.field_ref
    return V1EnvVarSource(
        secret_key_ref=V1SecretKeySelector(**_key(secret)) if secret else None,
        config_map_key_ref=V1ConfigMapKeySelector(**_key(config_map)) if config_map else None,
        field_ref=V1ObjectFieldSelector(field_path=field.field_path) if field else None,
    )


def _key(selector: KeySelector) -> dict[str, object]:
    return {"name": selector.name, "key": selector.key, "optional": selector.optional or None}


def _variables(variables: Variables) -> V1EnvFromSource:
    secret, config_map = variables.secret_ref, variables.config_map_ref
    return V1EnvFromSource(
        prefix=variables.prefix or None,
        secret_ref=V1SecretEnvSource(name=secret.name, optional=secret.optional or None) if secret else None,
        config_map_ref=(
            V1ConfigMapEnvSource(name=config_map.name, optional=config_map.optional or None)
            if config_map
            else None
        ),
    )
