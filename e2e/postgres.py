"""A PostgreSQL that a dump is taken of while it runs."""

from dataclasses import dataclass

from e2e.image import POSTGRES_IMAGE
from e2e.kubectl import Kubectl
from e2e.objects import Document
from e2e.shop import secret

NAME = "pg"
PASSWORD = "a password with 'quotes' and $(HOME)"
_DATA = "/tmp/data"
_SERVES = f"""
printf %s "$PGPASSWORD" > /tmp/password
initdb -D {_DATA} -U postgres --auth=scram-sha-256 --pwfile=/tmp/password >/dev/null
echo 'host all all all scram-sha-256' >> {_DATA}/pg_hba.conf
exec postgres -D {_DATA} -h 0.0.0.0 -k /tmp
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server with a Service in a namespace."""

    kubectl: Kubectl

    def open(self) -> None:
        """Make it, and wait until it answers."""
        labels = {"app": NAME}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod()},
        }
        ports = {"selector": labels, "ports": [{"port": 5432}]}
        self.kubectl.apply(
            secret(NAME, {"password": PASSWORD}),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": ports},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec},
        )
        self.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s", seconds=130)

    @property
    def address(self) -> str:
        """Its Service's address: a cluster of plain processes has no DNS."""
        found = self.kubectl.get("service", NAME)
        assert found is not None
        address: str = found["spec"]["clusterIP"]
        return address

    def sql(self, text: str) -> str:
        """Run SQL, and return the rows that it printed."""
        psql = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-At"]
        return self.kubectl("exec", "-i", f"deploy/{NAME}", "--", *psql, stdin=text)

    def dump(self, name: str, *, password_secret: str = NAME, **more: object) -> Document:
        """Return a dump of all of it, as a Backup names it; `more` is about its container."""
        reference = {"name": password_secret, "key": "password"}
        environment = [
            {"name": "PGHOST", "value": self.address},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": reference}},
        ]
        container = {
            "image": POSTGRES_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["pg_dump", "--username=postgres", "postgres"],
            "env": environment,
            **more,
        }
        return {"name": name, "filename": "all.sql", "container": container}


def _pod() -> Document:
    password = {"secretKeyRef": {"name": NAME, "key": "password"}}
    # patient: whoever is not ready leaves its Service, and a dump that begins then is refused
    ready = {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1, "timeoutSeconds": 30}
    container = {
        "name": "postgres",
        "image": POSTGRES_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", _SERVES],
        "env": [{"name": "PGPASSWORD", "valueFrom": password}],
        "readinessProbe": ready,
    }
    return {"terminationGracePeriodSeconds": 5, "containers": [container]}
