"""The ledger: a front end and a database that write the same numbers. A copy shows whether it is of one instant."""

from pathlib import Path

from e2e.instant import writer
from e2e.kubectl import Document
from e2e.shop import Workload

_SCRIPT = Path(writer.__file__).read_text()

WEB = Workload("Deployment", "web", command=("python3", "-c", _SCRIPT, "web"))
DB = Workload("StatefulSet", "db", command=("python3", "-c", _SCRIPT, "db"), port=writer.PORT)
OPENED = (DB, WEB)
"""In this order they are made: `web` is told where the Service of `db` is."""
STOPPED = (WEB, DB)
"""In this order they are stopped: afterwards `db` has all that `web` has, and nothing more."""
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
