"""etcd, API server, controllers, scheduler, proxy and kubelet as plain processes: their flags and files."""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from e2e import network
from e2e.certificates import Authority, make_token_key
from e2e.containers import Containers
from e2e.paths import Places, SetUpError
from e2e.processes import Processes
from e2e.shell import run, succeeds

NODE = "node1"
_API = f"https://{network.ADDRESS}:6443"
_ETCD = "http://127.0.0.1:2379"
_USERS = {
    "admin": ("admin", '"system:masters"'),
    "kubelet": (f"system:node:{NODE}", '"system:nodes"'),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
}


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The processes of one node that is a whole cluster."""

    places: Places
    processes: Processes
    containers: Containers

    @property
    def _state(self) -> Path:
        return self.places.state

    def write_files(self) -> None:
        """Write certificates, tokens and kubeconfigs."""
        self._state.mkdir(parents=True, exist_ok=True)
        authority = Authority.make(self._state)
        addresses = ["localhost", "127.0.0.1", network.ADDRESS, network.API_SERVICE]
        addresses += ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        authority.issue("api", common_name="kube-apiserver", addresses=addresses)
        # exec and logs: the kubelet lets only an administrator in
        authority.issue("kubelet-client", common_name="kube-apiserver", organization="system:masters")
        make_token_key(self._state)
        tokens = {name: secrets.token_hex(16) for name in _USERS}
        rows = [f"{tokens[key]},{user},{key},{groups}".rstrip(",") for key, (user, groups) in _USERS.items()]
        _write_secret(self._state / "tokens.csv", "\n".join(rows) + "\n")
        for name, token in tokens.items():
            _write_secret(self._state / f"{name}.kubeconfig", self._kubeconfig(token))

    def _kubeconfig(self, token: str) -> str:
        certificate = base64.b64encode((self._state / "ca.crt").read_bytes()).decode()
        cluster = {"server": _API, "certificate-authority-data": certificate}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "becalm", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "becalm", "context": {"cluster": "becalm", "user": "user"}}],
            "current-context": "becalm",
        }
        return json.dumps(document)

    def _kube(self, part: str, *flags: str) -> list[str]:
        return [self.places.binary("kube"), part, *flags]

    def start_etcd(self) -> None:
        """Start etcd. Nothing in it must survive a power cut, so it does not wait for the disk.

        The API server's caches must hear how far they are, also of kinds of which nothing changes: without that,
        whoever begins to watch waits for minutes. Newer ones than Debian's tell when they are asked.
        """
        flags = [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", "--unsafe-no-fsync"]
        flags += ["--listen-peer-urls=http://127.0.0.1:2380", f"--data-dir={self._state}/etcd"]
        flags += ["--experimental-watch-progress-notify-interval=1s"]
        self.processes.start("etcd", ["etcd", *flags])

    def start_api_server(self) -> None:
        """Start the API server and wait until it is ready."""
        state = self._state
        self.processes.start(
            "kube-apiserver",
            self._kube(
                "kube-apiserver",
                f"--etcd-servers={_ETCD}",
                f"--bind-address={network.ADDRESS}",
                f"--advertise-address={network.ADDRESS}",
                "--secure-port=6443",
                f"--tls-cert-file={state}/api.crt",
                f"--tls-private-key-file={state}/api.key",
                f"--client-ca-file={state}/ca.crt",
                f"--token-auth-file={state}/tokens.csv",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
                f"--service-cluster-ip-range={network.SERVICE_RANGE}",
                f"--service-account-key-file={state}/sa.pub",
                f"--service-account-signing-key-file={state}/sa.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={state}/kubelet-client.crt",
                f"--kubelet-client-key={state}/kubelet-client.key",
                "--kubelet-preferred-address-types=InternalIP",
            ),
        )
        self.processes.wait("kube-apiserver", self.answers, seconds=120)

    def answers(self) -> bool:
        """Say whether the API server is ready."""
        return succeeds(self.kubectl("get", "--raw", "/readyz"), seconds=10)

    def kubectl(self, *arguments: str) -> list[str]:
        """Return a kubectl command for this cluster."""
        return self._kube("kubectl", f"--kubeconfig={self.places.kubeconfig}", *arguments)

    def start_controllers(self) -> None:
        """Start the controllers and the scheduler."""
        state = self._state
        # everything listens on loopback or the bridge only
        flags = ["--bind-address=127.0.0.1", "--leader-elect=false"]
        flags += ["--use-service-account-credentials=true"]
        flags += [f"--kubeconfig={state}/controllers.kubeconfig", f"--root-ca-file={state}/ca.crt"]
        flags += [f"--service-account-private-key-file={state}/sa.key"]
        flags += [f"--cluster-signing-cert-file={state}/ca.crt", f"--cluster-signing-key-file={state}/ca.key"]
        self.processes.start("kube-controller-manager", self._kube("kube-controller-manager", *flags))
        flags = ["--bind-address=127.0.0.1", "--leader-elect=false"]
        flags += [f"--kubeconfig={state}/scheduler.kubeconfig"]
        # after an API server has come back a pod may wait for an event that the scheduler has missed: 5 minutes else
        flags += ["--pod-max-in-unschedulable-pods-duration=10s"]
        self.processes.start("kube-scheduler", self._kube("kube-scheduler", *flags))

    def start_node(self) -> None:
        """Start the kubelet and the proxy."""
        state = self._state
        config = state / "kubelet.json"
        config.write_text(json.dumps(self._kubelet_configuration()))
        flags = [
            f"--kubeconfig={state}/kubelet.kubeconfig",
            f"--config={config}",
            f"--hostname-override={NODE}",
        ]
        flags += [f"--root-dir={state}/kubelet", f"--cert-dir={state}/kubelet-pki"]
        self.processes.start("kubelet", self._kube("kubelet", *flags, f"--node-ip={network.ADDRESS}"))
        flags = [f"--kubeconfig={state}/proxy.kubeconfig", f"--hostname-override={NODE}"]
        flags += [
            "--healthz-bind-address=127.0.0.1",
            "--proxy-mode=iptables",
            f"--cluster-cidr={network.POD_RANGE}",
            "--conntrack-max-per-core=0",
        ]
        self.processes.start("kube-proxy", self._kube("kube-proxy", *flags))

    def _kubelet_configuration(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{self._state}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/",
            # the operator is killed again and again: what is tested is what it does then, and not how long one waits
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
            "containerRuntimeEndpoint": f"unix://{self.containers.socket}",
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "100Mi"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "podLogsDir": f"{self.places.logs}/pods",
            "resolvConf": "",
        }

    def node_is_ready(self) -> bool:
        """Say whether the node takes pods."""
        path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        try:
            return run(self.kubectl("get", "node", NODE, "-o", path), seconds=10) == "True"
        except SetUpError:
            return False


def _write_secret(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
