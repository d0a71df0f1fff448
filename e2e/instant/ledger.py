"""The ledger: a front end and a database that write the same numbers. A copy shows whether it is of one instant."""

from dataclasses import dataclass
from pathlib import Path

from e2e.instant import writer
from e2e.objects import Document
from e2e.shop import Workload

_SCRIPT = Path(writer.__file__).read_text()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast entries are written, and how slowly a pod starts and ends."""

    between_seconds: float = 0.002
    start_seconds: float = 0
    end_seconds: float = 0


_QUICK = Pace()


def web(replicas: int = 1, *, pace: Pace = _QUICK) -> Workload:
    """Return the front end; one of its replicas writes."""
    return Workload("Deployment", "web", replicas, command=_command("web", pace))


def db(*, pace: Pace = _QUICK) -> Workload:
    """Return the database."""
    return Workload("StatefulSet", "db", command=_command("db", pace), port=writer.PORT)


def alone(kind: str, name: str, replicas: int = 1, *, pace: Pace = _QUICK) -> Workload:
    """Return a workload that writes entries and asks no other."""
    return Workload(kind, name, replicas, command=_command("alone", pace))


def _command(role: str, pace: Pace) -> tuple[str, ...]:
    seconds = (pace.between_seconds, pace.start_seconds, pace.end_seconds)
    return ("python3", "-c", _SCRIPT, role, *(str(each) for each in seconds))


AUDITOR = "auditor"
_LOOK = f"""
import json, pathlib
folders = {{(claim.name, side): claim.joinpath(*pathlib.PurePath(side).parts)
           for claim in pathlib.Path("/audited").iterdir() for side in {writer.SIDES!r}}}
print(json.dumps([[claim, side, {{one.name: one.read_text().strip() for one in folder.iterdir()}}]
                  for (claim, side), folder in folders.items()]))
"""
LOOK = ("python3", "-c", _LOOK)
"""The command that prints what the auditor finds."""


def auditor(claims: dict[str, str], image: str) -> Document:
    """Return a pod that can look into claims; they are keyed by the name under which it sees them."""
    volumes = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for name, claim in claims.items()
    ]
    mounts = [{"name": name, "mountPath": f"/audited/{name}", "readOnly": True} for name in claims]
    container = {
        "name": "auditor",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sleep", "600"],
        "volumeMounts": mounts,
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": AUDITOR}, "spec": spec}
